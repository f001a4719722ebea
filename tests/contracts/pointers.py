"""The functions of fastnn.h by address, for arrays that are C-contiguous."""

import functools

import numpy as np

from fastnn import capi

used = set()


@functools.cache
def function(name):
    return capi.ctypes(name, void_pointers=True)


def strides(x, axes):
    return np.array(x.strides[:axes], np.int64) // x.itemsize


def call(name, real, *arguments):
    """Call `name` of a real type; arrays become addresses. The status must be 0."""
    used.add(name)
    whole = f"{name}_{'f32' if real == np.float32 else 'f64'}"
    given = [x.ctypes.data if isinstance(x, np.ndarray) else x for x in arguments]
    status = function(whole)(*given)
    assert status == 0, f"{whole} returned {status}"


def double(name, real, *arguments):
    """Call a function whose last argument receives a double, and return that."""
    found = np.full((), np.nan)
    call(name, real, *arguments, found)
    return found


def garbage(like, shape=None):
    """An output, full of NaN."""
    return np.full(like.shape if shape is None else shape, np.nan, like.dtype)


def flat(x):
    """Rows and columns of an array of any rank."""
    cols = x.shape[-1] if x.ndim else 1
    return x.size // max(1, cols), cols
