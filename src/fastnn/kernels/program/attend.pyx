"""Embedding, positions, attention and the choice of last rows, on rows (batch, n, columns).

With a state, keys and values join those of the positions before, and queries attend to all of them;
without one, to those of the same call. Accuracy: that of attention/forward.pyx.
"""
from libc.math cimport sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from ..attention.decode cimport is_few, keep_row, kept_bytes, widen_rows
from ..attention.forward cimport attention_forward
from ..attention.parts cimport Attention
from ..attention.rotary cimport rotary_real
from ..embedding.arrays cimport embedding_real
from ..gemm.loops cimport Product
from ..gemm.paths cimport multiply
from ..ground.arrays cimport NO_MEMORY, OK, WRONG_TYPE
from ..ground.dispatch cimport FASTNN_MASK_ADDITIVE, FASTNN_MASK_NONE, real
from ..ground.machine cimport machine
from ..ground.memory cimport give, take
from ..ground.threads cimport run_team, share, threads_for
from .ops cimport ATTENTION, CROSS, EMBED, POSITIONS, Frame, Op, Pass, Record, State


cdef inline int64_t taken_now(const Pass *p, int64_t b) noexcept nogil:
    """How many positions of row b are in this pass."""
    cdef int64_t taken = p.call if p.taken is NULL else p.taken[b]
    return max(<int64_t>0, min(p.n, taken - p.first))


cdef int embed(const Op *op, const Pass *p, real *y) noexcept nogil:
    cdef int64_t b, count, d = op.n_out, vocabulary = p.plan.vocabulary
    cdef const real *table = <const real*>op.weight
    cdef int status = OK
    if p.taken is NULL and p.n == p.call:
        return embedding_real(p.batch * p.n, vocabulary, d, p.ids, table, d, op.factor, y, d)
    for b in range(p.batch):
        count = taken_now(p, b)
        if status == OK:
            status = embedding_real(count, vocabulary, d, p.ids + b * p.call + p.first, table, d,
                                    op.factor, y, d)
        # what a row does not bring is computed and dropped: zeros will do
        memset(y + count * d, 0, (p.n - count) * d * sizeof(real))
        y += p.n * d
    return status


cdef void add_positions(const Op *op, const Pass *p, const real *x, real *y) noexcept nogil:
    cdef int64_t b, i, j, d = op.n_out, position
    cdef const real *row
    for b in range(p.batch):
        for i in range(p.n):
            position = i if p.state is NULL else p.state.starts[b] + i
            row = <const real*>op.weight + min(position, p.max_len - 1) * d
            for j in range(d):
                y[j] = x[j] + row[j]
            x += d
            y += d


cdef void take_last(const Op *op, const Pass *p, const real *x, real *y) noexcept nogil:
    cdef int64_t b, i
    for b in range(p.batch):
        i = (p.call if p.taken is NULL else p.taken[b]) - 1 - p.first
        if 0 <= i < p.n:
            memcpy(y + b * op.n_out, x + (b * p.n + i) * op.n_out, op.n_out * sizeof(real))


cdef int64_t table_rows(const Record *p) noexcept nogil:
    """Rows of the tables of rotary positions: those behind a row's end come with others."""
    return p.max_len + min(p.max_len, p.most_rows)


cdef int rotate(const Op *op, const Pass *p, int64_t heads, real *x,
                const int64_t *strides) noexcept nogil:
    cdef int64_t[4] sizes = [p.batch, heads, p.n, op.turned]
    cdef const int64_t *starts = NULL if p.state is NULL else p.state.starts
    cdef int64_t positions = table_rows(p.plan)
    return rotary_real(sizes, x, strides, <const real*>op.table, positions, starts, 1, False,
                       x, strides)


cdef void append(const Op *op, const Pass *p, const char *k, const char *v, const int64_t *strides,
                 char *keys, char *values) noexcept nogil:
    """Copy keys and values into the state's, (batch, kv_heads, max_len, size)."""
    cdef int format = p.state.format
    cdef int64_t real_size = p.plan.bits // 8, b, h, i, to, at
    cdef int64_t row = kept_bytes(format, op.size, 1, real_size)
    for b in range(p.batch):
        for h in range(op.kv_heads):
            to = ((b * op.kv_heads + h) * p.state.max_len + p.state.starts[b]) * row
            for i in range(taken_now(p, b)):
                at = (b * strides[0] + h * op.size + i * strides[2]) * real_size
                keep_row(format, op.size, real_size, k + at, keys + to)
                keep_row(format, op.size, real_size, v + at, values + to)
                to += row


