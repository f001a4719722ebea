"""Keys and values of the positions so far, kept from one step of generation to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..kernels import memory


class KVCache:
    """Room for the keys and values of `max_len` positions, appended to in place.

    Parameters
    ----------
    batch, n_kv_heads, max_len, head_dim : int
    dtype : float32 (default) or float64
    value_dim : int, optional
        Size of a head of values; ``head_dim`` by default.

    Attributes
    ----------
    length : int
        Positions held so far.
    keys, values : ndarray of shape (batch, n_kv_heads, length, head_dim or value_dim)
        Views of what is held, for `attention`: ``attention(q, cache.keys, cache.values, causal=True)``
        with the queries of the last positions.
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

    @property
    def max_len(self) -> int:
        return self._keys.shape[2]

    @property
    def keys(self) -> NDArray[Any]:
        return self._keys[:, :, : self.length]

    @property
    def values(self) -> NDArray[Any]:
        return self._values[:, :, : self.length]

    def append(self, k: NDArray[Any], v: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Copy the keys and values of n more positions behind those held.

        Parameters
        ----------
        k, v : ndarray of shape (batch, n_kv_heads, n, head_dim or value_dim), any strides

        Returns
        -------
        keys, values : ndarray
            All that is held now.

        Raises
        ------
        TypeError, ValueError
            If the types or shapes do not fit or there is no room; the cache is as before then.
        """
        for name, x, held in (("k", k, self._keys), ("v", v, self._values)):
            if not isinstance(x, np.ndarray) or x.dtype != held.dtype:
                kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
                raise TypeError(f"KVCache: {name} must be an array of {held.dtype}, not {kind}")
            if x.ndim != 4 or x.shape[:2] + x.shape[3:] != held.shape[:2] + held.shape[3:]:
                batch, heads, _, size = held.shape
                raise ValueError(
                    f"KVCache: {name} must have the shape ({batch}, {heads}, n, {size}), not {x.shape}"
                )
        n = k.shape[2]
        if v.shape[2] != n:
            raise ValueError(f"KVCache: {n} positions of keys but {v.shape[2]} of values")
        if self.length + n > self.max_len:
            raise ValueError(
                f"KVCache: {self.length} positions and {n} more are too many for {self.max_len}"
            )
        self._keys[:, :, self.length : self.length + n] = k
        self._values[:, :, self.length : self.length + n] = v
        self.length += n
        return self.keys, self.values

    def truncate(self, length: int = 0) -> None:
        """Forget all but the first `length` positions."""
        if not 0 <= length <= self.length:
            raise ValueError(f"KVCache: cannot cut {self.length} positions to {length}")
        self.length = length
