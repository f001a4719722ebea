"""Softmax attention, forward: O = softmax(scale Q K^T + mask) V without an array of scores.

    for a range of query tiles of one head             part of the thread's share, <= CHUNK queries
        for each block of keys they attend to          K^T and V are packed once for the range
            for each tile of queries                   S, its softmax so far, O += P V: attention.h

A block has its own largest score, sum and O, which join those of the blocks before it. Blocks begin
at multiples of a size that depends on d and the window alone, and those that a window does not
reach change nothing. So a query has the same bits whatever queries come with it, however many keys
it does not attend to, and whatever the threads; decode.pyx computes the same blocks.
"""
from libc.math cimport INFINITY, M_LOG2E
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ..ground.arrays cimport NO_MEMORY, OK
from .decode cimport attention_few, is_few
from .parts cimport (MOST_ROWS, Attention, Blocks, all_see, choose_blocks, drop, fill_limits,
                    head_of, hidden, hide, mask_at, normalize, pairs, share_tiles, visible,
                    whole_vectors)
from ..ground.dispatch cimport (FASTNN_MASK_NONE, all_finite, attention_finish, attention_join,
                                attention_mask, attention_probabilities, attention_scores,
                                attention_softmax, attention_values, pack_panels, real)
from ..ground.machine cimport machine
from ..ground.memory cimport give, take
from ..ground.threads cimport run_team, threads_for

cdef enum:
    # Thresholds are measured in docs/tuning.md.
    ROWS = 32               # queries of a tile
    KEYS_BYTES = 2048       # most bytes of a row of scores: 512 keys in float32
    BLOCK_BYTES = 256 << 10 # most bytes of a block of K and V; fixed, since it decides bits
    CHUNK = 1024            # most queries that a packed block of keys is used for


cdef void score_tile(
    const Attention *a, const Blocks *s, int64_t b, int64_t h, int64_t i0, int64_t rows, int64_t k0,
    int64_t keys, const real *k, const int64_t *limit, real *scores
) noexcept nogil:
    """Compute S log2(e) of one tile, masked."""
    attention_scores(rows, keys, a.d, <real>(a.scale * M_LOG2E),
                     head_of(a.q, a.qs, b, h, k) + i0 * a.qs[2], a.qs[2], k, limit, scores, s.lds)
    if a.mask_kind != FASTNN_MASK_NONE:
        attention_mask(a.mask_kind, rows, limit, scores, s.lds, mask_at(a, b, h, i0, k0, k),
                       a.mask_strides[2], a.mask_strides[3])
    if a.window > 0:
        hide(a, b, i0, rows, k0, limit, scores, s.lds)