cdef void widen_share(int team, int thread, const Attention *a, float *k, float *v) noexcept nogil:
    """Widen the keys and values of this thread's heads."""
    cdef int64_t head, at, first, last, n = a.n_keys * a.d
    share(a.batch * a.kv_heads, team, thread, &first, &last)
    for head in range(first, last):
        at = head // a.kv_heads * a.ks[0] + head % a.kv_heads * a.ks[1]
        widen_rows(a.format, a.n_keys, a.d, <const char*>a.k + at, k + head * n)
        widen_rows(a.format, a.n_keys, a.d, <const char*>a.v + at, v + head * n)


cdef int attend_widened(Attention *a, float *heads, const int64_t *out) noexcept nogil:
    """Many queries, which read keys and values of 16 or 8 bits often: float32 for one layer."""
    cdef int64_t size = a.batch * a.kv_heads * a.n_keys * a.d
    cdef float *wide = <float*>take(2 * size * <int64_t>sizeof(float))
    cdef int status
    if wide is NULL:
        return NO_MEMORY
    run_team(threads_for(2.0 * size, machine.pass_grain), widen_share, a, wide, wide + size)
    a.k, a.v, a.format = wide, wide + size, 0
    a.ks[0], a.ks[1], a.ks[2] = a.kv_heads * a.n_keys * a.d, a.n_keys * a.d, a.d
    a.vs[0], a.vs[1], a.vs[2] = a.ks[0], a.ks[1], a.ks[2]
    status = attention_forward(a, heads, out, <float*>NULL, <float*>NULL)
    give(wide)
    return status


cdef int attend(const Op *op, const Pass *p, Attention *a, real *heads) noexcept nogil:
    """heads (batch, n, d) from the queries, keys and values that *a has."""
    cdef int64_t i, d = op.heads * op.size
    cdef int64_t[3] out = [p.n * d, op.size, d]
    a.batch, a.heads, a.kv_heads, a.n_queries = p.batch, op.heads, op.kv_heads, p.n
    a.d, a.dv, a.scale = op.size, op.size, 1 / sqrt(<double>op.size)
    a.mask_kind, a.mask, a.dropout_p, a.seed, a.step = FASTNN_MASK_NONE, NULL, 0, 0, 0
    for i in range(4):
        a.mask_strides[i] = 0
    if op.kind == ATTENTION and op.bias is not NULL:
        a.mask_kind, a.mask = FASTNN_MASK_ADDITIVE, <const real*>op.bias + p.plan.max_len - 1
        a.mask_strides[1], a.mask_strides[2], a.mask_strides[3] = 2 * p.plan.max_len - 1, -1, 1
    if a.format and not is_few(a):
        return attend_widened(a, <float*>heads, out)
    return attention_forward(a, heads, out, <real*>NULL, <real*>NULL)


cdef int self_attention(const Op *op, const Pass *p, real *qkv, real *heads) noexcept nogil:
    """heads (batch, n, d) from qkv (batch, n, columns q | k | v)."""
    cdef Attention a
    cdef int64_t wide = op.n_in, i, status = OK, row
    cdef State *s = p.state
    cdef int64_t[3] strides = [p.n * wide, op.size, wide]
    cdef real *k = qkv + op.n_out
    cdef real *v = k + op.kv_heads * op.size
    if op.table is not NULL:
        status = rotate(op, p, op.heads, qkv, strides)
        if status == OK:
            status = rotate(op, p, op.kv_heads, k, strides)
        if status != OK:
            return status
    for i in range(3):
        a.qs[i] = a.ks[i] = a.vs[i] = strides[i]
    a.format = 0
    if s is not NULL:
        i = p.batch * s.max_len * kept_bytes(s.format, op.cache, op.cache_heads, sizeof(real))
        append(op, p, <char*>k, <char*>v, strides, <char*>s.keys + i, <char*>s.values + i)
        k, v = <real*>(<char*>s.keys + i), <real*>(<char*>s.values + i)
        a.format = s.format
        row = kept_bytes(s.format, op.size, 1, 1) if s.format else op.size
        a.ks[0] = a.vs[0] = op.kv_heads * s.max_len * row
        a.ks[1] = a.vs[1] = s.max_len * row
        a.ks[2] = a.vs[2] = row
    a.q, a.k, a.v, a.n_keys = qkv, k, v, p.keys
    a.causal, a.window = op.flag and s is NULL, op.window
    a.starts = NULL if s is NULL else s.starts
    a.lengths = p.lengths
    a.lengths_strides[0], a.lengths_strides[1] = p.lengths_strides[0], p.lengths_strides[1]
    return attend(op, p, &a, heads)


