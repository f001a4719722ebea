"""Numbers with a bound of their rounding error: the arithmetic that the oracle is written in.

A `Real` holds a value in a wider type (float64 for float32, long double for float64), and how far
the same formula may be from it if every operation is rounded to the narrow type: a running error
analysis (Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.3). A formula written
with it is plain NumPy, and yields the result and the bound that a kernel is held to.
"""

import numpy as np

LONG = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps


class Kind:
    """A real type: its unit of rounding, extremes, and the wider type."""

    def __init__(self, real):
        limits = np.finfo(real)
        self.real = np.dtype(real)
        self.wide = np.longdouble if self.real == np.float64 else np.float64
        # twice the unit roundoff, and again where no wider type exists
        self.u = float(limits.eps) * (1 if LONG or self.real == np.float32 else 2)
        self.tiny = float(limits.smallest_subnormal)
        self.most = float(limits.max)


KINDS = {np.dtype(real): Kind(real) for real in (np.float32, np.float64)}


def size(value):
    """|value| in float64, with 0 for what is not finite: that has no rounding error."""
    with np.errstate(over="ignore"):
        found = np.abs(np.asarray(value)).astype(np.float64)
    return found if np.isfinite(found).all() else np.where(np.isfinite(value), found, 0)


class Real:
    """A value, and a bound of the absolute error; an infinite bound means that anything goes."""

    __array_ufunc__ = None
    __slots__ = ("error", "kind", "value")

    def __init__(self, kind, value, error=0.0):
        self.kind, self.value = kind, np.asarray(value, kind.wide)
        error = np.asarray(error, np.float64)
        if not np.isfinite(error).all():
            error = np.where(np.isnan(error), np.inf, error)
        self.error = error

    @property
    def e(self):
        """The error as an operand; one beyond the narrow type's range can become anything."""
        over = np.isfinite(self.value) & (np.abs(self.value) > self.kind.most)
        return np.where(over, np.inf, self.error) if over.any() else self.error

    @property
    def shape(self):
        return self.value.shape

    @property
    def ndim(self):
        return self.value.ndim

    def rounded(self, value, error, ulps=1.0):
        """A result of one operation: `error` from its operands, and its own rounding."""
        return Real(self.kind, value, error + ulps * self.kind.u * size(value) + self.kind.tiny)

    def exact(self, other):
        return other if isinstance(other, Real) else Real(self.kind, other)

    def __add__(self, other):
        other = self.exact(other)
        value = self.value + other.value
        return Real(self.kind, value, self.e + other.e + self.kind.u * size(value))

    def __neg__(self):
        return Real(self.kind, -self.value, self.error)

    def __sub__(self, other):
        return self + -self.exact(other)

    def __mul__(self, other):
        other = self.exact(other)
        a, b = size(self.value), size(other.value)
        error = a * other.e + b * self.e + self.e * other.e
        # an infinity times what may have been rounded to 0
        unsure = np.isinf(self.value) & (other.e > 0) & (b <= other.e)
        unsure = unsure | np.isinf(other.value) & (self.e > 0) & (a <= self.e)
        error = np.where(unsure, np.inf, error) if unsure.any() else error
        return self.rounded(self.value * other.value, error)

    def __truediv__(self, other):
        other = self.exact(other)
        value = self.value / other.value
        room = size(other.value) - other.e
        room = np.where(np.isfinite(other.value), room, np.inf)
        error = (self.e + size(value) * other.e) / np.where(room > 0, room, np.nan)
        exact = (self.e == 0) & (other.e == 0)
        return self.rounded(value, np.where(exact, 0, error))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other):
        return self.exact(other) - self

    def __rtruediv__(self, other):
        return self.exact(other) / self

    def __matmul__(self, other):
        other = self.exact(other)
        a, b, ea, eb = size(self.value), size(other.value), self.e, other.e
        terms, k = a @ b, self.shape[-1]
        error = k * (self.kind.u * terms + self.kind.tiny)
        if np.any(ea):
            ea = np.broadcast_to(ea, self.shape)
            error = error + ea @ (b + eb)
        if np.any(eb):
            error = error + a @ np.broadcast_to(eb, other.shape)
        return Real(self.kind, self.value @ other.value, overflown(self.kind, terms, error))

    def sum(self, axis=None, keepdims=False):
        """The sum, in any order: n roundings of at most the sum of the magnitudes."""
        how = {"axis": axis, "keepdims": keepdims}
        terms = size(self.value).sum(**how)
        value = self.value.sum(**how)
        n = self.value.size if axis is None else self.shape[axis]
        error = np.broadcast_to(self.e, self.shape).sum(**how) + n * self.kind.u * terms
        return Real(self.kind, value, overflown(self.kind, terms, error))

    def mean(self, axis=-1):
        return self.sum(axis, True) / max(1, self.shape[axis])

    def __getitem__(self, key):
        return Real(self.kind, self.value[key], np.broadcast_to(self.error, self.shape)[key])

    def moved(self, function):
        """Apply a function that moves elements, such as a transposition, to value and error."""
        return Real(
            self.kind, function(self.value), function(np.broadcast_to(self.error, self.shape))
        )

    def reshape(self, *shape):
        return self.moved(lambda x: x.reshape(*shape))

    def rows(self):
        """The last axis in rows, one for each index of the others."""
        n = self.shape[-1]
        return self.reshape(int(np.prod(self.shape[:-1], dtype=int)), n)

    def swap(self, a=-1, b=-2):
        return self.moved(lambda x: x.swapaxes(a, b))

    @property
    def T(self):
        return self.swap()

    def max(self, axis=-1):
        """The largest element, kept as an axis of one; 0 if there is none."""
        if self.shape[axis] == 0:
            return Real(self.kind, np.zeros((*self.shape[:-1], 1)))
        error = np.broadcast_to(self.e, self.shape).max(axis, keepdims=True)
        return Real(self.kind, self.value.max(axis, keepdims=True), error)

    def apply(self, function, slope, ulps=1.0):
        """An elementwise function of a rounded argument; |f'| <= slope near it."""
        with np.errstate(all="ignore"):
            value = function(self.value)
        error = np.where(self.e == 0, 0.0, slope * self.e)
        return self.rounded(value, error, ulps)


