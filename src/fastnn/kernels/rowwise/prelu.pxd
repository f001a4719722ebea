"""Leaky ReLU and PReLU by pointer, without the GIL, on `rows` runs of `cols` contiguous elements, `ld...` elements from a row to the next.

`shared` says that `a` is one slope for all columns, else it is cols of them. Backward adds the gradient of a to `da`, unless that is NULL; `x` may be
the output where every slope is positive. y may be x, and dx may be dy or x. Returns 0, 1 (no memory) or 2 (a negative size, a missing pointer).
"""
from libc.stdint cimport int64_t

cdef int prelu_f32(bint shared, int64_t rows, int64_t cols, const float *x, int64_t ldx, const float *a, float *y, int64_t ldy) noexcept nogil
cdef int prelu_f64(bint shared, int64_t rows, int64_t cols, const double *x, int64_t ldx, const double *a, double *y, int64_t ldy) noexcept nogil
cdef int prelu_backward_f32(bint shared, int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *x, int64_t ldx,
                            const float *a, float *dx, int64_t lddx, float *da) noexcept nogil
cdef int prelu_backward_f64(bint shared, int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *x, int64_t ldx,
                            const double *a, double *dx, int64_t lddx, double *da) noexcept nogil
