"""Examples, handed out as dense batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

# Rows at a time where nothing asks for batches: scores, predictions, L-BFGS. Bounds the memory of
# dense copies and hidden layers.
CHUNK = 4096


class Batch(NamedTuple):
    """Rows of examples: x (n, features), targets, weights (n,) or None, and the weights' sum."""

    x: NDArray[Any]
    y: NDArray[Any]
    weight: NDArray[Any] | None
    total: float


class Examples:
    """Features, targets and weights of the rows to learn from.

    Parameters
    ----------
    X : ndarray or CSR matrix (n, features)
        Never copied as a whole, and a sparse one never made dense as a whole.
    y : ndarray (n, ...)
    weight : ndarray (n,), optional
    dtype : dtype
        Of the batches of X and of the weights.
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
        """The rows of a slice or an array of indices; x is good until the next call."""
        y = self.y[rows]
        weight = None if self.weight is None else self.weight[rows]
        total = float(len(y) if weight is None else weight.sum(dtype=np.float64))
        return Batch(self._dense(rows, len(y)), y, weight, total)

    def chunks(self) -> Iterator[Batch]:
        """All rows in order, CHUNK at a time."""
        for start in range(0, len(self), CHUNK):
            yield self.batch(slice(start, start + CHUNK))

    def total(self) -> float:
        """The sum of all weights; the number of rows where there are none."""
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
        # mode: the default makes `take` fill a temporary first, in case an index is out of range
        return np.take(self.X, rows, axis=0, out=self._space(n), mode="clip")

    def _space(self, n: int) -> NDArray[Any]:
        if len(self._buffer) < n:
            self._buffer = np.empty((n, self.X.shape[1]), self.dtype)
        return self._buffer[:n]


def dense_chunks(X: Any, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """All rows of X, dense or CSR, CHUNK at a time."""
    for start in range(0, X.shape[0], CHUNK):
        part = X[start : start + CHUNK]
        yield np.asarray(part.toarray() if issparse(part) else part, dtype)
