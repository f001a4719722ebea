"""ReLU by pointer, without the GIL, on `rows` runs of `cols` contiguous elements; `ld...` is the distance from a row to the next, in elements.

The output may be the input. Returns 0 or 2 (a negative size, a missing pointer).
"""
from libc.stdint cimport int64_t

from .dispatch cimport real

cdef int relu_f32(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy) noexcept nogil
cdef int relu_f64(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy) noexcept nogil
cdef int relu_backward_f32(int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
                           float *dx, int64_t lddx) noexcept nogil
cdef int relu_backward_f64(int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
                           double *dx, int64_t lddx) noexcept nogil

cdef inline int relu_backward_real(int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx,
                                   int64_t lddx) noexcept nogil:
    """The face of the real type, for other kernels."""
    if real is float:
        return relu_backward_f32(rows, cols, dy, lddy, y, ldy, dx, lddx)
    else:
        return relu_backward_f64(rows, cols, dy, lddy, y, ldy, dx, lddx)
