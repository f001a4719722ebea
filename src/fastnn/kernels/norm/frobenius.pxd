"""The Frobenius norm and its square by pointer, without the GIL, of n contiguous elements. Returns 0 or 2 (n < 0, or x missing)."""
from libc.stdint cimport int64_t

cdef int frobenius_norm_f32(int64_t n, const float *x, double *norm) noexcept nogil
cdef int frobenius_norm_f64(int64_t n, const double *x, double *norm) noexcept nogil
cdef int squared_norm_f32(int64_t n, const float *x, double *square) noexcept nogil
cdef int squared_norm_f64(int64_t n, const double *x, double *square) noexcept nogil