cdef int project_memory(const Record *p, const Op *op, int64_t rows, const void *memory,
                        void *kv) noexcept nogil:
    cdef int64_t n = 2 * op.kv_heads * op.size
    cdef Product g = Product(rows, n, op.n_memory, memory, op.n_memory, 1, op.weight, op.rsw,
                             op.csw, kv, n, 1, 1, 0, op.bias, 1, 0, NULL, op.format)
    if p.bits == 32:
        return multiply(&g, <float*>NULL)
    if p.bits == 64:
        return multiply(&g, <double*>NULL)
    return WRONG_TYPE


cdef int cross_attention(const Op *op, const Pass *p, const real *q, real *heads) noexcept nogil:
    """heads (batch, n, d) of the queries q (batch, n, d), attending to the memory."""
    cdef Attention a
    cdef int64_t wide = 2 * op.kv_heads * op.size, positions = p.memory_positions
    cdef int64_t rows = p.batch * positions
    cdef real *kv
    cdef int status = OK
    if p.state is not NULL:
        kv = <real*>p.state.memory + op.cache * rows
    else:
        kv = <real*>take(rows * wide * <int64_t>sizeof(real))
        if kv is NULL:
            return NO_MEMORY
        status = project_memory(p.plan, op, rows, p.memory, kv)
    if status == OK:
        a.qs[0], a.qs[1], a.qs[2] = p.n * op.n_out, op.size, op.n_out
        a.ks[0] = a.vs[0] = positions * wide
        a.ks[1] = a.vs[1] = op.size
        a.ks[2] = a.vs[2] = wide
        a.q, a.k, a.v, a.n_keys, a.causal = q, kv, kv + wide // 2, positions, False
        a.lengths, a.lengths_strides[0], a.lengths_strides[1] = p.memory_lengths, 1, 0
        a.window, a.starts, a.format = 0, NULL, 0
        status = attend(op, p, &a, heads)
    if p.state is NULL:
        give(kv)
    return status


cdef int each_piece(const Op *op, const Pass *p, real *x, real *y) noexcept nogil:
    """Attention or positions of sequences one after the other; equal neighbors are one call."""
    cdef Pass part = p[0]
    cdef int64_t i = 0, n
    cdef int status = OK
    part.pieces = NULL
    while i < p.n_pieces and status == OK:
        part.n = part.call = part.keys = n = p.pieces[i]
        part.batch = 0
        while i < p.n_pieces and p.pieces[i] == n:
            part.batch += 1
            i += 1
        if op.kind == ATTENTION:
            status = self_attention(op, &part, x, y)
            x += part.batch * n * op.n_in
        else:
            add_positions(op, &part, x, y)
            x += part.batch * n * op.n_out
        y += part.batch * n * op.n_out
    return status


cdef int run_sequence_op(const Op *op, const Frame *f, real *x, real *y) noexcept nogil:
    if f.sequences.pieces is not NULL and (op.kind == ATTENTION or op.kind == POSITIONS):
        return each_piece(op, f.sequences, x, y)
    if op.kind == ATTENTION:
        return self_attention(op, f.sequences, x, y)
    if op.kind == CROSS:
        return cross_attention(op, f.sequences, x, y)
    if op.kind == EMBED:
        return embed(op, f.sequences, y)
    if op.kind == POSITIONS:
        add_positions(op, f.sequences, x, y)
    else:
        take_last(op, f.sequences, x, y)
    return OK
