"""Softmax and log-softmax by pointer, without the GIL, on `rows` rows of `cols` elements.

Rows are contiguous; `ld...` is the row stride in elements. The masked functions read the first
lengths[i / rows_per_length] elements of row i and clear the rest of its output. The output may be
an input. Returns 0 or 2 (a negative size, a missing pointer, a length out of range).
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

ctypedef enum Kind:
    SOFTMAX
    LOG_SOFTMAX

cdef struct Lengths:
    # Only the first of[i / rows] columns of row i count; all do if `of` is NULL.
    const int64_t *of
    int64_t rows

# Return the index of the first length outside 0..cols, or -1.
cdef int64_t wrong_length(Lengths lengths, int64_t rows, int64_t cols) noexcept nogil

# Any of the functions below.
cdef int forward(
    Kind kind, int64_t rows, int64_t cols, const real *x, int64_t ldx, Lengths lengths, real *y,
    int64_t ldy
) noexcept nogil
cdef int backward(
    Kind kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy,
    Lengths lengths, real *dx, int64_t lddx
) noexcept nogil

cdef int softmax_real(
    int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy
) noexcept nogil
cdef int log_softmax_real(
    int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy
) noexcept nogil
cdef int masked_softmax_real(
    int64_t rows, int64_t cols, const real *x, int64_t ldx, const int64_t *lengths,
    int64_t rows_per_length, real *y, int64_t ldy
) noexcept nogil
cdef int softmax_backward_real(
    int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx,
    int64_t lddx
) noexcept nogil
cdef int log_softmax_backward_real(
    int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx,
    int64_t lddx
) noexcept nogil
cdef int masked_softmax_backward_real(
    int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy,
    const int64_t *lengths, int64_t rows_per_length, real *dx, int64_t lddx
) noexcept nogil