cdef int64_t block_keys(const Attention *a, const real *t) noexcept nogil:
    """Return the keys of a block, which decide the bits (docs/tuning.md)."""
    return (min(<int64_t>KEYS_BYTES, BLOCK_BYTES // max(<int64_t>1, a.d + a.dv))
            // <int64_t>sizeof(real))


cdef void no_keys(int64_t rows, int64_t dv, real *m, real *l, real *o, int64_t ldo) noexcept nogil:
    """Set O, m and l to what queries without a key have."""
    cdef int64_t i
    for i in range(rows):
        m[i], l[i] = -<real>INFINITY, 0
        memset(o + i * ldo, 0, dv * sizeof(real))


cdef void forward_tile(
    const Attention *a, const Blocks *s, int64_t b, int64_t h, int64_t i0, int64_t k0, int64_t keys,
    bint first, const real *k, const real *v, int *finite, real *scores, real *m, real *l, real *o,
    int64_t ldo
) noexcept nogil:
    """Compute O, m and l of one tile of queries and one block of keys; add them if not `first`.

    *finite is 1 if the block of V is finite, 0 if not, and -1 before it has been checked.
    """
    cdef int64_t limit[MOST_ROWS]
    cdef real[MOST_ROWS] m_block
    cdef real[MOST_ROWS] l_block
    cdef real *m_new = m
    cdef real *l_new = l
    cdef real *o_new = o
    cdef int64_t ldnew = ldo
    cdef int64_t rows = min(s.rows, a.n_queries - i0)
    cdef int64_t most = fill_limits(a, b, i0, rows, k0, keys, limit)
    if most == 0:
        if first:
            no_keys(rows, a.dv, m, l, o, ldo)
        return
    score_tile(a, s, b, h, i0, rows, k0, keys, k, limit, scores)
    if not first:
        m_new, l_new, o_new, ldnew = m_block, l_block, scores + s.rows * s.lds, a.dv
    attention_softmax(rows, limit, scores, s.lds, m_new, l_new)
    if a.dropout_p > 0:
        drop(a, b, h, i0, rows, k0, most, scores, scores, s.lds)
    if finite[0] < 0 and not all_see(a, rows, limit):
        finite[0] = all_finite(whole_vectors(a.dv, k) * keys, v)
    attention_values(rows, keys, a.dv, scores, s.lds, limit, v, finite[0] != 0, <real>0, o_new,
                     ldnew)
    if not first:
        attention_join(rows, a.dv, m_new, l_new, o_new, ldnew, m, l, o, ldo)


cdef void forward_chunk(const Attention *a, const Blocks *s, int64_t head, int64_t tile0,
                        int64_t tile1, real *out, const int64_t *os, real *lse, real *normalizer,
                        real *scratch) noexcept nogil:
    """Compute O, lse and the normalizer for query tiles tile0..tile1-1 of one head."""
    cdef int64_t b = head // a.heads, h = head % a.heads, h_kv = h // (a.heads // a.kv_heads)
    cdef int64_t i, i0 = tile0 * s.rows, k0, start, keys, tile, most = 0
    cdef int64_t i1 = min(a.n_queries, tile1 * s.rows)
    cdef const real *k = head_of(a.k, a.ks, b, h_kv, scratch)
    cdef const real *v = head_of(a.v, a.vs, b, h_kv, scratch)
    cdef real *packed_k = scratch
    cdef real *packed_v = packed_k + s.keys_panels
    cdef real *scores = packed_v + s.values_panels
    cdef real *m = scores + s.rows * (s.lds + a.dv)
    cdef real *l = m + i1 - i0
    cdef real *sums = l + i1 - i0       # log-sum-exp
    cdef int64_t first = head * a.n_queries + i0
    cdef bint saved = lse is not NULL or normalizer is not NULL
    cdef int finite
    out += b * os[0] + h * os[1]
    for i in range(i0, i1):
        most = max(most, visible(a, b, i))
    start = min(most, hidden(a, b, i0)) // s.keys * s.keys
    k0 = start
    while k0 == start or k0 < most:
        keys = min(s.keys, most - k0)
        finite = -1
        pack_panels(keys, a.d, k + k0 * a.ks[2], 1, a.ks[2], packed_k)
        pack_panels(a.dv, keys, v + k0 * a.vs[2], a.vs[2], 1, packed_v)
        for tile in range(tile0, tile1):
            i = tile * s.rows
            forward_tile(a, s, b, h, i, k0, keys, k0 == start, packed_k, packed_v, &finite, scores,
                         m + i - i0, l + i - i0, out + i * os[2], os[2])
        k0 += s.keys
    attention_finish(i1 - i0, a.dv, m, l, out + i0 * os[2], os[2], sums if saved else NULL)
    if lse is not NULL:
        memcpy(lse + first, sums, (i1 - i0) * sizeof(real))
    if normalizer is not NULL:
        for i in range(i1 - i0):
            normalize(sums[i], m[i], l[i], normalizer + first + i,
                      normalizer + a.batch * a.heads * a.n_queries + first + i)


cdef void forward_share(int team, int thread, const Attention *a, const Blocks *s, int64_t size,
                        real *out, const int64_t *os, real *lse, real *normalizer,
                        real *scratch) noexcept nogil:
    """Compute this thread's tiles, in ranges of one head and at most CHUNK queries."""
    cdef int64_t tile, last, stop, head
    share_tiles(a, s, team, thread, &tile, &last)
    while tile < last:
        head = tile // s.row_tiles
        stop = min(last, (head + 1) * s.row_tiles, tile + max(<int64_t>1, CHUNK // s.rows))
        forward_chunk(a, s, head, tile - head * s.row_tiles, stop - head * s.row_tiles, out, os,
                      lse, normalizer, scratch + thread * size)
        tile = stop


cdef int attention_forward(const Attention *a, real *out, const int64_t *os, real *lse,
                           real *normalizer) noexcept nogil:
    cdef Blocks s
    cdef int team
    cdef int64_t size
    cdef real *scratch
    if a.batch * a.heads * a.n_queries == 0:
        return OK
    choose_blocks(a, ROWS, block_keys(a, out), &s, out)
    if is_few(a):
        return attention_few(a, &s, out, os, lse, normalizer)
    team = threads_for(2 * pairs(a) * (a.d + a.dv), 2 * machine.flops_grain / 3)
    size = s.keys_panels + s.values_panels + s.rows * (s.lds + a.dv)
    size = whole_vectors(size + 3 * min(s.row_tiles * s.rows, CHUNK + s.rows), out)     # m, l, lse
    scratch = <real*>take(team * size * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    run_team(team, forward_share[real], a, &s, size, out, os, lse, normalizer, scratch)
    give(scratch)
    return OK


cdef void weights_share(int team, int thread, const Attention *a, const Blocks *s,
                        const real *normalizer, real *weights, real *scratch) noexcept nogil:
    """Compute this thread's tiles of the weights, a block of keys at a time as in forward_chunk."""
    cdef int64_t limit[MOST_ROWS]
    cdef int64_t tile, last, b, h, h_kv, i0, rows, r, k0, keys, first
    cdef real *packed_k = scratch + thread * (s.keys_panels + s.rows * s.lds)
    cdef real *scores = packed_k + s.keys_panels
    cdef real *row
    share_tiles(a, s, team, thread, &tile, &last)
    for tile in range(tile, last):
        b, h, i0 = (tile // s.row_tiles // a.heads, tile // s.row_tiles % a.heads,
                    tile % s.row_tiles * s.rows)
        h_kv = h // (a.heads // a.kv_heads)
        rows = min(s.rows, a.n_queries - i0)
        first = (b * a.heads + h) * a.n_queries + i0
        row = weights + first * a.n_keys
        k0 = 0
        while k0 < a.n_keys:
            keys = min(s.keys, a.n_keys - k0)
            pack_panels(keys, a.d, head_of(a.k, a.ks, b, h_kv, scratch) + k0 * a.ks[2], 1, a.ks[2],
                        packed_k)
            fill_limits(a, b, i0, rows, k0, keys, limit)
            score_tile(a, s, b, h, i0, rows, k0, keys, packed_k, limit, scores)
            attention_probabilities(rows, limit, keys, scores, s.lds, normalizer + first,
                                    normalizer + a.batch * a.heads * a.n_queries + first)
            if a.dropout_p > 0:
                drop(a, b, h, i0, rows, k0, keys, scores, scores, s.lds)
            for r in range(rows):
                memcpy(row + r * a.n_keys + k0, scores + r * s.lds, keys * sizeof(real))
            k0 += keys


cdef int attention_weights(const Attention *a, const real *normalizer,
                           real *weights) noexcept nogil:
    cdef Blocks s
    cdef int team
    cdef real *scratch
    if a.batch * a.heads * a.n_queries * a.n_keys == 0:
        return OK
    choose_blocks(a, MOST_ROWS, KEYS_BYTES // <int64_t>sizeof(real), &s, weights)
    team = threads_for(2 * pairs(a) * a.d, 2 * machine.flops_grain / 3)
    scratch = <real*>take(team * (s.keys_panels + s.rows * s.lds) * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    run_team(team, weights_share[real], a, &s, normalizer, weights, scratch)
    give(scratch)
    return OK
