"""Running a frozen Transformer: the layers of nn/transformer.py, without what training needs.

    pre-norm    (y, x) = norm(branch + x), branch = part(y)         post-norm   x = norm(part(x) + x)

All rows of a step go through a layer before the next; a layer's product divides its columns among the threads, so a step of one row reads every weight
once. A long prompt goes through in chunks of MOST_ROWS rows. Accuracy: that of the kernels which are called.
"""
from libc.math cimport sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK, WRONG_TYPE
from ..attention.forward cimport attention_forward
from ..attention.parts cimport Attention
from ..ground.dispatch cimport FASTNN_MASK_NONE, real
from ..gemm.paths cimport multiply
from ..gemm.loops cimport Product
from ..rowwise.norms cimport layer_norm_f32, layer_norm_f64
from ..ground.memory cimport give, take
from .plan_run cimport plan_release, plan_retain
from ..attention.rotary cimport rotary_f32, rotary_f64

cdef struct Pass:
    # `n` positions of each of `batch` rows on their way through the layers.
    int64_t batch, n
    const int64_t *lengths      # keys that may be seen, strides along batch and position; or NULL
    int64_t lengths_strides[2]
    int64_t keys                # how many there are
    int64_t taken_from          # of ids: which position of the call is the first of these
    const int64_t *taken        # how many positions of a row the whole call brings, or NULL: all
    int64_t call                # positions of the whole call
    State *state                # or NULL: keys and values are those of the rows themselves


cdef int dense(const Dense *layer, int64_t rows, const real *x, real *y) noexcept nogil:
    """y = act(x W + b)."""
    cdef Product g = Product(rows, layer.n_out, layer.n_in, x, layer.n_in, 1, layer.w, 0, 0, y, layer.n_out, 1, 1, 0, layer.bias, 1, layer.activation,
                             NULL, True)
    return multiply(&g, x)


cdef int normalize(const Transformer *t, const Norm *norm, int64_t rows, const real *branch, const real *x, real *h, real *y) noexcept nogil:
    """h = branch + x and y = norm(h); where x is NULL, y = norm(branch)."""
    cdef int64_t d = t.d
    if real is float:
        return layer_norm_f32(t.rms, rows, d, branch, d, x, d, 0, 0, 0, <float*>norm.weight, <float*>norm.bias, t.eps, h, d, y, d, NULL)
    else:
        return layer_norm_f64(t.rms, rows, d, branch, d, x, d, 0, 0, 0, <double*>norm.weight, <double*>norm.bias, t.eps, h, d, y, d, NULL)


