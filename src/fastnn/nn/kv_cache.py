"""The KV cache: keys and values of the positions so far, kept between decoding steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..kernels.ground import memory


class KVCache:
    """Room for the keys and values of `max_len` positions, appended in place.

    Rows of the batch may hold different numbers of positions, for example if prompts of unequal
    lengths are continued together.

    Parameters
    ----------
    batch, n_kv_heads, max_len, head_dim : int
    dtype : float32 (default) or float64
    value_dim : int, optional
        Width of a value head; ``head_dim`` by default.

    Attributes
    ----------
    length : int
        Positions held by the longest row.
    lengths : ndarray (batch,) of int64
        Positions held by each row.
    keys, values : ndarray of shape (batch, n_kv_heads, length, head_dim or value_dim)
        Views of the positions held. If all rows have one length,
        ``attention(q, cache.keys, cache.values, causal=True)`` takes the queries of the last
        positions; otherwise see `visible`.
    """

    def __init__(
        self,
        batch: int,
        n_kv_heads: int,
        max_len: int,
        head_dim: int,
        dtype: DTypeLike = np.float32,
        *,
        value_dim: int | None = None,
    ) -> None:
        value_dim = head_dim if value_dim is None else value_dim
        self._keys = memory.empty((batch, n_kv_heads, max_len, head_dim), dtype)
        self._values = memory.empty((batch, n_kv_heads, max_len, value_dim), dtype)
        self.length = 0
        self._lengths: NDArray[np.int64] | None = None  # None while all rows have one length

    @property
    def max_len(self) -> int:
        return int(self._keys.shape[2])

    @property
    def lengths(self) -> NDArray[np.int64]:
        if self._lengths is None:
            return np.full(len(self._keys), self.length, np.int64)
        return self._lengths.copy()

    @property
    def start(self) -> int | NDArray[np.int64]:
        """The next position: one number, or one per row if they differ."""
        return self.length if self._lengths is None else self._lengths

    @property
    def keys(self) -> NDArray[Any]:
        return self._keys[:, :, : self.length]

    @property
    def values(self) -> NDArray[Any]:
        return self._values[:, :, : self.length]

    def append(
        self, k: NDArray[Any], v: NDArray[Any], lengths: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Append the keys and values of n more positions.

        Parameters
        ----------
        k, v : ndarray of shape (batch, n_kv_heads, n, head_dim or value_dim), any strides
        lengths : integers (batch,), optional
            How many of the n positions each row takes, from the first; all by default.

        Returns
        -------
        keys, values : ndarray
            All keys and values held now.

        Raises
        ------
        TypeError, ValueError
            The types or shapes do not fit, or there is no room; the cache is left unchanged.
        """
        self._check(k, v)
        n = k.shape[2]
        if lengths is None and self._lengths is None:
            if self.length + n > self.max_len:
                raise ValueError(
                    f"KVCache: {self.length} positions and {n} more are too many for {self.max_len}"
                )
            self._keys[:, :, self.length : self.length + n] = k
            self._values[:, :, self.length : self.length + n] = v
            self.length += n
        else:
            self._append_rows(k, v, self._taken(n, lengths))
        return self.keys, self.values

    def _append_rows(self, k: NDArray[Any], v: NDArray[Any], taken: NDArray[np.int64]) -> None:
        before = self.lengths
        after = before + taken
        if after.size and after.max() > self.max_len:
            raise ValueError(
                f"KVCache: {before.max()} positions and {k.shape[2]} more are too many for "
                f"{self.max_len}"
            )
        for row, (start, stop) in enumerate(zip(before.tolist(), after.tolist(), strict=True)):
            self._keys[row, :, start:stop] = k[row, :, : stop - start]
            self._values[row, :, start:stop] = v[row, :, : stop - start]
        self._set(after)

    def visible(self, n: int, lengths: NDArray[Any] | None = None) -> dict[str, Any]:
        """Return keywords for `attention`: which keys the queries of the next n positions see.

        Call it before `append`, with the same lengths.
        """
        if self._lengths is None and (lengths is None or self.length == 0):
            taken = n if lengths is None else int(np.max(lengths, initial=0))
            if taken == n:
                return {"causal": True} if n > 1 else {}
        held = self.lengths
        length = int((held + self._taken(n, lengths)).max(initial=0))
        # query i of a row is at position held + i; results past the row's end are undefined
        return {"lengths": np.minimum(held[:, None] + np.arange(1, n + 1), length)}

    def select(self, rows: NDArray[Any]) -> None:
        """Keep these rows of the batch, in this order; rows may be dropped or repeated."""
        rows = np.asarray(rows, np.intp)
        lengths = None if self._lengths is None else self._lengths[rows]
        for name in ("_keys", "_values"):
            held = getattr(self, name)
            kept = held[:, :, : self.length][rows]
            if len(rows) != len(held):
                held = memory.empty((len(rows), *held.shape[1:]), held.dtype)
                setattr(self, name, held)
            held[:, :, : self.length] = kept
        if lengths is not None:
            self._set(lengths)

    def truncate(self, length: int = 0) -> None:
        """Drop all but the first `length` positions of every row."""
        if not 0 <= length <= self.length:
            raise ValueError(f"KVCache: cannot cut {self.length} positions to {length}")
        if self._lengths is None:
            self.length = length
        else:
            self._set(np.minimum(self._lengths, length))

    def _set(self, lengths: NDArray[np.int64]) -> None:
        self.length = int(lengths.max(initial=0))
        self._lengths = None if bool((lengths == self.length).all()) else lengths

    def _taken(self, n: int, lengths: NDArray[Any] | None) -> NDArray[np.int64]:
        if lengths is None:
            return np.full(len(self._keys), n, np.int64)
        taken = np.asarray(lengths)
        batch = len(self._keys)
        if taken.shape != (batch,) or taken.dtype.kind not in "iu":
            raise ValueError(f"KVCache: lengths must be {batch} integers, got {lengths!r:.80}")
        if taken.size and not 0 <= taken.min() <= taken.max() <= n:
            raise ValueError(f"KVCache: lengths must be from 0 to {n}, got {taken}")
        return taken.astype(np.int64)

    def _check(self, k: NDArray[Any], v: NDArray[Any]) -> None:
        for name, x, held in (("k", k, self._keys), ("v", v, self._values)):
            if not isinstance(x, np.ndarray) or x.dtype != held.dtype:
                kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
                raise TypeError(f"KVCache: {name} must be an array of {held.dtype}, got {kind}")
            if x.ndim != 4 or x.shape[:2] + x.shape[3:] != held.shape[:2] + held.shape[3:]:
                batch, heads, _, size = held.shape
                raise ValueError(
                    f"KVCache: {name} must have the shape ({batch}, {heads}, n, {size}), "
                    f"got {x.shape}"
                )
        if v.shape[2] != k.shape[2]:
            raise ValueError(f"KVCache: {k.shape[2]} positions of keys but {v.shape[2]} of values")
