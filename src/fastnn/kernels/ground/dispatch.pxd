"""The leaves for this CPU; kernels cimport the names of leaves.pxd from here.

The tables are filled once, when `dispatch` is imported, for the widest instruction set that the
CPU has and FASTNN_ISA allows. leaves.h calls them fastnn_f32 and fastnn_f64.
"""
from libc.stdint cimport int64_t

from ..simd.leaves cimport *

ctypedef fused real:
    float
    double

cdef fastnn_leaves_f32 leaves_f32 "fastnn_f32"
cdef fastnn_leaves_f64 leaves_f64 "fastnn_f64"


cdef inline const real *shifted(const real *p, int64_t n) noexcept nogil:
    """p + n, where there is a p."""
    if p is NULL:
        return p
    return p + n


cdef enum:
    LARGE = 8 << 20     # bytes of output from which it is stored past the caches

cdef inline bint past_caches(
    int64_t n, const real *out, const real *x, const real *other
) noexcept nogil:
    """Whether n reals of output should be stored past the caches.

    Not in place: their lines are read anyway.
    """
    return n * <int64_t>sizeof(real) >= LARGE and out is not x and out is not other
