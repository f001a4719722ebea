"""The primitives for this CPU; kernels cimport the names of simd/*.pxd from here.

The dispatch tables are filled once, when `dispatch` is imported, for the widest instruction set
that the CPU has and FASTNN_ISA allows. leaves.h calls them fastnn_f32 and fastnn_f64.
"""
from libc.stdint cimport int64_t

from ..simd.calls cimport *
from ..simd.leaves cimport *

ctypedef fused real:
    float
    double

cdef fastnn_leaves_f32 leaves_f32 "fastnn_f32"
cdef fastnn_leaves_f64 leaves_f64 "fastnn_f64"


cdef inline const real *shifted(const real *p, int64_t n) noexcept nogil:
    """Return p + n, or NULL if p is NULL."""
    if p is NULL:
        return p
    return p + n
