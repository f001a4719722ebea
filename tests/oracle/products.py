"""Products of matrices, norms of arrays, and rows looked up by id.

*Dive into Deep Learning*, sections 2.3 and 5.1.
"""

import numpy as np

from .elementwise import FROM_OUTPUT, activation, activation_backward
from .real import KINDS, Real, real


def product(a, b, bias=None, act=None):
    """act(a b + bias) by NumPy's rules of shapes, and the pre-activation."""
    with np.errstate(all="ignore"):
        z = (a[None] if a.ndim == 1 else a) @ (b[:, None] if b.ndim == 1 else b)
        z = z if bias is None else z + bias
        y = activation(act, z)
    left, right = a.ndim == 1, b.ndim == 1
    at = (..., *([0] if left else [slice(None)]), *([0] if right else [slice(None)]))
    return y[at], z[at]


def gemm(a, b, c, alpha, beta, trans_a, trans_b):
    """alpha op(a) op(b) + beta c."""
    with np.errstate(all="ignore"):
        z = ((a.T if trans_a else a) @ (b.T if trans_b else b)) * alpha
        return z if c is None or beta == 0 else z + c * beta


def linear_backward(dy, x, w, y, preact, act):
    """dx = dz w^T, dw = x^T dz and db = the sum of dz, with dz = dy act'."""
    with np.errstate(all="ignore"):
        dz = dy
        if act is not None:
            dz = activation_backward(act, dy, y if act in FROM_OUTPUT else preact)
        return dz @ w.T, x.T @ dz, dz.sum(0)


def squared_norm(x):
    """The sum of squares in double, whose range is not that of the type: relative 2^-40, 2^-52."""
    narrow = x.kind.real == np.float32
    with np.errstate(all="ignore"):
        value = (x.value * x.value).sum()
        if np.isinf(x.value).any() and not np.isnan(x.value).any():
            value = np.inf
    kind = KINDS[np.dtype(np.float64)]
    relative = 2.0**-40 if narrow else 2.0**-51
    size = np.abs(np.float64(value)) if np.isfinite(value) else 0.0
    return Real(kind, value, size * relative + kind.tiny)


def frobenius_norm(x):
    square = squared_norm(x)
    value = np.sqrt(square.value)
    relative = 2.0**-41 if x.kind.real == np.float32 else 2.0**-52
    size = np.abs(np.float64(value)) if np.isfinite(value) else 0.0
    return Real(square.kind, value, size * relative + square.kind.tiny)


def l1_norm(x):
    """The sum of magnitudes in double: relative 2^-41, 1 ulp for float64."""
    kind = KINDS[np.dtype(np.float64)]
    value = np.abs(x.value).sum()
    relative = 2.0**-41 if x.kind.real == np.float32 else 2.0**-52
    size = np.abs(np.float64(value)) if np.isfinite(value) else 0.0
    return Real(kind, value, size * relative + kind.tiny)


def embedding(ids, table, scale):
    return table[ids] * scale if scale != 1 else table[ids]


def embedding_backward(ids, dy, rows, scale, padding_idx):
    """The sum of scale dy for each row of the table."""
    flat, dy = ids.reshape(-1), dy.rows()
    onehot = (flat == np.arange(rows)[:, None]).astype(float)
    if padding_idx is not None:
        onehot[padding_idx] = 0
    if not dy.shape[-1]:
        return real(np.zeros((rows, 0)), dy.kind.real)
    value = onehot.astype(dy.kind.wide) @ np.where(np.isfinite(dy.value), dy.value, 0)
    terms = onehot @ np.abs(np.where(np.isfinite(dy.value), dy.value, 0)).astype(float)
    error = (onehot.sum(1, keepdims=True) + 1) * dy.kind.u * terms
    with np.errstate(all="ignore"):
        for i, row in enumerate(dy.value):  # NaN and infinities reach their own row alone
            if not np.isfinite(row).all() and onehot[flat[i], i]:
                value[flat[i]] += np.where(np.isfinite(row), 0, row)
    over = np.where(terms > dy.kind.most, np.inf, error)
    return Real(dy.kind, value, over) * scale
