"""The Frobenius norm and its square of n contiguous elements, by pointer, without the GIL.

Returns 0 or 2 (n < 0, or a missing pointer).
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef int frobenius_norm_real(int64_t n, const real *x, double *norm) noexcept nogil
cdef int squared_norm_real(int64_t n, const real *x, double *square) noexcept nogil
