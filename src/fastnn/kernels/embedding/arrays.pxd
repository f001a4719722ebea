"""The pointer API of embedding lookup and its gradient, without the GIL.

table is (rows, cols), ids is (count,), and y and dy are (count, cols). Rows are contiguous; `ld...`
is the row stride. `embedding` computes y_i = scale table[ids_i]. `embedding_backward` adds scale
dy_i to dtable[ids_i], in the order of i and in parts of 1,024 occurrences, except for ids equal to
`skipped` (-1: none). Nothing may overlap. Returns 0, 1 (no memory) or 2 (a negative size, a missing
pointer, an id out of range); nothing is written unless 0 is returned.
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
