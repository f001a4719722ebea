"""Activations, dropout and its random numbers.

Section 5.1 of *Dive into Deep Learning*; Hendrycks and Gimpel (2016) for GELU; Salmon, Moraes, Dror
and Shaw (2011) for Philox 4x32-10. The errors in ulp are those that the functions document.
"""

import numpy as np

from .real import Real, exp, real, where


def erfc(x):
    """1 - erf(x) in a wide type: Abramowitz and Stegun 7.1.6 and, from 2.5 on, 7.1.14."""
    x = np.asarray(x)
    a = np.minimum(np.abs(x), 200)
    near = np.minimum(a, 2.5)
    term = total = near
    for n in range(1, 80):  # all terms are positive
        term = term * 2 * near * near / (2 * n + 1)
        total = total + term
    root = np.sqrt(np.arctan(np.asarray(1, x.dtype)) * 4)
    small = 1 - 2 / root * np.exp(-near * near) * total
    far = np.maximum(a, 2.5)
    fraction = far
    for n in range(160, 0, -1):
        fraction = far + np.asarray(n, x.dtype) / 2 / fraction
    tail = np.where(a < 2.5, small, np.exp(-far * far) / fraction / root)
    return np.where(np.isnan(x), x, np.where(x < 0, 2 - tail, tail))


def sigmoid_of(x):
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


def cdf_of(x):
    """The distribution function of the normal distribution."""
    return erfc(-x / np.sqrt(np.asarray(2, x.dtype))) / 2


def density_of(x):
    return np.exp(-x * x / 2) / np.sqrt(np.arctan(np.asarray(1, x.dtype)) * 8)


def inner_of(x):
    """2u, where gelu_tanh(x) = x (1 + tanh u) / 2 = x sigmoid(2u); and its derivative."""
    c = 2 * np.sqrt(np.asarray(0.5, x.dtype) / np.arctan(np.asarray(1, x.dtype)))
    cubic = np.asarray(44715, x.dtype) / 1000000
    return c * (x + cubic * x**3), c * (1 + 3 * cubic * x * x)


def zero_at_minus_infinity(function):
    """The limit where a formula says -inf times 0."""
    return lambda x: np.where(x == -np.inf, 0, function(np.where(x == -np.inf, 0, x)))


def gelu_tanh_of(x):
    return x * sigmoid_of(inner_of(x)[0])


# name -> (the function, a bound of its derivative, the ulps that the kernel documents)
FUNCTIONS = {
    "relu": (lambda x: np.where(x < 0, 0, x), 1, 0),
    "tanh": (np.tanh, 1, 1.5),
    "sigmoid": (sigmoid_of, 0.25, 2),
    "silu": (zero_at_minus_infinity(lambda x: x * sigmoid_of(x)), 1.1, 2.5),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 1, 2),
    "gelu": (zero_at_minus_infinity(lambda x: x * cdf_of(x)), 1.13, 10),
    "gelu_tanh": (zero_at_minus_infinity(gelu_tanh_of), 1.13, 4),
}


def activation(name, x):
    """act(x); x for None."""
    if name is None:
        return x
    function, slope, ulps = FUNCTIONS[name]
    y = x.apply(function, slope, ulps)
    if name == "relu":  # exact
        return Real(x.kind, y.value, x.e)
    if name == "gelu_tanh":  # 4 (1 + 2a) ulp below 0, a being the size of the argument of tanh
        with np.errstate(all="ignore"):
            a = np.where(x.value < 0, np.abs(inner_of(x.value)[0]) / 2, 0)
        more = 8 * a * x.kind.u * np.abs(y.value)
        y = Real(x.kind, y.value, y.error + np.where(np.isfinite(more), more, 0))
    return y


def derivative(name, x):
    """act'(x) for finite x, and its limits at infinity."""
    infinite = np.isinf(x.value)
    if infinite.any():
        return where(infinite, x.value > 0, derivative(name, where(infinite, 0, x)))
    if name == "relu":
        return Real(x.kind, np.where(np.isnan(x.value), 1, x.value > 0))
    if name == "tanh":
        y = activation(name, x)
        return 1 - y * y
    if name == "sigmoid":
        y = activation(name, x)
        return y * (1 - y)
    if name == "softplus":
        return x.apply(sigmoid_of, 0.25, 4)
    s = x.apply(sigmoid_of, 0.25, 2)
    if name == "silu":
        return s * (1 + x * (1 - s))
    if name == "gelu":
        phi = x.apply(cdf_of, 0.4, 10)
        square = -(x * x) / 2
        return phi + x * exp(square) * 0.3989422804014327
    with np.errstate(all="ignore"):
        inner, slope = inner_of(x.value)
    inner = x.rounded(inner, np.abs(slope) * x.e, 3)
    s = inner.apply(sigmoid_of, 0.25, 2)
    return s + x * s * (1 - s) * x.rounded(slope, 0.22 * np.abs(x.value) * x.e, 3)


def derivative_from_output(name, y):
    """act'(x) by y = act(x), which the backward passes of four activations read."""
    if name == "relu":
        return Real(y.kind, np.where(np.isnan(y.value), 1, y.value > 0))
    if name == "tanh":
        return 1 - y * y
    if name == "sigmoid":
        return y * (1 - y)
    return y.apply(lambda v: -np.expm1(-v), 1, 4)


FROM_OUTPUT = ("relu", "tanh", "sigmoid", "softplus")


def activation_backward(name, dy, saved):
    """dy act'; saved is y for the functions of FROM_OUTPUT, else x."""
    if name == "relu":  # selected, not multiplied
        return where(np.isnan(saved.value) | (saved.value > 0), dy, 0)
    return dy * (derivative_from_output if name in FROM_OUTPUT else derivative)(name, saved)


def prelu(x, a):
    """x where x > 0, else a x."""
    return where(x.value > 0, x, a * x)


def prelu_backward(dy, x, a):
    """dx, and the sums of dy x where x <= 0 for each slope."""
    dx = where(x.value > 0, dy, a * dy)
    each = where(x.value > 0, 0, dy * x)
    if a.shape == (1,):
        return dx, each.sum().reshape(1)
    return dx, each.rows().sum(0)


def philox(n, seed, step=0, block=0):
    """Philox 4x32-10 by the paper, all blocks at once: the first n words."""
    mask, half = np.uint64(2**32 - 1), np.uint64(32)
    with np.errstate(over="ignore"):
        i = np.uint64(block) + np.arange((n + 3) // 4, dtype=np.uint64)
    c = [i & mask, i >> half, step & 2**32 - 1, step >> 32]
    c[2:] = (np.full(i.shape, x, np.uint64) for x in c[2:])
    k = [seed & 2**32 - 1, seed >> 32]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [
            b >> half ^ c[1] ^ np.uint64(k[0]),
            b & mask,
            a >> half ^ c[3] ^ np.uint64(k[1]),
            a & mask,
        ]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return np.stack(c, -1).reshape(-1)[:n].astype(np.uint32)


def kept(shape, p, seed, step):
    """Where dropout keeps an element, by its index in C order."""
    n = int(np.prod(shape, dtype=int))
    threshold = round(p * 2**32)
    return (philox(n, seed, step).astype(np.int64) >= threshold).reshape(shape)


def dropout(x, p, seed, step):
    """x / (1 - p) where it is kept, else 0."""
    if p == 0:
        return x
    if p == 1:
        return real(np.zeros(x.shape), x.kind.real)
    return where(kept(x.shape, p, seed, step), x * (1 / np.asarray(1 - p, x.kind.wide)), 0)
