"""The cache that a model keeps between decoding steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import given
from ..nn.kv_cache import KVCache

Ids = NDArray[np.integer[Any]]
Memory = tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]


class DecodingCache:
    """Keys and values of all blocks, created by `new_cache` of a model and filled by its `step`.

    Attributes
    ----------
    layers : list of KVCache
    memory : list of (keys, values, lengths), or None
        What cross-attention attends to, per block.
    """

    def __init__(self, layers: list[KVCache], memory: Sequence[Memory] | None = None) -> None:
        self.layers = layers
        self.memory = None if memory is None else list(memory)
        # Original row of the memory. Beams of one sentence share it, so reordering them, as in
        # every step, copies no memory.
        self._origins = np.arange(len(layers[0].lengths))

    def __len__(self) -> int:
        """Return the number of rows of the batch."""
        return len(self._origins)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Positions held by each row of the batch."""
        return self.layers[0].lengths

    @property
    def start(self) -> int | NDArray[np.int64]:
        """The next position: one number, or one per row if they differ."""
        return self.layers[0].start

    @property
    def max_len(self) -> int:
        """Largest number of positions."""
        return self.layers[0].max_len

    def select(self, rows: NDArray[Any]) -> None:
        """Keep these rows of the batch, in this order; rows may be dropped or repeated."""
        rows = np.asarray(rows, np.intp)
        for layer in self.layers:
            layer.select(rows)
        before, self._origins = self._origins, self._origins[rows]
        if self.memory is not None and not np.array_equal(before, self._origins):
            self.memory = [
                (keys[rows], values[rows], None if lengths is None else lengths[rows])
                for keys, values, lengths in self.memory
            ]


def check_step(ids: Any, cache: DecodingCache, lengths: Any) -> tuple[Ids, Ids | None]:
    """Return `ids` with 0 in place of padding, and `lengths` as int64, after checking both.

    Raises
    ------
    TypeError, ValueError
        As `kernels.Plan.step`, except that ids may be out of the vocabulary.
    """
    if not isinstance(cache, DecodingCache):
        raise TypeError(f"step: cache must be one of new_cache, got {given(cache)}")
    batch = len(cache)
    _check_integers("ids", ids)
    if ids.ndim != 2 or len(ids) != batch or ids.shape[1] < 1:
        raise ValueError(f"step: ids must be ({batch}, n) with n at least 1, got {ids.shape}")
    n, taken = ids.shape[1], None
    if lengths is not None:
        taken = np.asarray(lengths)
        _check_integers("lengths", taken)
        if taken.shape != (batch,) or (batch and not 1 <= taken.min() <= taken.max() <= n):
            raise ValueError(
                f"step: lengths must be {batch} integers from 1 to {n}, got {lengths!r:.80}"
            )
        taken = taken.astype(np.int64)
        ids = np.where(np.arange(n) < taken[:, None], ids, 0)
    after = cache.start + (n if taken is None else taken)
    if (after if isinstance(after, int) else after.max(initial=0)) > cache.max_len:
        row = int(np.argmax(np.broadcast_to(after, batch) > cache.max_len))
        count = n if taken is None else taken[row]
        raise ValueError(
            f"step: row {row} holds {cache.lengths[row]} positions and {count} more are too many "
            f"for {cache.max_len}"
        )
    return ids, taken


def _check_integers(name: str, x: Any) -> None:
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iu":
        kind = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"step: {name} must be a NumPy array of integers, got {kind}")


def new_layers(blocks: Any, batch: int, max_len: int) -> list[KVCache]:
    """Return an empty cache for each block of a stack."""
    caches = []
    for block in blocks:
        a = block.attention
        dtype = a.out.weight.data.dtype
        caches.append(KVCache(batch, a.n_kv_heads, max_len, a.head_dim, dtype))
    return caches
