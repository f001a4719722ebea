"""Decode: attention of few queries to many keys, such as a step of generation with a KV cache.

K and V are read once, in place, so memory bounds the speed. The keys are divided (split-KV):

    for each block of keys of a key/value head          threads divide the blocks
        S, its softmax and P V for all queries of the group: m, l and O of the block
    for each query
        join the blocks in order

Blocks, sums and their order are those of forward.pyx, so a query has the same bits on both paths.
Keys and values of 16 or 8 bits are widened to float32 block by block; the bits are those of float32
with rounded keys and values.
"""
from libc.math cimport M_LOG2E, NAN, fabsf, rintf
from libc.stdint cimport int8_t, int64_t, uint16_t
from libc.string cimport memcpy

from ..ground.arrays cimport NO_MEMORY, OK
from .parts cimport (Attention, Blocks, drop, fill_limits, head_of, hide, mask_at, normalize,
                    pairs, whole_vectors)
from ..ground.dispatch cimport (FASTNN_BF16, FASTNN_INT8, FASTNN_MASK_NONE, attention_few_scores,
                                attention_few_values, attention_finish, attention_join,
                                attention_mask, attention_softmax, bf16_round, bf16_widen,
                                int8_widen, real)
from ..ground.machine cimport machine
from ..ground.memory cimport give, take
from ..ground.threads cimport run_team, share, threads_for

cdef enum:
    FEW_ROWS = 4        # up to this many queries of a key/value head, packing K and V does not pay


cdef int64_t kept_bytes(int format, int64_t numbers, int64_t heads, int64_t size) noexcept nogil:
    if format == FASTNN_INT8:
        return numbers + heads * <int64_t>sizeof(float)
    return numbers * (2 if format == FASTNN_BF16 else size)


cdef void keep_row(int format, int64_t n, int64_t size, const void *row, char *y) noexcept nogil:
    cdef const float *x = <const float*>row
    cdef float most = 0, scale
    cdef bint finite = True
    cdef int64_t c
    if format == 0:
        memcpy(y, x, n * size)
        return
    if format == FASTNN_BF16:
        bf16_round(n, x, <uint16_t*>y)
        return
    for c in range(n):
        finite = finite and x[c] - x[c] == 0
        most = max(most, fabsf(x[c]))
    scale = most / <float>127 if finite else <float>NAN
    if scale < <float>1.1754943508222875e-38:       # 2^-126
        scale = 0
    for c in range(n):
        (<int8_t*>y)[c] = <int8_t>rintf(x[c] / scale) if scale > 0 else 0
    memcpy(y + n, &scale, sizeof(float))


cdef void widen_rows(int format, int64_t rows, int64_t n, const char *x, float *y) noexcept nogil:
    cdef int64_t i
    cdef float scale
    if format == FASTNN_BF16:
        bf16_widen(rows * n, <const uint16_t*>x, y)
        return
    for i in range(rows):
        memcpy(&scale, x + n, sizeof(float))
        int8_widen(n, x, scale, y + i * n)
        x += n + <int64_t>sizeof(float)


cdef const void *block_of(int format, const void *x, const int64_t *strides, int64_t b, int64_t h,
                          int64_t k0, int64_t rows, int64_t n, int64_t size,
                          void *wide) noexcept nogil:
    """The keys or values k0, ... of a head as reals, in place or widened."""
    cdef int64_t at = b * strides[0] + h * strides[1] + k0 * strides[2]
    if format == 0:
        return <const char*>x + at * size
    widen_rows(format, rows, n, <const char*>x + at, <float*>wide)
    return wide


cdef bint is_few(const Attention *a) noexcept nogil:
    return a.kv_heads > 0 and a.heads // a.kv_heads * a.n_queries <= FEW_ROWS


