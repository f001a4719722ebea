"""What the loops of attention share.

The arguments as a record, which keys a query attends to, and how the work is divided.
"""
from libc.math cimport INFINITY, M_LOG2E, fabs
from libc.stdint cimport int64_t, uint64_t

from ..ground.dispatch cimport (FASTNN_ATTENTION_TILES, FASTNN_MASK_BOOLEAN, FASTNN_MASK_NONE,
                                dropout_run, real, tile_columns, tile_rows, vector_lanes)
from ..gemm.loops cimport balanced, ceil_div

cdef enum:
    MOST_ROWS = 128     # most queries of a tile for any instruction set: 16 GEMM tiles of 8 rows
    LSE_EXACT = 16      # weights computed from an lse of at most this magnitude are good to 10 eps

cdef struct Attention:
    # q (batch, heads, n_queries, d), k and v (batch, kv_heads, n_keys, d and dv). Strides count
    # elements, along batch, head and position; the last axis is contiguous.
    int64_t batch, heads, kv_heads, n_queries, n_keys, d, dv
    const void *q
    const void *k
    const void *v
    int64_t qs[3]
    int64_t ks[3]
    int64_t vs[3]
    double scale
    bint causal
    const int64_t *lengths      # number of keys that a query may attend to, or NULL
    int64_t lengths_strides[2]  # along batch and query
    int64_t window              # a query attends to keys nearer than this; 0: to any
    const int64_t *starts       # position of the first query of each example, or NULL
    int format                  # of k and v: 0, or one of decode.pxd, and their strides are bytes
    int mask_kind               # boolean: a byte for each score; additive: a real
    const void *mask
    int64_t mask_strides[4]
    double dropout_p
    uint64_t seed, step

cdef struct Blocks:
    int64_t rows, row_tiles     # queries of a tile; tiles of a head
    int64_t keys, key_blocks    # keys of a block; blocks of a head
    int64_t lds                 # row stride of the scores
    int64_t keys_panels, values_panels      # elements of a packed block of K^T and of V

cdef inline int64_t whole_vectors(int64_t n, const real *t) noexcept nogil:
    return ceil_div(n, vector_lanes(t)) * vector_lanes(t)

cdef inline int64_t position(const Attention *a, int64_t b, int64_t i) noexcept nogil:
    """Return the key at the position of query i of example b; the last query is at the last key."""
    return i + (a.n_keys - a.n_queries if a.starts is NULL else a.starts[b])

cdef inline int64_t visible(const Attention *a, int64_t b, int64_t i) noexcept nogil:
    """Return how many leading keys query i of example b attends to, but for those `hidden`."""
    cdef int64_t n = a.n_keys
    if a.causal:
        n = max(<int64_t>0, min(n, position(a, b, i) + 1))
    elif a.window > 0:
        n = max(<int64_t>0, min(n, position(a, b, i) + a.window))
    if a.lengths is not NULL:
        n = min(n, a.lengths[b * a.lengths_strides[0] + i * a.lengths_strides[1]])
    return n

cdef inline int64_t hidden(const Attention *a, int64_t b, int64_t i) noexcept nogil:
    """Return how many leading keys lie before the window of query i of example b."""
    if a.window == 0:
        return 0
    return max(<int64_t>0, position(a, b, i) - a.window + 1)

cdef inline const real *head_of(
    const void *x, const int64_t *strides, int64_t b, int64_t h, const real *_
) noexcept nogil:
    return <const real*>x + b * strides[0] + h * strides[1]

