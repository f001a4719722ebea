"""What the loops of attention share: checks of lengths, block sizes, and the partition of the work.
"""
from libc.stdint cimport int64_t

from ..ground.threads cimport share

cdef enum:
    TILE_COST = 16      # fixed cost of a tile of queries, in keys
    WINDOW_KEYS = 64    # fewest keys of a block under a window, so that few are hidden in it


cdef bint bad_length(const Attention *a, int64_t *b, int64_t *i) noexcept nogil:
    """True if a length is not from 0 to n_keys; b and i are the first such example and query."""
    cdef int64_t n, queries = a.n_queries if a.lengths_strides[1] else 1
    if a.lengths is NULL:
        return False
    for b[0] in range(a.batch):
        for i[0] in range(queries):
            n = a.lengths[b[0] * a.lengths_strides[0] + i[0] * a.lengths_strides[1]]
            if n < 0 or n > a.n_keys:
                return True
    return False


cdef void choose_blocks(
    const Attention *a, int64_t most_rows, int64_t most_keys, Blocks *s, const real *t
) noexcept nogil:
    """Choose the sizes of tiles and blocks; they depend on the shape alone.

    Tiles have at most most_rows queries, in whole GEMM tiles. All blocks but the last have about
    most_keys keys, in whole panels, however many keys there are: a query then has the same bits
    whether its keys come at once or in parts. Under a window blocks are no larger than it.
    """
    cdef int64_t mr = tile_rows(t)
    if a.window > 0:
        most_keys = min(most_keys, max(<int64_t>WINDOW_KEYS, a.window))
    s.rows = min(max(mr, most_rows // mr * mr), FASTNN_ATTENTION_TILES * mr)
    s.rows = balanced(a.n_queries, s.rows, mr)
    s.row_tiles = ceil_div(a.n_queries, s.rows)
    s.keys = ceil_div(max(<int64_t>1, most_keys), tile_columns(t)) * tile_columns(t)
    s.key_blocks = ceil_div(a.n_keys, s.keys)
    s.keys = min(s.keys, max(a.n_keys, <int64_t>1))
    s.lds = whole_vectors(s.keys, t)
    s.keys_panels = whole_vectors(s.keys, t) * a.d
    s.values_panels = whole_vectors(a.dv, t) * s.keys


cdef int64_t tile_cost(const Attention *a, const Blocks *s, int64_t b, int64_t tile) noexcept nogil:
    """Estimate the cost of a tile: the average number of visible keys plus the fixed cost."""
    cdef int64_t i = tile * s.rows, last = min(a.n_queries, i + s.rows) - 1
    return max(<int64_t>0, (visible(a, b, i) + visible(a, b, last)) // 2 - hidden(a, b, i)) + (
        TILE_COST)


cdef void share_tiles(
    const Attention *a, const Blocks *s, int team, int thread, int64_t *first, int64_t *last
) noexcept nogil:
    """Compute this thread's tiles [first, last), numbered by example, head and tile.

    The shares are consecutive and nearly equal in cost.
    """
    cdef int64_t tiles = a.heads * s.row_tiles, b, t, total = 0, done = 0, cost, start, stop
    if team == 1 or (not a.causal and a.lengths is NULL and a.window == 0):
        share(a.batch * tiles, team, thread, first, last)
        return
    for b in range(a.batch):
        for t in range(s.row_tiles):
            total += a.heads * tile_cost(a, s, b, t)
    start, stop = total * thread // team, total * (thread + 1) // team
    first[0] = last[0] = a.batch * tiles
    if thread == 0:
        first[0] = 0
    # A tile belongs to the thread whose share of the total cost contains its first pair.
    for t in range(a.batch * tiles):
        cost = tile_cost(a, s, t // tiles, t % s.row_tiles)
        if done < start <= done + cost:
            first[0] = t + 1
        if done < stop <= done + cost:
            last[0] = t + 1
            return
        done += cost


cdef double pairs(const Attention *a) noexcept nogil:
    """Estimate the number of pairs of a query and a key that it attends to."""
    cdef double queries = <double>a.batch * a.heads * a.n_queries
    cdef double keys = a.n_keys / 2.0 if a.causal else a.n_keys
    if a.window > 0:
        keys = min(keys, <double>(a.window if a.causal else 2 * a.window))
    return queries * keys
