"""Read examples in dense batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from ..train.batches import gather

# Rows per chunk for scores, predictions and L-BFGS: bounds the memory of dense copies and hidden
# layers.
CHUNK = 4096


class Batch(NamedTuple):
    """A batch: x (n, features), targets, weights (n,) or None, and the sum of the weights."""

    x: NDArray[Any]
    y: NDArray[Any]
    weight: NDArray[Any] | None
    total: float


class Examples:
    """Features, targets and weights of the training rows.

    Parameters
    ----------
    X : ndarray or CSR matrix (n, features)
        Never copied, nor made dense, as a whole.
    y : ndarray (n, ...)
    weight : ndarray (n,), optional
    dtype : dtype
        Type of the batches of X and of the weights.
    """

    def __init__(
        self, X: Any, y: NDArray[Any], weight: NDArray[Any] | None, dtype: np.dtype[Any]
    ) -> None:
        self.X, self.y, self.dtype = X, y, dtype
        self.weight = None if weight is None else weight.astype(dtype, copy=False)
        self._buffer = np.empty((0, X.shape[1]), dtype)

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def batch(self, rows: Any) -> Batch:
        """Return the rows of a slice or index array; x is valid until the next call."""
        y = self.y[rows]
        weight = None if self.weight is None else self.weight[rows]
        total = float(len(y) if weight is None else weight.sum(dtype=np.float64))
        return Batch(self._dense(rows, len(y)), y, weight, total)

    def chunks(self) -> Iterator[Batch]:
        """Yield all rows in order, CHUNK at a time."""
        for start in range(0, len(self), CHUNK):
            yield self.batch(slice(start, start + CHUNK))

    def total(self) -> float:
        """Return the sum of all weights, or the number of rows without weights."""
        return float(len(self) if self.weight is None else self.weight.sum(dtype=np.float64))

    def _dense(self, rows: Any, n: int) -> NDArray[Any]:
        if issparse(self.X):
            part = self.X[rows]
            if part.dtype != self.dtype:
                return part.toarray().astype(self.dtype)
            return part.toarray(out=self._space(n))
        if isinstance(rows, slice):
            return np.asarray(self.X[rows], self.dtype)
        if self.X.dtype != self.dtype:
            return self.X[rows].astype(self.dtype)
        return gather(self.X, rows)

    def _space(self, n: int) -> NDArray[Any]:
        if len(self._buffer) < n:
            self._buffer = np.empty((n, self.X.shape[1]), self.dtype)
        return self._buffer[:n]


def dense_chunks(X: Any, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield all rows of X, dense or CSR, CHUNK at a time."""
    for start in range(0, X.shape[0], CHUNK):
        part = X[start : start + CHUNK]
        yield np.asarray(part.toarray() if issparse(part) else part, dtype)
