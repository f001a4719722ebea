"""Leaky ReLU and PReLU by pointer, without the GIL, on `rows` rows of `cols` contiguous elements.

`ld...` is the row stride in elements. `a` is one slope if `shared`, else one for each column.
Backward adds the gradient of a to `da` unless it is NULL; `x` may be the output if every slope is
positive. y may be x, and dx may be dy or x.
Returns 0, 1 (no memory) or 2 (a negative size, a missing pointer).
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef int prelu_real(
    bint shared, int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *a, real *y,
    int64_t ldy
) noexcept nogil
cdef int prelu_backward_real(
    bint shared, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *x,
    int64_t ldx, const real *a, real *dx, int64_t lddx, real *da
) noexcept nogil
