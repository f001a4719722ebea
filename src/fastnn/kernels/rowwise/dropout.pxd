"""Dropout by pointer, without the GIL: `rows` rows of `cols` contiguous elements, `ld...` elements from a row to the next.

y = residual + dropout(x), or dropout(x) where residual is NULL. Element (i, j) is number i cols + j, whatever the strides. y may be x or residual.
Returns 0 or 2 (a negative size, a missing pointer, p outside of [0, 1]).
"""
from libc.stdint cimport int64_t, uint64_t

cdef int dropout_f32(int64_t rows, int64_t cols, const float *x, int64_t ldx, const float *residual, int64_t ldresidual, double p,
                     uint64_t seed, uint64_t step, float *y, int64_t ldy) noexcept nogil
cdef int dropout_f64(int64_t rows, int64_t cols, const double *x, int64_t ldx, const double *residual, int64_t ldresidual, double p,
                     uint64_t seed, uint64_t step, double *y, int64_t ldy) noexcept nogil
