"""Softmax attention, backward: dQ, dK and dV; the probabilities P are recomputed tile by tile.

    for each block of keys of a head           pack K^T, V^T and K; sum dK and dV of the block
        for each query head of the group
            for each tile of queries           S, P, dP, dS and five products: attention_backward.h

Schedule 1: one thread per key/value head, five products per tile. Schedule 2, if the heads do not
divide well among the threads: first blocks of keys (dV, dK), then tiles of queries (dQ); seven
products, since S and dP are recomputed. Each sum runs over the same tiles in the same order in both
schedules, so the bits do not depend on the number of threads.

P comes from the normalizer that forward saved. If only lse was saved, and one is too large to be
accurate, a forward pass without values recomputes the normalizer.
"""
from libc.math cimport M_LOG2E
from libc.stdint cimport int64_t
from libc.string cimport memset

from ..ground.arrays cimport NO_MEMORY, OK
from .forward cimport attention_forward, score_tile
from .parts cimport (MOST_ROWS, Attention, Blocks, all_see, choose_blocks, drop, fill_limits,
                    head_of, hidden, lse_suffices, normalize_by_lse, pairs, share_tiles, visible,
                    whole_vectors)
from ..ground.dispatch cimport (all_finite, attention_delta, attention_dscores,
                                attention_probabilities, attention_scores, attention_transposed,
                                attention_values, pack_panels, real)
from ..ground.machine cimport machine
from ..ground.memory cimport give, take
from ..ground.sums cimport add_rows
from ..ground.threads cimport barrier, run_team, share, threads_for

cdef enum:
    ROWS = 64               # queries of a tile
    KEYS_BYTES = 768        # most bytes of a row of scores

cdef struct Part:
    # A part of the work: query tiles tile0..tile1-1 of heads g0..g1-1 in the group of key/value
    # head h_kv, key blocks block0..block1-1, and which gradients to compute.
    int64_t b, h_kv, g0, g1, tile0, tile1, block0, block1
    bint of_keys, of_queries


cdef struct Scratch:
    void *keys_t            # K^T of a block, panels
    void *values_t          # V^T
    void *keys_rows         # K
    void *queries           # Q of a tile, panels
    void *douts             # dO of a tile, panels
    void *p                 # rows x lds
    void *dp
    int keys_finite         # 1 if K of the block is finite, 0 if not, -1 before it is checked


cdef int64_t lay_out(const Attention *a, const Blocks *s, Scratch *x, real *start) noexcept nogil:
    """Lay out the scratch of a thread; return its size in elements."""
    cdef real *at = start
    x.keys_t = at
    at += s.keys_panels
    x.values_t = at
    at += whole_vectors(s.keys, start) * a.dv
    x.keys_rows = at
    at += whole_vectors(a.d, start) * s.keys
    x.queries = at
    at += whole_vectors(a.d, start) * s.rows
    x.douts = at
    at += whole_vectors(a.dv, start) * s.rows
    x.p = at
    at += s.rows * s.lds
    x.dp = at
    at += s.rows * s.lds
    return whole_vectors(at - start, start)


cdef inline int64_t rows_of(const Attention *a) noexcept nogil:
    return a.batch * a.heads * a.n_queries


cdef inline int64_t distances(const Attention *a) noexcept nogil:
    return a.n_queries + a.n_keys - 1


cdef inline void zero_rows(int64_t rows, int64_t n, real *x, int64_t ld) noexcept nogil:
    cdef int64_t i
    if ld == n:
        memset(x, 0, rows * n * sizeof(real))
        return
    for i in range(rows):
        memset(x + i * ld, 0, n * sizeof(real))


cdef void add_distances(
    int64_t rows, const int64_t *limit, const real *p, const real *dp, int64_t lds,
    const real *delta, real *dbias
) noexcept nogil:
    """Add P (dP - delta) of each row and key to dbias[key - row]."""
    cdef int64_t r, j
    for r in range(rows):
        for j in range(limit[r]):
            if p[r * lds + j] != 0:
                dbias[j - r] += p[r * lds + j] * (dp[r * lds + j] - delta[r])


