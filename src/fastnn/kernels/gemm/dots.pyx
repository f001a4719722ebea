"""C := act(alpha A B + beta C + bias) as dot products, for contiguous rows of A and a narrow B.

The lanes lie along k, so a C narrower than a vector wastes none. The columns of B are read for
every row of C, so they are copied first, each contiguous. Threads then divide the tiles of C.
"""
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from ..ground.dispatch cimport (FASTNN_ACT_NONE, dot_columns, dot_rows, dot_tile, gemm_dots,
                                pack_columns, real, vector_lanes)
from .loops cimport Product, balanced, ceil_div
from ..ground.sums cimport FOLD
from ..ground.threads cimport share

cdef void gather_columns(const Product *g, real *columns) noexcept nogil:
    """Copy the columns of B: columns[j * k + p] = b_pj."""
    cdef const real *b = <const real*>g.b
    cdef int64_t lanes = vector_lanes(b), p, j
    if g.rsb == 1:
        for j in range(g.n):
            memcpy(columns + j * g.k, b + j * g.csb, g.k * sizeof(real))
    elif g.csb == 1:
        for j in range(ceil_div(g.n, lanes)):
            pack_columns(g.k, min(lanes, g.n - j * lanes), b + j * lanes, g.rsb,
                         columns + j * lanes * g.k)
    else:
        for p in range(g.k):
            for j in range(g.n):
                columns[j * g.k + p] = b[p * g.rsb + j * g.csb]


cdef void dots_share(int team, int thread, const Product *g, const real *columns) noexcept nogil:
    """Compute this thread's tiles of C.

    Threads divide the longer side of C, and the operand along it is read once.
    """
    cdef const real *a = <const real*>g.a
    cdef int64_t wide = balanced(g.n, dot_columns(columns), 1)
    cdef int64_t high = balanced(g.m, min(dot_rows(columns), dot_tile(columns) // wide), 1)
    cdef int64_t column_tiles = ceil_div(g.n, wide), row_tiles = ceil_div(g.m, high)
    cdef int64_t tile, first, last, i, j, pb, pc, kb, offset
    # Block k: the rows of A of a tile then stay in the L1 cache, and no chain exceeds FOLD terms.
    cdef int64_t kc = balanced(g.k, FOLD, 1), k_blocks = ceil_div(g.k, kc)
    cdef bint by_rows = g.m >= g.n, end
    share(row_tiles if by_rows else column_tiles, team, thread, &first, &last)
    for pb in range(k_blocks):
        pc = pb * kc
        kb = min(kc, g.k - pc)
        end = pb == k_blocks - 1
        for tile in range(first * column_tiles if by_rows else first * row_tiles,
                          last * column_tiles if by_rows else last * row_tiles):
            i = (tile // column_tiles if by_rows else tile % row_tiles) * high
            j = (tile % column_tiles if by_rows else tile // row_tiles) * wide
            offset = i * g.rsc + j * g.csc
            gemm_dots(min(high, g.m - i), min(wide, g.n - j), kb, <real>g.alpha, a + i * g.rsa + pc,
                      g.rsa, columns + j * g.k + pc, g.k, <real>(g.beta if pb == 0 else 1),
                      <real*>g.c + offset, g.rsc, g.csc,
                      <const real*>g.bias + j if end and g.bias is not NULL else NULL,
                      g.activation if end else FASTNN_ACT_NONE,
                      <real*>g.preact + offset if end and g.preact is not NULL else NULL)
