"""Similar vectors: cosines, and the best of many in blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..checks import check_count, given
from ..keywords import explained

Array = NDArray[Any]

# Rows of vectors that are compared at a time.
BLOCK = 8192


class Found(NamedTuple):
    """The result of `search`, best first.

    Attributes
    ----------
    indices : ndarray of int64 (q, k), or (k,) for one query
    scores : ndarray of the same shape

    Examples
    --------
    >>> fastnn.models.search(np.eye(2)[0], np.eye(2), top_k=1).indices
    array([0])
    """

    indices: NDArray[np.int64]
    scores: Array


@explained
def search(queries: Array, vectors: Array, top_k: int = 10, *, block: int = BLOCK) -> Found:
    """Return the top_k vectors with the largest dot product with each query.

    Vectors are read in blocks, so that a file mapped into memory may be larger than it. Equal
    scores are ordered by index.

    Parameters
    ----------
    queries : ndarray (q, dim) or (dim,)
    vectors : ndarray (n, dim)
        float32 or float64, as are the queries.
    top_k : int
        Results for each query; fewer if there are fewer vectors.
    block : int
        Rows that are read at a time.

    Raises
    ------
    TypeError, ValueError
        An argument is not an array, sizes differ, or a number is below 1.

    Examples
    --------
    >>> vectors = np.float32([[1, 0], [0, 1], [0.6, 0.8]])
    >>> fastnn.models.search(np.float32([0, 1]), vectors, top_k=2)
    Found(indices=array([1, 2]), scores=array([1. , 0.8], dtype=float32))
    """
    one = isinstance(queries, np.ndarray) and queries.ndim == 1
    rows = checked("queries", queries[None] if one else queries)
    dim = checked("vectors", vectors).shape[1]
    if rows.shape[1] != dim:
        raise ValueError(f"search: queries have {rows.shape[1]} numbers each, vectors {dim}")
    k, block = min(check_count("top_k", top_k), len(vectors)), check_count("block", block)
    scores = np.full((len(rows), k), -np.inf, rows.dtype)
    indices = np.zeros((len(rows), k), np.int64)
    for start in range(0, len(vectors), block):
        some = np.ascontiguousarray(vectors[start : start + block], rows.dtype)
        new = kernels.matmul(rows, some.T)
        if start >= k and not (new > scores[:, -1:]).any():
            continue
        both = np.concatenate([scores[:, : min(k, start)], new], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, :k]
        places = np.broadcast_to(np.arange(start, start + len(some)), new.shape)
        known = np.concatenate([indices[:, : min(k, start)], places], axis=1)
        n = order.shape[1]
        scores[:, :n] = np.take_along_axis(both, order, 1)
        indices[:, :n] = np.take_along_axis(known, order, 1)
    return Found(indices[0], scores[0]) if one else Found(indices, scores)


def cosines(a: Array, b: Array) -> Array:
    """Return the cosines (n, m) of the rows of a (n, dim) and b (m, dim); 0 for a zero vector."""
    first, second = unit(checked("a", a)), unit(checked("b", b))
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"a has {first.shape[1]} numbers in a row, b {second.shape[1]}")
    return kernels.matmul(first, second.astype(first.dtype, copy=False).T)


def unit(vectors: Array) -> Array:
    """Return vectors divided by their norms; zeros stay zeros."""
    norms = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
    return (vectors / np.where(norms > 0, norms, 1)).astype(vectors.dtype)


def checked(name: str, x: Any) -> Array:
    """Return x; raise TypeError or ValueError unless it is an array (n, dim) of real numbers."""
    if not isinstance(x, np.ndarray) or x.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be an array of float32 or float64, got {given(x)}")
    if x.ndim != 2:
        raise ValueError(f"{name} must be (n, dim), got {x.shape}")
    return x
