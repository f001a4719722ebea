"""Attention pooling with a kernel on distances: Nadaraya-Watson regression.

Nadaraya and Watson 1964; *Dive into Deep Learning*, section 11.2.

    f(q) = sum_j K(|q - k_j| / width) v_j / sum_j K(|q - k_j| / width)

A kernel of the distance, not a product of features, weighs a key for a query. The Gaussian's
weights are a softmax of -|q - k|^2 / (2 width^2). The width can be trained.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..gemm.arrays import matmul
from ..ground.arrays import check_array
from ..ground.scalars import check_choice, check_flag, check_positive
from ..rowwise.softmax_arrays import softmax, softmax_backward

Kernel = Literal["gaussian", "boxcar", "epanechnikov", "triangular", "constant"]
KERNELS: tuple[Kernel, ...] = ("gaussian", "boxcar", "epanechnikov", "triangular", "constant")


def _checked(
    op: str, queries: Any, keys: Any, values: Any, kernel: str, width: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Check the operands: queries (..., n, d), keys (..., m, d) and values (..., m, dv)."""
    check_choice(op, "kernel", kernel, KERNELS)
    check_array(op, "queries", queries)
    check_array(op, "keys", keys, queries, "queries")
    check_array(op, "values", values, queries, "queries")
    check_positive(op, "width", width)
    shapes = queries.shape, keys.shape, values.shape
    if (
        min(map(len, shapes)) < 2
        or shapes[0][-1] != shapes[1][-1]
        or shapes[1][-2] != shapes[2][-2]
    ):
        raise ValueError(
            f"{op}: queries, keys and values must be (..., n, d), (..., m, d) and (..., m, dv), "
            f"got {shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
    return queries, keys, values


def _weights(
    queries: NDArray[Any], keys: NDArray[Any], kernel: Kernel, width: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the weights and the squared distances in units of the width, both (..., n, m).

    A row of weights sums to 1, or is all zeros.
    """
    u = (queries[..., :, None, :] - keys[..., None, :, :]) / queries.dtype.type(width)
    squares = np.einsum("...d,...d->...", u, u)
    if kernel == "gaussian":
        return softmax(-squares / 2), squares
    if kernel == "boxcar":
        k = (squares < 1).astype(queries.dtype)
    elif kernel == "epanechnikov":
        k = np.maximum(1 - squares, 0)
    elif kernel == "triangular":
        k = np.maximum(1 - np.sqrt(squares), 0)
    else:
        k = np.ones_like(squares)
    total = k.sum(-1, keepdims=True)
    return np.divide(k, total, out=np.zeros_like(k), where=total > 0), squares


def attention_pooling(
    queries: NDArray[Any],
    keys: NDArray[Any],
    values: NDArray[Any],
    *,
    kernel: Kernel = "gaussian",
    width: float = 1.0,
    need_weights: bool = False,
) -> Any:
    """Average the values, each weighted by the distance of its key from the query.

    Parameters
    ----------
    queries : ndarray of float32 or float64, shape (..., n, d)
    keys : ndarray like queries, shape (..., m, d)
    values : ndarray like queries, shape (..., m, dv)
        Leading axes broadcast. To leave a training example out of its own average, give each query
        its own keys: shapes (n, 1, d), (n, m - 1, d), (n, m - 1, dv).
    kernel : str
        With u = abs(q - k) / width: "gaussian" exp(-u^2 / 2), "boxcar" 1 for u < 1, "epanechnikov"
        1 - u^2 for u < 1, "triangular" 1 - u for u < 1 (which the book's code calls Epanechnikov),
        "constant" 1 (average pooling).
    width : float
        Positive. The book's trained parameter w is 1 / width.
    need_weights : bool
        Also return the weights.

    Returns
    -------
    out : ndarray of shape (..., n, dv)
        Zeros for a query whose weights are all zero: no key is within the kernel's reach.
    weights : ndarray of shape (..., n, m), if need_weights

    Raises
    ------
    TypeError
        If an operand is not an array of float32 or float64, or the types differ.
    ValueError
        If shapes do not fit, the kernel is unknown, or width is not positive.

    Examples
    --------
    >>> keys, values = np.float32([[0], [1], [2]]), np.float32([[0], [1], [4]])
    >>> fastnn.kernels.attention_pooling(np.float32([[1]]), keys, values, width=0.5).round(3)
    array([[1.213]], dtype=float32)
    """
    op = "attention_pooling"
    wants_weights = check_flag(op, "need_weights", need_weights)
    queries, keys, values = _checked(op, queries, keys, values, kernel, width)
    weights, _ = _weights(queries, keys, kernel, width)
    out = matmul(weights, values)
    return (out, weights) if wants_weights else out


def attention_pooling_backward(
    dout: NDArray[Any],
    queries: NDArray[Any],
    keys: NDArray[Any],
    values: NDArray[Any],
    *,
    kernel: Kernel = "gaussian",
    width: float = 1.0,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], float]:
    """Compute the gradients of the operands of `attention_pooling` and of the width.

    Parameters
    ----------
    dout : ndarray of shape (..., n, dv)
        Gradient of the output.
    queries, keys, values, kernel, width
        As passed to `attention_pooling`, with equal leading axes.

    Returns
    -------
    dqueries, dkeys, dvalues : ndarray
        Same shapes as the operands. Where a kernel has no derivative (at its edge), 0 is used; the
        gradients of boxcar and constant are 0 everywhere.
    dwidth : float

    Raises
    ------
    TypeError, ValueError
        As `attention_pooling`; also ValueError if dout does not fit or leading axes differ.

    Examples
    --------
    >>> q, k, v = np.float32([[1]]), np.float32([[0], [2]]), np.float32([[0], [4]])
    >>> dq, dk, dv, dwidth = fastnn.kernels.attention_pooling_backward(np.float32([[1]]), q, k, v)
    >>> dv
    array([[0.5],
           [0.5]], dtype=float32)
    """
    op = "attention_pooling_backward"
    queries, keys, values = _checked(op, queries, keys, values, kernel, width)
    if not queries.shape[:-2] == keys.shape[:-2] == values.shape[:-2]:
        raise ValueError(
            f"{op}: queries, keys and values must have equal leading axes, not those of "
            f"{queries.shape}, {keys.shape} and {values.shape}"
        )
    check_array(op, "dout", dout, queries, "queries")
    if dout.shape != (*queries.shape[:-1], values.shape[-1]):
        raise ValueError(
            f"{op}: dout must have the shape {(*queries.shape[:-1], values.shape[-1])} for queries "
            f"{queries.shape} and values {values.shape}, got {dout.shape}"
        )
    weights, squares = _weights(queries, keys, kernel, width)
    dvalues = matmul(weights.swapaxes(-1, -2), dout)
    slope = _slope(
        weights, squares, kernel, softmax_backward(matmul(dout, values.swapaxes(-1, -2)), weights)
    )
    # slope is the gradient of squares = |q - k|^2 / width^2
    scale = queries.dtype.type(2 / width / width)
    dqueries = scale * (slope.sum(-1, keepdims=True) * queries - matmul(slope, keys))
    dkeys = scale * (slope.sum(-2)[..., None] * keys - matmul(slope.swapaxes(-1, -2), queries))
    dwidth = -2 / width * float((slope.astype(np.float64) * squares).sum())
    return dqueries, dkeys, dvalues, dwidth


def _slope(
    weights: NDArray[Any], squares: NDArray[Any], kernel: Kernel, dlog: NDArray[Any]
) -> NDArray[Any]:
    """Compute the gradient of the squared distances s from dlog, that of log K.

    The weights are the softmax of log K.
    """
    if kernel == "gaussian":
        return -dlog / 2
    slope = np.zeros_like(weights)
    if kernel == "epanechnikov":  # log K = log(1 - s)
        np.divide(-dlog, 1 - squares, out=slope, where=weights > 0)
    elif kernel == "triangular":  # log K = log(1 - sqrt(s)); its gradient counts as 0 at s = 0
        root = np.sqrt(squares)
        np.divide(-dlog, 2 * root * (1 - root), out=slope, where=(weights > 0) & (root > 0))
    return slope