cdef void backward_tile(
    const Attention *a, const Gradients *g, const Blocks *s, const Part *w, Scratch *x, int64_t h,
    int64_t i0, int64_t k0, int64_t keys, const real *delta
) noexcept nogil:
    """Add to dV, dK and dQ what one tile of queries of head h and one block of keys contribute."""
    cdef int64_t limit[MOST_ROWS]
    cdef int64_t rows = min(s.rows, a.n_queries - i0)
    cdef int64_t most = fill_limits(a, w.b, i0, rows, k0, keys, limit)
    cdef int64_t row = (w.b * a.heads + h) * a.n_queries + i0
    cdef const real *q = head_of(a.q, a.qs, w.b, h, delta) + i0 * a.qs[2]
    cdef const real *dout = head_of(g.dout, g.dos, w.b, h, delta) + i0 * g.dos[2]
    cdef real *p = <real*>x.p
    cdef real *dp = <real*>x.dp
    cdef real *queries = <real*>x.queries
    cdef real *douts = <real*>x.douts
    cdef bint alike = all_see(a, rows, limit)
    if most == 0:
        return
    score_tile(a, s, w.b, h, i0, rows, k0, keys, <real*>x.keys_t, limit, p)
    attention_probabilities(rows, limit, most, p, s.lds, <const real*>g.normalizer + row,
                            <const real*>g.normalizer + rows_of(a) + row)
    if w.of_keys:
        if a.dropout_p > 0:
            drop(a, w.b, h, i0, rows, k0, most, p, dp, s.lds)
        pack_panels(a.dv, rows, dout, g.dos[2], 1, douts)
        attention_transposed(rows, most, a.dv, dp if a.dropout_p > 0 else p, s.lds, limit, douts,
                             alike or all_finite(whole_vectors(a.dv, p) * rows, douts),
                             <real*>head_of(g.dv, g.dvs, w.b, w.h_kv, p) + k0 * g.dvs[2], g.dvs[2])
    attention_scores(rows, keys, a.dv, <real>1, dout, g.dos[2], <real*>x.values_t, limit, dp, s.lds)
    if a.dropout_p > 0:
        drop(a, w.b, h, i0, rows, k0, most, dp, dp, s.lds)
    if w.of_keys and g.dbias_parts is not NULL:
        add_distances(rows, limit, p, dp, s.lds, delta + row, <real*>g.dbias_parts
                      + ((w.b * a.heads + h) * s.key_blocks + k0 // s.keys) * distances(a)
                      + k0 - i0 + a.n_queries - 1)
    attention_dscores(rows, whole_vectors(most, p), <real>a.scale, p, delta + row, dp, s.lds)
    if w.of_keys:
        pack_panels(a.d, rows, q, a.qs[2], 1, queries)
        attention_transposed(rows, most, a.d, dp, s.lds, limit, queries,
                             alike or all_finite(whole_vectors(a.d, p) * rows, queries),
                             <real*>head_of(g.dk, g.dks, w.b, w.h_kv, p) + k0 * g.dks[2], g.dks[2])
    if w.of_queries:
        if x.keys_finite < 0 and not alike:
            x.keys_finite = all_finite(whole_vectors(a.d, p) * keys, <real*>x.keys_rows)
        attention_values(rows, keys, a.d, dp, s.lds, limit, <real*>x.keys_rows, x.keys_finite != 0,
                         <real>1, <real*>head_of(g.dq, g.dqs, w.b, h, p) + i0 * g.dqs[2], g.dqs[2])


cdef void backward_part(
    const Attention *a, const Gradients *g, const Blocks *s, const Part *w, Scratch *x,
    const real *delta
) noexcept nogil:
    cdef const real *k = head_of(a.k, a.ks, w.b, w.h_kv, delta)
    cdef const real *v = head_of(a.v, a.vs, w.b, w.h_kv, delta)
    cdef int64_t group = a.heads // a.kv_heads, block, h, tile, k0, keys, i0 = w.tile0 * s.rows
    for h in range(w.h_kv * group + w.g0, w.h_kv * group + w.g1):
        if w.of_queries:
            zero_rows(min(a.n_queries, w.tile1 * s.rows) - i0, a.d,
                      <real*>head_of(g.dq, g.dqs, w.b, h, delta) + i0 * g.dqs[2], g.dqs[2])
    for block in range(w.block0, w.block1):
        k0 = block * s.keys
        keys = min(s.keys, a.n_keys - k0)
        if w.of_keys:
            zero_rows(keys, a.d, <real*>head_of(g.dk, g.dks, w.b, w.h_kv, delta) + k0 * g.dks[2],
                      g.dks[2])
            zero_rows(keys, a.dv, <real*>head_of(g.dv, g.dvs, w.b, w.h_kv, delta) + k0 * g.dvs[2],
                      g.dvs[2])
        keys = min(keys, most_visible(a, s, w) - k0)
        if keys <= 0 or hidden(a, w.b, i0) >= k0 + keys:
            continue
        pack_panels(keys, a.d, k + k0 * a.ks[2], 1, a.ks[2], <real*>x.keys_t)
        pack_panels(keys, a.dv, v + k0 * a.vs[2], 1, a.vs[2], <real*>x.values_t)
        if w.of_queries:
            pack_panels(a.d, keys, k + k0 * a.ks[2], a.ks[2], 1, <real*>x.keys_rows)
        x.keys_finite = -1
        for h in range(w.h_kv * group + w.g0, w.h_kv * group + w.g1):
            for tile in range(w.tile0, w.tile1):
                backward_tile(a, g, s, w, x, h, tile * s.rows, k0, keys, delta)


cdef int64_t most_visible(const Attention *a, const Blocks *s, const Part *w) noexcept nogil:
    """Return the largest number of keys that a query of the part attends to."""
    cdef int64_t i, most = 0, first = w.tile0 * s.rows, last = min(a.n_queries, w.tile1 * s.rows)
    if a.lengths is NULL or a.lengths_strides[1] == 0:
        return visible(a, w.b, last - 1)
    for i in range(first, last):
        most = max(most, visible(a, w.b, i))
    return most


cdef void whole_heads(
    int team, int thread, const Attention *a, const Gradients *g, const Blocks *s, Scratch *x,
    const real *delta
) noexcept nogil:
    """Schedule 1: compute all gradients of the key/value heads whose first tile is in the share."""
    cdef int64_t head, tiles = a.heads // a.kv_heads * s.row_tiles, first, last
    cdef Part w = Part(0, 0, 0, a.heads // a.kv_heads, 0, s.row_tiles, 0, s.key_blocks, True, True)
    share_tiles(a, s, team, thread, &first, &last)
    for head in range((first + tiles - 1) // tiles, (last + tiles - 1) // tiles):
        w.b, w.h_kv = head // a.kv_heads, head % a.kv_heads
        backward_part(a, g, s, &w, x, delta)


cdef void blocks_then_tiles(
    int team, int thread, const Attention *a, const Gradients *g, const Blocks *s, Scratch *x,
    const real *delta
) noexcept nogil:
    """Schedule 2: compute dV and dK for this thread's blocks of keys, then dQ for its query tiles.

    Blocks are dealt out round-robin: in causal attention the first ones are the longest.
    """
    cdef int64_t group = a.heads // a.kv_heads, item, first, last, head, tile
    cdef Part w = Part(0, 0, 0, group, 0, s.row_tiles, 0, 0, True, False)
    item = thread
    while item < a.batch * a.kv_heads * s.key_blocks:
        head, w.block0 = item // s.key_blocks, item % s.key_blocks
        w.b, w.h_kv, w.block1 = head // a.kv_heads, head % a.kv_heads, w.block0 + 1
        backward_part(a, g, s, &w, x, delta)
        item += team
    w.of_keys, w.of_queries, w.block0, w.block1 = False, True, 0, s.key_blocks
    share_tiles(a, s, team, thread, &first, &last)
    tile = first
    while tile < last:
        head = tile // s.row_tiles
        w.b, w.h_kv, w.g0 = head // a.heads, head % a.heads // group, head % a.heads % group
        w.g1, w.tile0 = w.g0 + 1, tile - head * s.row_tiles
        w.tile1 = min(s.row_tiles, w.tile0 + last - tile)
        backward_part(a, g, s, &w, x, delta)
        tile += w.tile1 - w.tile0


cdef void backward_share(
    int team, int thread, const Attention *a, const Gradients *g, const Blocks *s, int64_t size,
    real *delta, real *scratch
) noexcept nogil:
    cdef Scratch x
    cdef int64_t row, first, last, b, h, i, rows, items = a.batch * a.kv_heads
    share(a.batch * a.heads * a.n_queries, team, thread, &row, &last)
    while row < last:
        b, h, i = row // a.n_queries // a.heads, row // a.n_queries % a.heads, row % a.n_queries
        rows = min(last - row, a.n_queries - i)
        attention_delta(rows, a.dv, head_of(g.dout, g.dos, b, h, delta) + i * g.dos[2], g.dos[2],
                        head_of(g.out, g.os, b, h, delta) + i * g.os[2], g.os[2], delta + row)
        row += rows
    barrier(team)
    lay_out(a, s, &x, scratch + thread * size)
    # Whole heads take five products per tile, the other schedule seven, but evenly divided.
    if 5 * ((items + team - 1) // team) * team <= 7 * items:
        whole_heads(team, thread, a, g, s, &x, delta)
    else:
        blocks_then_tiles(team, thread, a, g, s, &x, delta)


cdef bint all_suffice(const real *lse, int64_t n) noexcept nogil:
    """True if every lse is accurate enough to compute P."""
    cdef int64_t i
    for i in range(n):
        if not lse_suffices(lse[i]):
            return False
    return True


cdef int make_normalizer(const Attention *a, const real *lse, real *normalizer) noexcept nogil:
    """Compute each row's normalizer from its lse, or from the scores if the lse is too large."""
    cdef Attention scores = a[0]
    cdef int64_t[3] none = [0, 0, 0]
    cdef int64_t i, n = rows_of(a)
    cdef int status = OK
    scores.dv, scores.dropout_p = 0, 0      # no values: only the normalizer is needed
    if not all_suffice(lse, n):
        status = attention_forward(&scores, normalizer, none, <real*>NULL, normalizer)
    for i in range(n):
        if lse_suffices(lse[i]):
            normalize_by_lse(lse[i], normalizer + i, normalizer + n + i)
    return status


cdef int attention_gradients(const Attention *a, const Gradients *g, const real *t) noexcept nogil:
    cdef Gradients whole = g[0]
    cdef real *normalizer
    cdef int status
    if g.normalizer is not NULL:
        return gradients_of(a, g, t)
    normalizer = <real*>take(2 * rows_of(a) * <int64_t>sizeof(real))
    if normalizer is NULL:
        return NO_MEMORY
    status = make_normalizer(a, <const real*>g.lse, normalizer)
    whole.normalizer = normalizer
    if status == OK:
        status = gradients_of(a, &whole, t)
    give(normalizer)
    return status


cdef int gradients_of(const Attention *a, const Gradients *g, const real *t) noexcept nogil:
    cdef Gradients whole = g[0]
    cdef Blocks s
    cdef Scratch x
    cdef int team
    cdef int64_t size, row, rows = rows_of(a), sums = 0
    cdef real *delta
    if a.batch * a.kv_heads == 0:
        return OK
    if a.heads * a.n_queries == 0:      # no query attends to the keys
        for row in range(a.batch * a.kv_heads):
            zero_rows(a.n_keys, a.d,
                      <real*>head_of(g.dk, g.dks, row // a.kv_heads, row % a.kv_heads, t), g.dks[2])
            zero_rows(a.n_keys, a.dv,
                      <real*>head_of(g.dv, g.dvs, row // a.kv_heads, row % a.kv_heads, t), g.dvs[2])
        return OK
    choose_blocks(a, ROWS, KEYS_BYTES // <int64_t>sizeof(real), &s, t)
    team = threads_for(5 * pairs(a) * (a.d + a.dv), 2 * machine.flops_grain / 3)
    size = lay_out(a, &s, &x, <real*>NULL)
    rows = whole_vectors(rows, t)
    if g.dbias is not NULL:
        sums = a.batch * a.heads * s.key_blocks * distances(a)
    delta = <real*>take((rows + team * size + sums) * <int64_t>sizeof(real))
    if delta is NULL:
        return NO_MEMORY
    whole.dbias_parts = NULL if g.dbias is NULL else delta + rows + team * size
    zero_rows(1, sums, delta + rows + team * size, sums)
    run_team(team, backward_share[real], a, &whole, &s, size, delta, delta + rows)
    for row in range(sums // max(<int64_t>1, distances(a))):    # in the order of the examples
        add_rows(1, distances(a), delta + rows + team * size + row * distances(a), distances(a),
                 <real*>g.dbias + row // s.key_blocks % a.heads * distances(a))
    give(delta)
    return OK
