"""Attention, rotary positions, additive scores, attention pooling.

*Dive into Deep Learning*, chapter 11; Vaswani et al. (2017); Ainslie et al. (2023) for shared
heads; Su et al. (2021) for rotary positions.
"""

import copy

import numpy as np

from .real import KINDS, Real, concatenate, exp, log, real, sqrt, where


def visible(batch, n_queries, n_keys, causal=False, lengths=None):
    """Which keys a query may attend to, (batch, 1, n_queries, n_keys)."""
    seen = np.ones((batch, 1, n_queries, n_keys), bool)
    if causal:
        seen &= np.arange(n_keys) <= np.arange(n_queries)[:, None] + n_keys - n_queries
    if lengths is not None:
        lengths = np.asarray(lengths).reshape(batch, -1 if batch else 1)
        seen &= np.arange(n_keys) < lengths[:, None, :, None]
    return seen


def repeated(x, heads):
    """Key/value heads, each for the query heads that share it."""
    return x.moved(lambda a: np.repeat(a, heads // a.shape[1], 1))


def scale_of(scale, d):
    return 1 / np.sqrt(np.longdouble(max(1, d))) if scale is None else np.longdouble(scale)


def scores_of(q, k, causal=False, lengths=None, mask=None, scale=None):
    """scale q k^T + mask, and which keys a query attends to; finite masks stay finite."""
    k = repeated(k, q.shape[1])
    with np.errstate(all="ignore"):
        scores = (q @ k.T) * scale_of(scale, q.shape[-1])
        seen = visible(q.shape[0], q.shape[2], k.shape[2], causal, lengths)
        if mask is not None and mask.dtype == bool:
            seen = seen & mask
        elif mask is not None:
            seen = seen & (mask != -np.inf)
            bound = 0.69 * q.kind.most
            finite = np.clip(mask.astype(q.kind.wide), -bound, bound)
            finite = np.where(np.isfinite(mask), finite, mask)
            # scores of 0 beside equal masks are equal in any arithmetic
            nothing = (scores.value == 0).all(-1, keepdims=True)
            top = np.where(seen, finite, -np.inf).max(-1, keepdims=True, initial=-np.inf)
            size = np.where(np.isfinite(finite), np.abs(finite), 0).astype(float)
            error = 2 * q.kind.u * np.where(nothing & (finite == top), 0, size)
            scores = scores + finite
            scores.error = np.where(nothing, error, scores.error + error)
        return scores, np.broadcast_to(seen, scores.shape)


def softmax_of(scores, seen):
    """The weights, 0 for rows without a key, and the log-sum-exp."""
    with np.errstate(all="ignore"):
        x = where(seen, scores, -np.inf)
        some = seen.any(-1, keepdims=True)
        top = where(some, x.max(), 0)
        e = where(seen, exp(x - top), 0)
        total = e.sum(-1, True)
        weights = where(seen, e / where(some, total, 1), 0)
        lse = where(some, top + log(where(some, total, 1)), -np.inf)
    return weights, lse[..., 0]


def averaged(p, v, seen):
    """p v, in which hidden values take no part, whatever they are."""
    if np.isfinite(v.value).all():
        return p @ v
    with np.errstate(all="ignore"):
        each = where(seen[..., None], p[..., None] * v[:, :, None], 0)
        return each.sum(-2)


def forward(q, k, v, *, kept=None, **options):
    """softmax(scale q k^T + mask) v, the log-sum-exp, and the weights; kept: dropout's factors."""
    scores, seen = scores_of(q, k, **options)
    p, lse = softmax_of(scores, seen)
    with np.errstate(all="ignore"):
        dropped = p if kept is None else p * kept
        return averaged(dropped, repeated(v, q.shape[1]), seen), lse, p


def backward(dout, q, k, v, *, kept=None, **options):
    """dq, dk and dv."""
    batch, kv_heads, n_keys, d = k.shape
    scores, seen = scores_of(q, k, **options)
    p, _ = softmax_of(scores, seen)
    k, v = repeated(k, q.shape[1]), repeated(v, q.shape[1])
    with np.errstate(all="ignore"):
        dropped = p if kept is None else p * kept
        dp = where(seen, dout @ v.T, 0)
        dp = dp if kept is None else dp * kept
        ds = p * (dp - (p * dp).sum(-1, True)) * scale_of(options.get("scale"), d)
        shape = (batch, kv_heads, q.shape[1] // kv_heads, n_keys)
        dk, dv = ds.T @ q, dropped.T @ dout
        shared = (x.reshape(*shape, x.shape[-1]).sum(2) for x in (dk, dv))
        return (averaged(ds, k, seen), *shared)


def plain(function):
    """A function of arrays in float64 in place of `Real`s."""

    def computed(*arrays, **options):
        quick = copy.copy(KINDS[arrays[0].dtype])
        quick.wide = np.float64
        found = function(*(Real(quick, x) for x in arrays), **options)
        found = found if isinstance(found, tuple) else (found,)
        return tuple(x.value.astype(np.float64) for x in found)

    return computed


def attention_weights(q, k, **options):
    """softmax(scale q k^T + mask), (batch, heads, n_queries, n_keys); rows without a key are 0."""
    return plain(lambda q, k: softmax_of(*scores_of(q, k, **options)))(q, k)[0]


def attention(q, k, v, **options):
    """softmax(scale q k^T + mask) v, (batch, heads, n_queries, dv)."""
    return plain(forward)(q, k, v, **options)[0]


def attention_backward(dout, q, k, v, **options):
    """dq, dk, dv; `kept` are the factors of dropout."""
    return plain(backward)(dout, q, k, v, **options)


def rotary(x, start=0, base=10000.0, inverse=False):
    """Rotate the pairs (x_i, x_(i+d/2)) by position base^(-2i/d); tables are rounded once."""
    half = x.shape[-1] // 2
    rate = np.longdouble(base) ** (-np.arange(half, dtype=np.longdouble) / max(1, half))
    at = np.reshape(start, (-1, 1, 1, 1)) + np.arange(x.shape[2])[:, None]
    angle = (at * rate).astype(np.longdouble)
    # the angle of a table is computed in double
    off = np.abs(angle).astype(float) * 4 * np.finfo(np.float64).eps
    sign = -1 if inverse else 1
    kind = x.kind
    c = Real(kind, np.cos(angle).astype(kind.wide), off + kind.u)
    s = Real(kind, (sign * np.sin(angle)).astype(kind.wide), off + kind.u)
    a, b = x[..., :half], x[..., half:]
    with np.errstate(all="ignore"):
        return concatenate([a * c - b * s, a * s + b * c])


def additive_scores(q, k, w):
    """w . tanh(q + k) for each query and key."""
    return (tanh_of(q, k) * w).sum(-1)


def tanh_of(q, k):
    return (q[:, :, None] + k[:, None]).apply(np.tanh, 1, 2)


def additive_scores_backward(dscores, q, k, w):
    """dq, dk and dw; a gradient of 0 skips its key."""
    t = tanh_of(q, k)
    ds = dscores[..., None]
    each = where(ds.value == 0, 0, ds * w * (1 - t * t))
    dw = where(ds.value == 0, 0, ds * t)
    return each.sum(2), each.sum(1), dw.rows().sum(0)


def pooling_kernels(q, k, kernel, width):
    """K(u), u^2 with u = |q - k| / width, and how far u^2 may be off."""
    d = q[..., :, None, :] - k[..., None, :, :]
    # |q|^2 - 2 q k + |k|^2 may be used, whose error is that of its terms
    size = (q * q).sum(-1)[..., :, None] + (k * k).sum(-1)[..., None, :]
    squares = (d * d).sum(-1)
    slack = 4 * (q.shape[-1] + 2) * q.kind.u * np.abs(size.value).astype(float)
    squares = Real(q.kind, squares.value, squares.error + slack) / (np.longdouble(width) ** 2)
    if kernel == "gaussian":
        nearest = squares - -(-squares).max()
        return exp(-nearest / 2), squares
    inside = squares.value < 1
    if kernel == "constant":
        return real(np.ones(squares.shape), q.kind.real), squares
    if kernel == "boxcar":
        return Real(q.kind, inside, edge(squares)), squares
    u = squares if kernel == "epanechnikov" else sqrt(squares)
    return where(inside, 1 - u, 0), squares


def edge(squares):
    """Unknown where u^2 is so near 1 that either side may be taken."""
    return np.where(np.abs(squares.value - 1).astype(float) <= squares.e, np.inf, 0)


def attention_pooling(q, k, v, kernel, width):
    """The average of v by the kernel's weights, and the weights."""
    weights, _ = pooling_kernels(q, k, kernel, width)
    total = weights.sum(-1, True)
    none = total.value == 0
    p = where(none, 0, weights / where(none, 1, total))
    return p @ v, p


def attention_pooling_backward(dout, q, k, v, kernel, width):
    """dq, dk, dv and dwidth, by the chain rule through log K."""
    weights, squares = pooling_kernels(q, k, kernel, width)
    _, p = attention_pooling(q, k, v, kernel, width)
    dp = dout @ v.T
    dlog = p * (dp - (p * dp).sum(-1, True))
    zero = p.value == 0
    if kernel == "gaussian":
        slope = -dlog / 2
    elif kernel == "epanechnikov":
        slope = where(zero, 0, -dlog / where(zero, 1, weights))
    elif kernel == "triangular":
        u = sqrt(squares)
        zero = zero | (u.value == 0)
        slope = where(zero, 0, -dlog / where(zero, 1, u * weights * 2))
    else:
        slope = dlog * 0
    width = np.longdouble(width)
    # the gradient of |q - k|^2 / width^2 as two sums, of q and of k
    dq = (slope.sum(-1)[..., None] * q - slope @ k) * (2 / width**2)
    dk = (slope.sum(-2)[..., None] * k - slope.T @ q) * (2 / width**2)
    return dq, dk, p.T @ dout, (slope * squares).sum() * (-2 / width)