cdef int turn(const Transformer *t, const Pass *p, int64_t heads, real *x, const int64_t *strides) noexcept nogil:
    cdef int64_t[4] sizes = [p.batch, heads, p.n, t.d // t.heads]
    cdef const int64_t *starts = NULL if p.state is NULL else p.state.starts
    if real is float:
        return rotary_f32(sizes, x, strides, <float*>t.table, t.table_positions, starts, 1, False, x, strides)
    else:
        return rotary_f64(sizes, x, strides, <double*>t.table, t.table_positions, starts, 1, False, x, strides)


cdef inline int64_t taken_now(const Pass *p, int64_t b) noexcept nogil:
    """How many positions of row b are in this pass."""
    cdef int64_t taken = p.call if p.taken is NULL else p.taken[b]
    return max(<int64_t>0, min(p.n, taken - p.taken_from))


cdef void append(const Transformer *t, const Pass *p, const real *k, const real *v, const int64_t *strides, real *keys, real *values) noexcept nogil:
    """Copy keys and values into the state's, (batch, kv_heads, max_len, size)."""
    cdef int64_t size = t.d // t.heads, b, h, i, to
    for b in range(p.batch):
        for h in range(t.kv_heads):
            to = ((b * t.kv_heads + h) * p.state.max_len + p.state.starts[b]) * size
            for i in range(taken_now(p, b)):
                memcpy(keys + to + i * size, k + b * strides[0] + h * size + i * strides[2], size * sizeof(real))
                memcpy(values + to + i * size, v + b * strides[0] + h * size + i * strides[2], size * sizeof(real))


cdef int attend(const Transformer *t, const Pass *p, int64_t layer, real *qkv, real *heads) noexcept nogil:
    """heads (batch, n, d) from qkv (batch, n, columns q | k | v)."""
    cdef Attention a
    cdef int64_t size = t.d // t.heads, wide = t.d + 2 * t.kv_heads * size, i, status = OK
    cdef int64_t[3] strides = [p.n * wide, size, wide]
    cdef int64_t[3] out = [p.n * t.d, size, t.d]
    cdef real *k = qkv + t.d
    cdef real *v = k + t.kv_heads * size
    if t.table is not NULL:
        status = turn(t, p, t.heads, qkv, strides)
        if status == OK:
            status = turn(t, p, t.kv_heads, k, strides)
        if status != OK:
            return status
    a.batch, a.heads, a.kv_heads, a.n_queries, a.n_keys, a.d, a.dv = p.batch, t.heads, t.kv_heads, p.n, p.keys, size, size
    for i in range(3):
        a.qs[i] = a.ks[i] = a.vs[i] = strides[i]
    if p.state is not NULL:
        i = layer * p.batch * t.kv_heads * p.state.max_len * size
        append(t, p, k, v, strides, <real*>p.state.keys + i, <real*>p.state.values + i)
        k, v = <real*>p.state.keys + i, <real*>p.state.values + i
        a.ks[0], a.ks[1], a.ks[2] = t.kv_heads * p.state.max_len * size, p.state.max_len * size, size
        a.vs[0], a.vs[1], a.vs[2] = a.ks[0], a.ks[1], a.ks[2]
    a.q, a.k, a.v, a.scale = qkv, k, v, 1 / sqrt(<double>size)
    a.causal = t.causal and p.state is NULL
    a.lengths, a.lengths_strides[0], a.lengths_strides[1] = p.lengths, p.lengths_strides[0], p.lengths_strides[1]
    a.mask_kind, a.mask, a.dropout_p, a.seed, a.step = FASTNN_MASK_NONE, NULL, 0, 0, 0
    for i in range(4):
        a.mask_strides[i] = 0
    return attention_forward(&a, heads, out, <real*>NULL, <real*>NULL)


cdef int64_t workspace_size(const Transformer *t, int64_t rows) noexcept nogil:
    """Reals of work space that so many rows need: x, y, branch, and what is wider."""
    cdef int64_t size = t.d // t.heads
    return rows * (3 * t.d + max(2 * t.d + 2 * t.kv_heads * size, t.d_ff))


cdef int run_block(const Transformer *t, const Pass *p, int64_t layer, real *x) noexcept nogil:
    """One block on x; of a pre-norm block what comes in and goes out is x + branch."""
    cdef const Block *block = &t.blocks[layer]
    cdef int64_t rows = p.batch * p.n
    cdef real *y = x + rows * t.d
    cdef real *branch = y + rows * t.d
    cdef real *wide = branch + rows * t.d
    cdef real *heads = wide + rows * block.qkv.n_out
    cdef int status = OK
    if t.norm_first:
        status = normalize(t, &block.norm1, rows, x, <real*>NULL, <real*>NULL, y) if layer == 0 else normalize(t, &block.norm1, rows, branch, x, x, y)
    if status == OK:
        status = dense(&block.qkv, rows, y if t.norm_first else x, wide)
    if status == OK:
        status = attend(t, p, layer, wide, heads)
    if status == OK:
        status = dense(&block.out, rows, heads, branch)
    if status == OK:
        status = normalize(t, &block.norm2, rows, branch, x, x, y) if t.norm_first else normalize(t, &block.norm1, rows, branch, x, <real*>NULL, x)
    if status == OK:
        status = dense(&block.up, rows, y if t.norm_first else x, wide)
    if status == OK:
        status = dense(&block.down, rows, wide, branch)
    if status == OK and not t.norm_first:
        status = normalize(t, &block.norm2, rows, branch, x, <real*>NULL, x)
    return status


cdef int run_blocks(const Transformer *t, const Pass *p, real *x) noexcept nogil:
    """All blocks; x then holds the sum of what the last one hands on."""
    cdef int64_t layer, i, size = p.batch * p.n * t.d
    cdef int status
    for layer in range(t.layers):
        status = run_block(t, p, layer, x)
        if status != OK:
            return status
    if t.norm_first:
        for i in range(size):
            x[i] += x[2 * size + i]
    return OK


# Steps.

cdef void embed(const Transformer *t, const Pass *p, const int64_t *ids, real *x) noexcept nogil:
    cdef int64_t b, i, j, position
    cdef const real *row
    for b in range(p.batch):
        for i in range(p.n):
            # what a row does not bring is computed and dropped, with any id and position
            row = <const real*>t.embedding + (ids[b * p.call + p.taken_from + i] * t.d if i < taken_now(p, b) else 0)
            for j in range(t.d):
                x[j] = <real>t.scale * row[j]
            if t.positions is not NULL:
                position = min(p.state.starts[b] + i, t.max_len - 1)
                for j in range(t.d):
                    x[j] += (<const real*>t.positions)[position * t.d + j]
            x += t.d


cdef void look_ahead(State *s, Pass *p) noexcept nogil:
    """Where the rows of a pass go, and which keys they see."""
    cdef int64_t b, i
    p.keys = 0
    for b in range(p.batch):
        s.starts[b] = s.lengths[b] + min(p.taken_from, p.call if p.taken is NULL else p.taken[b])
        p.keys = max(p.keys, s.starts[b] + taken_now(p, b))
    for b in range(p.batch):
        for i in range(p.n):
            s.visible[b * p.n + i] = min(s.starts[b] + i + 1, p.keys)
    p.lengths, p.lengths_strides[0], p.lengths_strides[1] = s.visible, p.n, 0 if p.n == 1 else 1


cdef int run_step(const Transformer *t, State *s, const int64_t *ids, int64_t n, const int64_t *taken, real *logits) noexcept nogil:
    cdef Pass p
    cdef real *last = <real*>s.workspace      # (batch, d): each row's last position
    cdef real *x = last + s.batch * t.d
    cdef int64_t first = 0, b, i
    cdef int status
    p.batch, p.taken, p.call, p.state = s.batch, taken, n, s
    while first < n:
        p.n, p.taken_from = min(s.chunk, n - first), first
        look_ahead(s, &p)
        embed(t, &p, ids, x)
        status = run_blocks(t, &p, x)
        if status != OK:
            return status
        for b in range(s.batch):
            i = (n if taken is NULL else taken[b]) - 1 - first
            if 0 <= i < p.n:
                memcpy(last + b * t.d, x + (b * p.n + i) * t.d, t.d * sizeof(real))
        first += p.n
    if t.has_last:
        status = normalize(t, &t.last, s.batch, last, <real*>NULL, <real*>NULL, last)
        if status != OK:
            return status
    status = dense(&t.head, s.batch, last, logits)
    if status == OK:
        for b in range(s.batch):
            s.lengths[b] += n if taken is NULL else taken[b]
    return status


cdef int checked_step(const Transformer *t, State *s, const int64_t *ids, int64_t n, const int64_t *taken, real *logits) noexcept nogil:
    cdef int64_t b, i, count
    if t is NULL or s is NULL or ids is NULL or logits is NULL or n < 1:
        return BAD_ARGUMENT
    if t.count != TRANSFORMER or t.embedding is NULL or t.bits != 8 * <int>sizeof(real):
        return WRONG_TYPE
    if s.plan != t or n > s.max_len:
        return BAD_ARGUMENT
    for b in range(s.batch):
        count = n if taken is NULL else taken[b]
        if count < 1 or count > n or s.lengths[b] + count > s.max_len:
            return BAD_ARGUMENT
        for i in range(count):
            if ids[b * n + i] < 0 or ids[b * n + i] >= t.vocabulary:
                return BAD_ARGUMENT
    return run_step(t, s, ids, n, taken, logits)


cdef int checked_encode(const Transformer *t, const real *x, int64_t batch, int64_t n, const int64_t *lengths, real *y) noexcept nogil:
    cdef Pass p
    cdef real *workspace
    cdef int64_t b, rows = batch * n
    cdef int status
    if t is NULL or batch < 0 or n < 0 or (rows > 0 and (x is NULL or y is NULL)):
        return BAD_ARGUMENT
    if t.count != TRANSFORMER or t.embedding is not NULL or t.bits != 8 * <int>sizeof(real):
        return WRONG_TYPE
    if (n > 0 and batch > (<int64_t>1 << 40) // n) or (t.table is not NULL and n > t.table_positions):
        return BAD_ARGUMENT
    for b in range(0 if lengths is NULL else batch):
        if lengths[b] < 0 or lengths[b] > n:
            return BAD_ARGUMENT
    if rows == 0:
        return OK
    p.batch, p.n, p.keys, p.state = batch, n, n, NULL
    p.lengths, p.lengths_strides[0], p.lengths_strides[1] = lengths, 1, 0
    workspace = <real*>take(workspace_size(t, rows) * <int64_t>sizeof(real))
    if workspace is NULL:
        return NO_MEMORY
    memcpy(workspace, x, rows * t.d * sizeof(real))
    status = run_blocks(t, &p, workspace)
    if status == OK and t.has_last:
        status = normalize(t, &t.last, rows, workspace, <real*>NULL, <real*>NULL, y)
    elif status == OK:
        memcpy(y, workspace, rows * t.d * sizeof(real))
    give(workspace)
    return status


# The faces.

cdef int plan_step_f32(const void *plan, void *state, const int64_t *ids, int64_t n, const int64_t *lengths, float *logits) noexcept nogil:
    return checked_step(<const Transformer*>plan, <State*>state, ids, n, lengths, logits)


cdef int plan_step_f64(const void *plan, void *state, const int64_t *ids, int64_t n, const int64_t *lengths, double *logits) noexcept nogil:
    return checked_step(<const Transformer*>plan, <State*>state, ids, n, lengths, logits)


cdef int plan_encode_f32(const void *plan, const float *x, int64_t batch, int64_t n, const int64_t *lengths, float *y) noexcept nogil:
    return checked_encode(<const Transformer*>plan, x, batch, n, lengths, y)


cdef int plan_encode_f64(const void *plan, const double *x, int64_t batch, int64_t n, const int64_t *lengths, double *y) noexcept nogil:
    return checked_encode(<const Transformer*>plan, x, batch, n, lengths, y)


cdef void *plan_new_state(const void *plan, int64_t batch, int64_t max_len) noexcept nogil:
    cdef const Transformer *t = <const Transformer*>plan
    cdef State *s
    cdef int64_t size, cache
    if t is NULL or t.count != TRANSFORMER or t.embedding is NULL or batch < 1 or batch > 1 << 30 or max_len < 1 or max_len > t.max_len:
        return NULL
    s = <State*>calloc(1, sizeof(State))
    if s is NULL:
        return NULL
    plan_retain(plan)
    s.plan, s.batch, s.max_len = t, batch, max_len
    s.chunk = min(max_len, max(<int64_t>1, <int64_t>MOST_ROWS // batch))
    size, cache = t.bits // 8, t.layers * t.kv_heads * (t.d // t.heads) * max_len
    s.lengths = <int64_t*>calloc(batch * (2 + s.chunk), sizeof(int64_t))
    if cache <= (<int64_t>1 << 56) // batch:
        s.keys, s.values = take(batch * cache * size), take(batch * cache * size)
        s.workspace = take((batch * t.d + workspace_size(t, batch * s.chunk)) * size)
    if s.lengths is NULL or s.keys is NULL or s.values is NULL or s.workspace is NULL:
        state_release(s)
        return NULL
    s.starts, s.visible = s.lengths + batch, s.lengths + 2 * batch
    return s


cdef int state_release(void *state) noexcept nogil:
    cdef State *s = <State*>state
    if s is NULL:
        return BAD_ARGUMENT
    give(s.keys)
    give(s.values)
    give(s.workspace)
    free(s.lengths)
    plan_release(s.plan)
    free(s)
    return OK


cdef int state_truncate(void *state, int64_t length) noexcept nogil:
    cdef State *s = <State*>state
    cdef int64_t b
    if s is NULL or length < 0:
        return BAD_ARGUMENT
    for b in range(s.batch):
        s.lengths[b] = min(s.lengths[b], length)
    return OK
