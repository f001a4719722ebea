"""Conversion of arrays between float32 and the formats of 16 bits, bfloat16 and float16.

bfloat16, which NumPy lacks, is the upper half of a float32. Its codes are uint16.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t, uint16_t

import numpy as np

from ..ground.arrays cimport real_like, refuse_masked
from ..ground.dispatch cimport bf16_round, bf16_widen, f16_round, f16_widen
from ..ground.machine cimport machine
from ..ground.memory cimport new_array
from ..ground.scalars cimport choice
from ..ground.scalars import given
from ..ground.threads cimport run_team, share_blocks, threads_for

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    enum:
        NPY_HALF

cdef enum:
    LINE = 64           # no two threads write to the same cache line

cdef tuple _FORMATS = ("bf16", "f16")


cdef void convert_share(
    int team, int thread, int64_t n, const float *x, uint16_t *halves, float *y, bint is_bf16
) noexcept nogil:
    """Convert this thread's share of n numbers: x to halves, or, if x is NULL, halves to y."""
    cdef int64_t first, last
    share_blocks(n, LINE, team, thread, &first, &last)
    if first >= last:
        return
    n = last - first
    if x is not NULL and is_bf16:
        bf16_round(n, x + first, halves + first)
    elif x is not NULL:
        f16_round(n, x + first, halves + first)
    elif is_bf16:
        bf16_widen(n, halves + first, y + first)
    else:
        f16_widen(n, halves + first, y + first)


cdef void convert(int64_t n, const float *x, uint16_t *halves, float *y, bint is_bf16):
    cdef int team = threads_for(<double>n, machine.pass_grain)
    with nogil:
        run_team(team, convert_share, n, x, halves, y, is_bf16)


def narrow(x, format="bf16"):
    """Round float32 to 16 bits, to the nearest number and to even at ties.

    NaN stays NaN, subnormal numbers are kept, and what is too large becomes infinite.

    Parameters
    ----------
    x : ndarray of float32, any shape and strides
    format : str
        "bf16" (bfloat16: the exponents of float32, 8 bits of mantissa) or "f16" (float16).

    Returns
    -------
    ndarray
        Of float16, or of uint16 with the codes of bfloat16, which is not a type of NumPy: ``.view``
        shows them as ``ml_dtypes.bfloat16`` if that package is installed.

    Raises
    ------
    TypeError
        If x is not an array of float32.
    ValueError
        If the format is unknown.

    Examples
    --------
    >>> codes = fastnn.kernels.narrow(np.float32([1.0, 3.1415927]))
    >>> fastnn.kernels.widen(codes)
    array([1.      , 3.140625], dtype=float32)
    """
    cdef cnp.ndarray a = real_like(x, cnp.NPY_FLOAT, "narrow", "x", "what it rounds"), y
    cdef bint is_bf16 = choice(format, _FORMATS, "narrow", "format") == 0
    a = cnp.PyArray_GETCONTIGUOUS(a)
    y = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a),
                          cnp.NPY_UINT16 if is_bf16 else NPY_HALF, 0)
    convert(cnp.PyArray_SIZE(a), <const float*>cnp.PyArray_DATA(a), <uint16_t*>cnp.PyArray_DATA(y),
            NULL, is_bf16)
    return y


def widen(x):
    """Convert numbers of 16 bits to float32, which is exact.

    Parameters
    ----------
    x : ndarray, any shape and strides
        Of float16, of ``ml_dtypes.bfloat16``, or of uint16: the codes of bfloat16.

    Returns
    -------
    ndarray of float32

    Raises
    ------
    TypeError
        If x is not such an array.

    Examples
    --------
    >>> fastnn.kernels.widen(np.float16([0.5, -2]))
    array([ 0.5, -2. ], dtype=float32)
    """
    cdef cnp.ndarray a, y
    cdef bint is_half
    if not isinstance(x, np.ndarray):
        raise TypeError(f"widen: x must be an ndarray of 16-bit numbers, got {given(x)}")
    refuse_masked(x, "widen", "x")
    if x.dtype.name == "bfloat16":
        x = np.ascontiguousarray(x).view(np.uint16).reshape(x.shape)
    a = <cnp.ndarray>x
    is_half = cnp.PyArray_TYPE(a) == NPY_HALF
    if not is_half and cnp.PyArray_TYPE(a) != cnp.NPY_UINT16:
        raise TypeError("widen: x must be an array of float16 or bfloat16, or of uint16 with the "
                        f"codes of bfloat16, got {x.dtype}")
    if not cnp.PyArray_ISBEHAVED_RO(a):
        a = cnp.PyArray_FROM_OF(a, cnp.NPY_ARRAY_ALIGNED | cnp.NPY_ARRAY_NOTSWAPPED)
    a = cnp.PyArray_GETCONTIGUOUS(a)
    y = new_array(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.NPY_FLOAT)
    convert(cnp.PyArray_SIZE(a), NULL, <uint16_t*>cnp.PyArray_DATA(a),
            <float*>cnp.PyArray_DATA(y), not is_half)
    return y
