"""The five loops, for gemm.pyx."""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real, tile_columns

cdef struct Product:
    int64_t m, n, k
    const void *a
    int64_t rsa, csa
    const void *b
    int64_t rsb, csb
    void *c
    int64_t rsc, csc
    double alpha, beta
    const void *bias
    int64_t incbias         # 1, or 0: one value for all columns (matrix-vector products only)
    int activation
    void *preact            # the strides of c
    bint b_is_packed        # b is what pack_whole wrote; its strides mean nothing

cdef struct Blocks:
    int64_t mr              # rows of a tile at most
    int64_t mc, kc, nc, k_blocks, n_blocks
    bint pack_a, b_in_place
    int64_t height, taller  # rows of a tile where A is in place; the first `taller` tiles have one more
    int64_t size_a, size_b  # reals of scratch for a block of A (each thread) and of B (all together)

cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b

cdef inline int64_t balanced(int64_t total, int64_t most, int64_t unit) noexcept nogil:
    """The size of equal blocks of at most `most`, in whole units: 400 by 384 is 200 + 200, not 384 + 16."""
    cdef int64_t count = max(1, ceil_div(total, most))
    return max(unit, ceil_div(ceil_div(total, count), unit) * unit)

cdef inline int64_t panel_count(int64_t n, const real *t) noexcept nogil:
    return ceil_div(n, tile_columns(t))

cdef void choose_blocks(const Product *g, Blocks *s, const real *t) noexcept nogil
cdef void worker(int team, int thread, const Product *g, const Blocks *s, real *scratch) noexcept nogil
cdef int64_t packed_size(int64_t k, int64_t n, const real *t) noexcept nogil
cdef void pack_whole(int64_t k, int64_t n, const real *b, int64_t rsb, int64_t csb, real *packed) noexcept nogil
