"""The Frobenius norm and its square by pointer, without the GIL, of n contiguous elements. Returns 0 or 2 (n < 0, or x missing)."""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef int frobenius_norm_real(int64_t n, const real *x, double *norm) noexcept nogil
cdef int squared_norm_real(int64_t n, const real *x, double *square) noexcept nogil