cdef inline int64_t fill_limits(
    const Attention *a, int64_t b, int64_t i0, int64_t rows, int64_t k0, int64_t keys,
    int64_t *limit
) noexcept nogil:
    """Set limit[r] so that query i0 + r attends to none of k0+limit[r]..k0+keys-1.

    Returns the largest, or 0 if every query attends to none of the block.
    """
    cdef int64_t r, n, most = 0
    if (not a.causal and a.window == 0
            and (a.lengths is NULL or a.lengths_strides[1] == 0)):
        most = max(<int64_t>0, min(keys, visible(a, b, i0) - k0))
        for r in range(rows):
            limit[r] = most
        return most
    for r in range(rows):
        limit[r] = max(<int64_t>0, min(keys, visible(a, b, i0 + r) - k0))
        most = max(most, limit[r])
    return most if hidden(a, b, i0) < k0 + most else 0

cdef inline void hide(
    const Attention *a, int64_t b, int64_t i0, int64_t rows, int64_t k0, const int64_t *limit,
    real *scores, int64_t lds
) noexcept nogil:
    """Set the scores of keys before the window to -inf."""
    cdef int64_t r, j
    if hidden(a, b, i0 + rows - 1) <= k0:
        return
    for r in range(rows):
        for j in range(min(limit[r], hidden(a, b, i0 + r) - k0)):
            scores[r * lds + j] = -<real>INFINITY

cdef inline bint lse_suffices(real lse) noexcept nogil:
    """True if P = exp(score - lse) is accurate; in a large lse, rounding loses digits of log(l)."""
    return fabs(<double>lse) <= LSE_EXACT or lse == -INFINITY

cdef inline void normalize_by_lse(real lse, real *shift, real *factor) noexcept nogil:
    """Set shift and factor so that P = factor 2^(score log2(e) - shift); 0 for a row without keys.
    """
    shift[0], factor[0] = INFINITY if lse == -INFINITY else <real>(<double>lse * M_LOG2E), 1

cdef inline void normalize(real lse, real m, real l, real *shift, real *factor) noexcept nogil:
    """Set shift and factor from lse, or from m and l if lse is too large to be accurate."""
    normalize_by_lse(lse, shift, factor)
    if not lse_suffices(lse):
        shift[0], factor[0] = m, 1 / l

cdef inline const void *mask_at(
    const Attention *a, int64_t b, int64_t h, int64_t i, int64_t j, const real *_
) noexcept nogil:
    cdef int64_t offset = (b * a.mask_strides[0] + h * a.mask_strides[1]
                           + i * a.mask_strides[2] + j * a.mask_strides[3])
    return <const char*>a.mask + offset * (
        1 if a.mask_kind == FASTNN_MASK_BOOLEAN else <int64_t>sizeof(real)
    )

cdef inline void drop(
    const Attention *a, int64_t b, int64_t h, int64_t i0, int64_t rows, int64_t k0, int64_t n,
    const real *x, real *y, int64_t ld
) noexcept nogil:
    """Compute y = dropout(x) for the first n keys of a tile.

    The random number of a weight depends on its index in (batch, heads, n_queries, n_keys).
    """
    cdef int64_t r, first = ((b * a.heads + h) * a.n_queries + i0) * a.n_keys + k0
    for r in range(rows):
        dropout_run(n, x + r * ld, <const real*>NULL, a.dropout_p, a.seed, a.step,
                    first + r * a.n_keys, y + r * ld)

cdef inline bint all_see(const Attention *a, int64_t rows, const int64_t *limit) noexcept nogil:
    """True if all queries of the tile attend to the same keys of the block and none is masked.

    Then no weight is 0 because its key is hidden.
    """
    cdef int64_t r
    if a.mask_kind != FASTNN_MASK_NONE or a.window > 0:
        return False
    for r in range(1, rows):
        if limit[r] != limit[0]:
            return False
    return True

cdef bint bad_length(const Attention *a, int64_t *b, int64_t *i) noexcept nogil
cdef void choose_blocks(
    const Attention *a, int64_t most_rows, int64_t most_keys, Blocks *s, const real *t
) noexcept nogil
cdef void share_tiles(
    const Attention *a, const Blocks *s, int team, int thread, int64_t *first, int64_t *last
) noexcept nogil
cdef double pairs(const Attention *a) noexcept nogil
