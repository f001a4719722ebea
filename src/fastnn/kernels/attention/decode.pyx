"""Decode: attention of few queries to many keys, such as a step of generation with a KV cache.

K and V are read once, in place, so memory bounds the speed. The keys are divided (split-KV):

    for each part of PART keys of a key/value head      threads divide the parts
        S, its softmax and P V for all queries of the group: m, l and O of the part
    for each query
        combine the parts in order

The parts depend on the shape alone, so the bits do not depend on the number of threads.
"""
from cython.parallel cimport parallel
from libc.math cimport INFINITY, M_LOG2E, exp2
from libc.stdint cimport int64_t

from ..ground.arrays cimport NO_MEMORY, OK
from .parts cimport (Attention, Blocks, balanced, ceil_div, drop, fill_limits, head_of, log_sum_exp,
                    mask_at, normalize, pairs, whole_vectors)
from ..ground.dispatch cimport (FASTNN_MASK_NONE, attention_few_scores, attention_few_values,
                                attention_mask, attention_softmax, real)
from ..ground.memory cimport give, take
from ..ground.threads cimport share, team_size, thread_id, threads_for

cdef enum:
    FEW_ROWS = 4        # up to this many queries of a key/value head, packing K and V does not pay
    PART = 512          # most keys of a part
    GRAIN = 32_000      # minimum multiply-adds per thread (docs/tuning.md)


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
    cdef int64_t g, h, i, c, r = 0, most = 0
    cdef const real *q
    cdef const real *v = head_of(a.v, a.vs, b, h_kv, m) + k0 * a.vs[2]
    cdef real *queries = scratch
    cdef real *scores = scratch + rows * a.d
    for g in range(group):
        h = h_kv * group + g
        most = max(most, fill_limits(a, b, 0, a.n_queries, k0, keys, limit + g * a.n_queries))
        for i in range(a.n_queries):
            q = head_of(a.q, a.qs, b, h, m) + i * a.qs[2]
            for c in range(a.d):
                queries[r * a.d + c] = <real>(a.scale * M_LOG2E) * q[c]
            m[r], l[r] = -INFINITY, 0
            r += 1
    for c in range(rows * a.dv):
        o[c] = 0
    attention_few_scores(rows, most, a.d, queries, head_of(a.k, a.ks, b, h_kv, m) + k0 * a.ks[2],
                         a.ks[2], scores, lds)
    for g in range(group):
        if a.mask_kind != FASTNN_MASK_NONE:
            attention_mask(a.mask_kind, a.n_queries, limit + g * a.n_queries,
                           scores + g * a.n_queries * lds, lds,
                           mask_at(a, b, h_kv * group + g, 0, k0, m), a.mask_strides[2],
                           a.mask_strides[3])
    attention_softmax(rows, limit, scores, lds, m, l, a.dv, o, a.dv)
    for g in range(group):
        if a.dropout_p > 0:
            drop(a, b, h_kv * group + g, 0, a.n_queries, k0, most, scores + g * a.n_queries * lds,
                 scores + g * a.n_queries * lds, lds)
    attention_few_values(rows, most, a.dv, scores, lds, limit, a.mask_kind != FASTNN_MASK_NONE, v,
                         a.vs[2], o, a.dv)


cdef void join_parts(const Attention *a, int64_t row, int64_t parts, int64_t rows, const real *m,
                     const real *l, const real *o, real *out, real *maximum,
                     real *sum) noexcept nogil:
    """Combine the parts of one query, `rows` queries apart, into m, l and the normalized O."""
    cdef int64_t p, c
    cdef real top = -INFINITY, total = 0, factor
    for p in range(parts):
        top = max(top, m[p * rows + row])
    for c in range(a.dv):
        out[c] = 0
    for p in range(parts):
        if m[p * rows + row] == -INFINITY and l[p * rows + row] == 0:       # no visible key
            continue
        factor = <real>exp2(<double>m[p * rows + row] - (0 if top == -INFINITY else top))
        total += factor * l[p * rows + row]
        for c in range(a.dv):
            out[c] += factor * o[(p * rows + row) * a.dv + c]
    if total != 0:
        for c in range(a.dv):
            out[c] /= total
    maximum[0], sum[0] = top, total


cdef void few_share(
    int team, int thread, const Attention *a, int64_t part, int64_t parts, real *sums, real *scratch
) noexcept nogil:
    """Compute this thread's parts. sums holds, for each key/value head, m, l and O of all parts."""
    cdef int64_t rows = a.heads // a.kv_heads * a.n_queries
    cdef int64_t item, first, last, head, p, lds = whole_vectors(part, sums)
    cdef real *of_head
    scratch += thread * rows * (a.d + lds)
    share(a.batch * a.kv_heads * parts, team, thread, &first, &last)
    for item in range(first, last):
        head, p = item // parts, item % parts
        of_head = sums + head * parts * rows * (2 + a.dv)
        few_part(a, head // a.kv_heads, head % a.kv_heads, p * part, min(part, a.n_keys - p * part),
                 lds, of_head + p * rows, of_head + (parts + p) * rows,
                 of_head + (2 * parts + p * a.dv) * rows, scratch)


cdef int attention_few(const Attention *a, real *out, const int64_t *os, real *lse,
                       real *normalizer) noexcept nogil:
    cdef int64_t part = balanced(a.n_keys, PART, 1)
    cdef int64_t parts = max(<int64_t>1, ceil_div(a.n_keys, part))
    cdef int64_t rows = a.heads // a.kv_heads * a.n_queries
    cdef int64_t size = a.batch * a.kv_heads * parts * rows * (2 + a.dv), head, row, b, h, i, at
    cdef int team = threads_for(pairs(a) * (a.d + a.dv), GRAIN)
    cdef int64_t of_thread = rows * (a.d + whole_vectors(part, out))
    cdef real *scratch = <real*>take((size + team * of_thread) * <int64_t>sizeof(real))
    cdef real *of_head
    cdef real m, l
    if scratch is NULL:
        return NO_MEMORY
    if team == 1:
        few_share(1, 0, a, part, parts, scratch, scratch + size)
    else:
        with parallel(num_threads=team):
            few_share(team_size(), thread_id(), a, part, parts, scratch, scratch + size)
    for head in range(a.batch * a.kv_heads):
        of_head = scratch + head * parts * rows * (2 + a.dv)
        for row in range(rows):
            b, h, i = (
                head // a.kv_heads,
                head % a.kv_heads * (rows // a.n_queries) + row // a.n_queries,
                row % a.n_queries
            )
            join_parts(a, row, parts, rows, of_head, of_head + parts * rows,
                       of_head + 2 * parts * rows, out + b * os[0] + h * os[1] + i * os[2], &m, &l)
            at = (b * a.heads + h) * a.n_queries + i
            if lse is not NULL:
                lse[at] = log_sum_exp(m, l)
            if normalizer is not NULL:
                normalize(log_sum_exp(m, l), m, l, normalizer + at,
                          normalizer + a.batch * a.heads * a.n_queries + at)
    give(scratch)
    return OK