def overflown(kind, terms, error):
    """The error of a sum; any, if a sum of the terms in some order may overflow on the way."""
    return np.where(terms > kind.most, np.inf, error)


def real(x, like=None):
    """An exact number."""
    x = np.asarray(x)
    return Real(KINDS[np.dtype(like or x.dtype)], x)


def where(condition, a, b):
    """Select elements; an exact number may stand for either."""
    kind = (a if isinstance(a, Real) else b).kind
    a, b = (x if isinstance(x, Real) else Real(kind, x) for x in (a, b))
    return Real(
        kind,
        np.where(condition, a.value, b.value),
        np.where(condition, a.error, b.error),
    )


def concatenate(parts, axis=-1):
    errors = [np.broadcast_to(p.error, p.shape) for p in parts]
    value = np.concatenate([p.value for p in parts], axis)
    return Real(parts[0].kind, value, np.concatenate(errors, axis))


def exp(x, ulps=2.0):
    with np.errstate(all="ignore"):
        value = np.exp(x.value)
        error = np.where(x.e == 0, 0.0, size(value) * np.expm1(x.e))
    return x.rounded(value, error, ulps)


def log(x, ulps=2.0):
    with np.errstate(all="ignore"):
        room = size(x.value) - x.e
        error = np.where(x.e == 0, 0.0, x.e / np.where(room > 0, room, np.nan))
        return x.rounded(np.log(x.value), error, ulps)


def sqrt(x):
    with np.errstate(all="ignore"):
        value = np.sqrt(x.value)
        low = np.sqrt(np.maximum(size(x.value) - x.e, 0))
        error = np.where(x.e == 0, 0.0, x.e / np.where(low > 0, low, np.nan))
        error = np.where((low == 0) & (x.e > 0), np.sqrt(size(x.value) + x.e), error)
    return x.rounded(value, error)


# Vectors that the losses sum in the narrow type before they add the sum in double.
CHUNK = 64


def total(x):
    """The sum, in chains of CHUNK vectors in the narrow type and over these in double."""
    narrow = x.sum()
    terms, u = size(x.value).sum(), KINDS[np.dtype(np.float64)].u
    chain = min(x.value.size, CHUNK + 4) * x.kind.u + x.value.size * u
    error = np.broadcast_to(x.e, x.shape).sum() + chain * terms
    return Real(x.kind, narrow.value, overflown(x.kind, terms, error))


def difference(found, expected):
    """Where `found` is not what the oracle allows: None, or a description of the worst element.

    A NaN must be NaN and an infinity the same one. A value beyond the type's range must be the
    infinity of its sign, unless it is so near that rounding decides.
    """
    found = np.asarray(found)
    if found.shape != expected.shape:
        return f"shape {found.shape} instead of {expected.shape}"
    value, error = expected.value, np.broadcast_to(expected.error, expected.shape)
    with np.errstate(all="ignore"):
        far = np.abs(found.astype(expected.kind.wide) - value)
        right = (far <= error) | (np.isnan(found) & np.isnan(value)) | (found == value)
        infinite = np.isinf(found) & (np.sign(found) == np.sign(value))
        right |= infinite & np.isfinite(value) & (np.abs(value) + error > expected.kind.most)
        right |= np.isinf(error)
    if right.all():
        return None
    with np.errstate(all="ignore"):
        excess = np.where(right, -1, np.nan_to_num(far / np.where(error == 0, 1, error), nan=9e99))
    at = np.unravel_index(np.argmax(excess), excess.shape)
    return (
        f"{(~right).sum()} of {right.size} elements; at {tuple(map(int, at))} {found[at]!r} "
        f"instead of {value[at]!r} +- {error[at]:.3g}"
    )
