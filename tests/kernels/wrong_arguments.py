"""Wrong arguments for kernels: values of any kind, and variants of an array."""

from fractions import Fraction

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .variants import misaligned


def as_masked(x):
    return np.ma.masked_array(x, mask=np.arange(x.size).reshape(x.shape) == 0)


def as_read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def as_misaligned(x):
    y = misaligned(x.size, x.dtype).reshape(x.shape)
    y[...] = x
    return y


def as_overlapping(x):
    """A view whose elements overlap: strides 4, 4, 4; stride 0 for a vector."""
    step = x.itemsize if x.ndim > 1 else 0
    return as_strided(x.copy().reshape(-1), x.shape, (step,) * x.ndim)


class Subclass(np.ndarray):
    """A class that says nothing about how it is computed with."""


# (name, value, True if every argument refuses it): none of them is an array
SCALARS = [
    ("None", None, False),
    ("str", "no such thing", True),
    ("bytes", b"relu", True),
    ("object", object(), True),
    ("type", int, True),
    ("dict", {"a": 1}, True),
    ("list", [1.0, 2.0], False),
    ("empty list", [], False),
    ("tuple", ("relu",), False),
    ("set", {1}, True),
    ("function", len, True),
    ("complex", 1j, True),
    ("datetime", np.datetime64("2020-01-01"), True),
    ("fraction", Fraction(1, 3), False),
    ("NaN", float("nan"), False),
    ("inf", float("inf"), False),
    ("-inf", -float("inf"), False),
    ("1e300", 1e300, False),
    ("float32", np.float32(0.5), False),
    ("0", 0, False),
    ("-1", -1, False),
    ("2**63", 2**63, False),
    ("-2**70", -(2**70), False),
    ("10**5000", 10**5000, False),
    ("1.5", 1.5, False),
    ("True", True, False),
    ("bool", np.bool_(True), False),
    ("0-d", np.array(0.5), False),
    ("0-d int", np.array(1), False),
    ("vector", np.array([0.5, 0.5]), False),
    ("masked", np.ma.masked, True),
    ("text array", np.array(["a", "b"]), True),
]

# (name, function of the array of a valid call, True if every argument refuses it)
ARRAYS = [
    ("flat", lambda x: x.reshape(-1), False),
    ("one axis more", lambda x: x[None], False),
    ("row missing", lambda x: x[1:], False),
    ("column missing", lambda x: x[..., 1:], False),
    ("no rows", lambda x: x[:0], False),
    ("no columns", lambda x: x[..., :0], False),
    ("transposed", lambda x: x.T, False),
    ("upside down", lambda x: x[::-1], False),
    ("Fortran", np.asfortranarray, False),
    ("read-only", as_read_only, False),
    ("float32", lambda x: x.astype(np.float32), False),
    ("float64", lambda x: x.astype(np.float64), False),
    ("longdouble", lambda x: x.astype(np.longdouble), False),
    ("float16", lambda x: x.astype(np.float16), False),
    ("int32", lambda x: x.astype(np.int32), False),
    ("uint64", lambda x: x.astype(np.uint64), False),
    ("bool array", lambda x: x.astype(bool), False),
    ("other byte order", lambda x: x.astype(x.dtype.newbyteorder()), False),
    ("misaligned", as_misaligned, False),
    ("NaNs", lambda x: x * np.nan if x.dtype.kind == "f" else x - 100, False),
    ("negative", lambda x: ~x if x.dtype == bool else -x, False),
    ("large", lambda x: x * x.dtype.type(10) ** 18, False),
    ("broadcast", lambda x: np.broadcast_to(x[:1], x.shape), False),
    ("overlapping", as_overlapping, False),
    ("subclass", lambda x: x.view(Subclass), False),
    ("masked array", as_masked, True),
    ("no mask", lambda x: np.ma.masked_array(x), True),
    ("complex array", lambda x: x.astype(complex), True),
    ("object array", lambda x: x.astype(object), True),
    ("datetime array", lambda x: x.astype("M8[s]"), True),
    ("structured", lambda x: x.astype([("a", x.dtype)]), True),
]
REFUSED_OUTPUTS = {"read-only", "broadcast", "overlapping", "misaligned", "other byte order"}
