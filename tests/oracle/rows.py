"""Functions of rows: softmax, layer norm, RMS norm.

*Dive into Deep Learning*, sections 4.1 and 11.3.2; Ba, Kiros and Hinton (2016); Zhang and Sennrich
(2019).
"""

import numpy as np

from .elementwise import dropout
from .real import Real, exp, log, real, sqrt, where


def valid(shape, lengths):
    """Which entries count, for lengths along the leading axes."""
    if lengths is None:
        return np.ones(shape, bool)
    lengths = np.reshape(lengths, lengths.shape + (1,) * (len(shape) - lengths.ndim))
    return np.broadcast_to(np.arange(shape[-1]) < lengths, shape)


def shifted(x, seen):
    """x minus the largest entry that counts, and -inf where none does."""
    x = where(seen, x, -np.inf)
    if x.ndim == 0:
        x = x.reshape(1)
    return x - x.max()


def softmax(x, lengths=None):
    """exp(x) / sum of exp(x), over the entries that count; 0 for the others."""
    if x.ndim == 0:
        return softmax(x.reshape(1)).reshape(())
    seen = valid(x.shape, lengths)
    with np.errstate(all="ignore"):
        e = exp(shifted(x, seen))
        return where(seen, e / e.sum(-1, True), 0)


def softmax_backward(dy, y, lengths=None):
    """y (dy - sum of dy y)."""
    if y.ndim == 0:
        return softmax_backward(dy.reshape(1), y.reshape(1)).reshape(())
    seen = valid(y.shape, lengths)
    dy, y = where(seen, dy, 0), where(seen, y, 0)
    with np.errstate(all="ignore"):
        return where(seen, y * (dy - (dy * y).sum(-1, True)), 0)


def log_softmax(x):
    """x - log of the sum of exp(x)."""
    if x.ndim == 0:
        return log_softmax(x.reshape(1)).reshape(())
    with np.errstate(all="ignore"):
        d = shifted(x, True)
        return d - log(exp(d).sum(-1, True))


def log_softmax_backward(dy, y):
    """dy - exp(y) sum of dy."""
    if y.ndim == 0:
        return log_softmax_backward(dy.reshape(1), y.reshape(1)).reshape(())
    with np.errstate(all="ignore"):
        return dy - exp(y) * dy.sum(-1, True)


def centered(x, kind):
    """x minus the mean of its row, which is held to more digits than the type has.

    Its error is that of a sum of differences from one element, not of the elements: a common
    offset costs nothing.
    """
    if kind == "rms":
        return x
    with np.errstate(all="ignore"):
        rest = x.value - x.value[..., :1]
        value = rest - rest.sum(-1, keepdims=True) / max(1, x.shape[-1])
        spread = np.abs(value).max(-1, keepdims=True, initial=0)
    n = x.shape[-1]
    e = np.broadcast_to(x.e, x.shape)
    e = e + e.mean(-1, keepdims=True) if n else e
    error = e + n * x.kind.u * np.where(np.isfinite(spread), spread, 0)
    return x.rounded(value, error)


def norm(x, weight=None, bias=None, kind="layer", eps=1e-5):
    """xhat weight + bias, and what backward needs: xhat and 1 / sqrt(variance + eps)."""
    with np.errstate(all="ignore"):
        d = centered(x, kind)
        # squares that overflow or vanish on the way are rescued by scaling
        scaled = Real(d.kind, d.value, d.error)
        variance = mean_of_squares(scaled)
        rstd = 1 / sqrt(variance + real(np.float64(eps), x.kind.real))
        xhat = d * rstd
        if kind == "layer":
            broken = ~np.isfinite(x.value).all(-1, keepdims=True)
            xhat = where(broken, np.nan, xhat)
        y = xhat if weight is None else xhat * weight
        y = y if bias is None else y + bias
    return y, xhat, rstd


def mean_of_squares(d):
    """The mean of the squares of a row; its range is not that of the narrow type."""
    n = max(1, d.shape[-1])
    squares = d.value * d.value
    with np.errstate(all="ignore"):
        error = 2 * np.abs(d.value).astype(float) * d.e + d.e * d.e
        error = np.where(np.isfinite(d.value), error, 0)
        terms = np.where(np.isfinite(squares), squares, 0).astype(float).sum(-1, keepdims=True)
        value = squares.sum(-1, keepdims=True) / n
        error = (np.broadcast_to(error, d.shape).sum(-1, keepdims=True)) / n
    return Real(d.kind, value, error + (n + 2) * d.kind.u * terms / n)


def norm_backward(dy, x, weight=None, kind="layer", eps=1e-5):
    """dx, dweight and dbias: with g = dy weight, (g - mean g - xhat mean(g xhat)) rstd."""
    _, xhat, rstd = norm(x, kind=kind, eps=eps)
    with np.errstate(all="ignore"):
        g = dy if weight is None else dy * weight
        along = g - xhat * (g * xhat).mean()
        dx = (along - g.mean() if kind == "layer" else along) * rstd
        # inf - inf or inf: it depends on the order of the terms
        infinite = np.isinf(dy.value).any(-1, keepdims=True)
        dx = Real(dx.kind, dx.value, np.where(infinite, np.inf, dx.error))
        return dx, (dy * xhat).rows().sum(0), dy.rows().sum(0)


def add_norm(x, residual, weight, bias, kind, eps, p, seed, step):
    """norm(h) and h = residual + dropout(x)."""
    h = residual + dropout(x, p, seed, step)
    return norm(h, weight, bias, kind, eps)[0], h


def add_norm_backward(dy, h, weight, dh, kind, eps, p, seed, step):
    """dx, dresidual, dweight and dbias."""
    dresidual, dweight, dbias = norm_backward(dy, h, weight, kind, eps)
    if dh is not None:
        dresidual = dresidual + dh
    return dropout(dresidual, p, seed, step), dresidual, dweight, dbias