cdef void few_part(
    const Attention *a, int64_t b, int64_t h_kv, int64_t k0, int64_t keys, int64_t lds, real *m,
    real *l, real *o, real *scratch
) noexcept nogil:
    """Compute m, l and the unnormalized O of a group's queries for the keys k0..k0+keys-1.

    m (group, n_queries) is the largest score times log2(e), l (group, n_queries) the sum of
    2^(score log2(e) - m), and o (group, n_queries, dv) the sum of the values weighted likewise.
    """
    cdef int64_t[FEW_ROWS] limit
    cdef int64_t group = a.heads // a.kv_heads, rows = group * a.n_queries
    cdef int64_t g, h, i, c, r = 0, most = 0, skip
    cdef double bytes_k = <double>a.batch * a.kv_heads * a.n_keys * a.d * sizeof(real)
    cdef bint ahead = bytes_k > machine.fetched_from and a.format == 0
    cdef int64_t ldk = a.d if a.format else a.ks[2], ldv = a.dv if a.format else a.vs[2]
    cdef const real *q
    cdef const real *v
    cdef real *queries = scratch
    cdef real *scores = scratch + rows * a.d
    cdef real *wide = scores + rows * lds
    for g in range(group):
        h = h_kv * group + g
        most = max(most, fill_limits(a, b, 0, a.n_queries, k0, keys, limit + g * a.n_queries))
        for i in range(a.n_queries):
            q = head_of(a.q, a.qs, b, h, m) + i * a.qs[2]
            for c in range(a.d):
                queries[r * a.d + c] = q[c]
            r += 1
    for c in range(rows * a.dv):
        o[c] = 0
    attention_few_scores(rows, most, a.d, <real>(a.scale * M_LOG2E), queries,
                         <const real*>block_of(a.format, a.k, a.ks, b, h_kv, k0, most, a.d,
                                               sizeof(real), wide), ldk, ahead, scores, lds)
    for g in range(group):
        if a.mask_kind != FASTNN_MASK_NONE:
            attention_mask(a.mask_kind, a.n_queries, limit + g * a.n_queries,
                           scores + g * a.n_queries * lds, lds,
                           mask_at(a, b, h_kv * group + g, 0, k0, m), a.mask_strides[2],
                           a.mask_strides[3])
        if a.window > 0:
            hide(a, b, 0, a.n_queries, k0, limit + g * a.n_queries,
                 scores + g * a.n_queries * lds, lds)
    attention_softmax(rows, limit, scores, lds, m, l)
    for g in range(group):
        if a.dropout_p > 0:
            drop(a, b, h_kv * group + g, 0, a.n_queries, k0, most, scores + g * a.n_queries * lds,
                 scores + g * a.n_queries * lds, lds)
    skip = a.mask_kind != FASTNN_MASK_NONE or a.window > 0
    v = <const real*>block_of(a.format, a.v, a.vs, b, h_kv, k0, most, a.dv, sizeof(real), wide)
    attention_few_values(rows, most, a.dv, scores, lds, limit, skip, v, ldv, o, a.dv)


cdef inline int64_t few_scratch(const Attention *a, int64_t part, int64_t lds) noexcept nogil:
    """Reals that a thread needs: queries, scores, and a block of keys or values of fewer bits."""
    cdef int64_t wide = part * max(a.d, a.dv) if a.format else 0
    return a.heads // a.kv_heads * a.n_queries * (a.d + lds) + wide


cdef void few_share(
    int team, int thread, const Attention *a, int64_t part, int64_t parts, real *sums, real *scratch
) noexcept nogil:
    """Compute this thread's parts. sums holds, for each key/value head, m, l and O of all parts."""
    cdef int64_t rows = a.heads // a.kv_heads * a.n_queries
    cdef int64_t item, first, last, head, p, lds = whole_vectors(part, sums)
    cdef real *of_head
    scratch += thread * few_scratch(a, part, lds)
    share(a.batch * a.kv_heads * parts, team, thread, &first, &last)
    for item in range(first, last):
        head, p = item // parts, item % parts
        of_head = sums + head * parts * rows * (2 + a.dv)
        few_part(a, head // a.kv_heads, head % a.kv_heads, p * part, min(part, a.n_keys - p * part),
                 lds, of_head + p * rows, of_head + (parts + p) * rows,
                 of_head + (2 * parts + p * a.dv) * rows, scratch)


cdef void join_blocks(const Attention *a, const Blocks *s, int64_t head, real *sums, real *out,
                      const int64_t *os, real *lse, real *normalizer) noexcept nogil:
    """Join the blocks of the queries of a key/value head, in order, and store their results."""
    cdef int64_t group = a.heads // a.kv_heads, rows = group * a.n_queries, row, p, at
    cdef int64_t parts = max(<int64_t>1, s.key_blocks), b = head // a.kv_heads, h, i
    cdef real *m = sums
    cdef real *l = sums + parts * rows
    cdef real *o = sums + 2 * parts * rows
    cdef real sum
    for p in range(1, parts):
        attention_join(rows, a.dv, m + p * rows, l + p * rows, o + p * rows * a.dv, a.dv, m, l, o,
                       a.dv)
    for row in range(rows):
        h, i = head % a.kv_heads * group + row // a.n_queries, row % a.n_queries
        attention_finish(1, a.dv, m + row, l + row, o + row * a.dv, a.dv, &sum)
        memcpy(out + b * os[0] + h * os[1] + i * os[2], o + row * a.dv, a.dv * sizeof(real))
        at = (b * a.heads + h) * a.n_queries + i
        if lse is not NULL:
            lse[at] = sum
        if normalizer is not NULL:
            normalize(sum, m[row], l[row], normalizer + at,
                      normalizer + a.batch * a.heads * a.n_queries + at)


cdef int attention_few(const Attention *a, const Blocks *s, real *out, const int64_t *os, real *lse,
                       real *normalizer) noexcept nogil:
    cdef int64_t parts = max(<int64_t>1, s.key_blocks), rows = a.heads // a.kv_heads * a.n_queries
    cdef int64_t of_head = parts * rows * (2 + a.dv), size = a.batch * a.kv_heads * of_head, head
    cdef int team = threads_for(pairs(a) * (a.d + a.dv), machine.read_grain / 3)
    cdef int64_t each = few_scratch(a, s.keys, whole_vectors(s.keys, out))
    cdef real *sums = <real*>take((size + team * each) * <int64_t>sizeof(real))
    if sums is NULL:
        return NO_MEMORY
    run_team(team, few_share[real], a, s.keys, parts, sums, sums + size)
    for head in range(a.batch * a.kv_heads):
        join_blocks(a, s, head, sums + head * of_head, out, os, lse, normalizer)
    give(sums)
    return OK
