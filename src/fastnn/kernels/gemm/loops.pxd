"""The five loops around the micro-kernel, used by paths.pyx, and the layout of packed weights."""
from libc.stdint cimport int32_t, int64_t

from ..ground.dispatch cimport FASTNN_BF16, real, tile_columns

cdef enum:
    CHAIN = 512         # most terms of a chain (docs/tuning.md)

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
    int64_t incbias         # 1: along the columns; 0: along the rows (row.pyx only)
    int activation
    void *preact            # NULL, or an array with the strides of c
    int format              # of b: STRIDED or PANELS; others point to a Low

cdef enum:
    # Formats of B; those of 16 and 8 bits are FASTNN_BF16, FASTNN_INT8 and FASTNN_INT8_G32.
    STRIDED = 0
    PANELS = 1              # written by pack_whole; rsb and csb are not read, nor for a Low

cdef struct Low:
    # Weights of 16 or 8 bits, in strips (low.h), written by low_pack of strips.pyx.
    int format
    int64_t k, n, strips
    int64_t kc              # rows of a block, each padded to whole units
    int64_t rows            # of a strip: all blocks
    int64_t next            # bytes of a strip
    int64_t ahead           # scales of a strip
    void *data
    float *scales
    int32_t *sums           # int8: of the columns, for each part of PART rows

cdef struct Blocks:
    int64_t mr              # most rows of a tile
    int64_t mc, kc, nc, k_blocks, n_blocks
    bint pack_a, b_in_place
    int64_t height, taller  # A in place: `taller` tiles of height + 1 rows, then tiles of height
    int64_t size_a, size_b  # scratch elements of a block of A (per thread) and of B (shared)

cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b

cdef inline int64_t balanced(int64_t total, int64_t most, int64_t unit) noexcept nogil:
    """Return the size of nearly equal blocks of at most `most`, in whole units.

    400 by 384 becomes 200 + 200, not 384 + 16.
    """
    cdef int64_t count = max(1, ceil_div(total, most))
    return max(unit, ceil_div(ceil_div(total, count), unit) * unit)

cdef inline int64_t block_k(int64_t k) noexcept nogil:
    """Return the terms of a chain of multiply-adds (KC).

    It depends on k alone, never on caches or on what is packed, as it decides the bits.
    """
    return balanced(k, CHAIN, 1)

cdef inline int64_t padded(int64_t rows) noexcept nogil:
    """Return the rows of whole units that hold a block."""
    return ceil_div(rows, 4) * 4

cdef inline int row_bytes(int format) noexcept nogil:
    return 2 if format == FASTNN_BF16 else 1

cdef inline int64_t panel_count(int64_t n, const real *t) noexcept nogil:
    return ceil_div(n, tile_columns(t))

cdef int64_t panel_start(int64_t panel, int64_t n, const real *t) noexcept nogil
cdef void split_team(
    int team, int64_t row_tiles, int64_t panels, bint by_columns, int *rows, int *columns
) noexcept nogil
cdef void choose_blocks(const Product *g, Blocks *s, const real *t) noexcept nogil
cdef void worker(
    int team, int thread, const Product *g, const Blocks *s, real *scratch
) noexcept nogil
cdef int64_t block_n(int64_t n, const real *t) noexcept nogil
cdef int64_t packed_size(int64_t k, int64_t n, const real *t) noexcept nogil
cdef int pack_whole(
    int64_t k, int64_t n, const real *b, int64_t rsb, int64_t csb, real *packed
) noexcept nogil
