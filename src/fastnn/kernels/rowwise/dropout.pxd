"""Dropout by pointer, without the GIL, on `rows` rows of `cols` contiguous elements.

`ld...` is the row stride in elements. y = residual + dropout(x), or dropout(x) if residual is NULL.
Element (i, j) has the number i cols + j, whatever the strides. y may be x or residual.
Returns 0 or 2 (a negative size, a missing pointer, p outside [0, 1]).
"""
from libc.stdint cimport int64_t, uint64_t

from ..ground.dispatch cimport real

cdef int dropout_real(
    int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, real *y, int64_t ldy
) noexcept nogil
