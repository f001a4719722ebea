"""Embedding lookup and its gradient by pointer, without the GIL.

table has `rows` rows of `cols` contiguous elements, ids are `count` numbers of rows, and the other array has count rows; `ld...` elements from a row to
the next. `embedding`: y_i = scale table[ids_i]. `embedding_backward`: dtable[ids_i] += scale dy_i, in the order of i, but for ids equal to `skipped`
(-1: none),
summed in parts of 1,024 occurrences. Nothing overlaps. Returns 0, 1 (no memory) or 2 (a negative
size, a missing pointer, an id that is no row); nothing is written unless it is 0.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef int embedding_real(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, const real *table,
    int64_t ldtable, double scale, real *y, int64_t ldy
) noexcept nogil
cdef int embedding_backward_real(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, int64_t skipped, const real *dy,
    int64_t lddy, double scale, real *dtable, int64_t lddtable
) noexcept nogil
