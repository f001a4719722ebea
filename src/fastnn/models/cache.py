"""What a model keeps from one step of decoding to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..nn.kv_cache import KVCache

Memory = tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]


class DecodingCache:
    """The keys and values of all blocks, made by `new_cache` of a model and filled by its `step`.

    Attributes
    ----------
    layers : list of KVCache
    memory : list of (keys, values, lengths), or None
        What cross-attention attends to, for each block.
    """

    def __init__(self, layers: list[KVCache], memory: Sequence[Memory] | None = None) -> None:
        self.layers = layers
        self.memory = None if memory is None else list(memory)
        # Which row of the memory it was at first: beams of one sentence share theirs, so changing
        # places among them, as they do at every step, moves none of it.
        self._origins = np.arange(len(layers[0].lengths))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Positions held so far, of each row of the batch."""
        return self.layers[0].lengths

    @property
    def start(self) -> int | NDArray[np.int64]:
        """The position that comes next: one number, or one for each row where they differ."""
        return self.layers[0].start

    @property
    def max_len(self) -> int:
        """Positions that there is room for."""
        return self.layers[0].max_len

    def select(self, rows: NDArray[Any]) -> None:
        """Go on with these rows of the batch, in this order: some may be missing or come twice."""
        rows = np.asarray(rows, np.intp)
        for layer in self.layers:
            layer.select(rows)
        before, self._origins = self._origins, self._origins[rows]
        if self.memory is not None and not np.array_equal(before, self._origins):
            self.memory = [
                (keys[rows], values[rows], None if lengths is None else lengths[rows])
                for keys, values, lengths in self.memory
            ]


def new_layers(blocks: Any, batch: int, max_len: int) -> list[KVCache]:
    """An empty cache for each block of a stack."""
    caches = []
    for block in blocks:
        a = block.attention
        dtype = a.out.weight.data.dtype
        caches.append(KVCache(batch, a.n_kv_heads, max_len, a.head_dim, dtype))
    return caches
