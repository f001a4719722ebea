"""Running a program of sequences: all at once, or step by step with a state.

A long prompt goes through in chunks of `most_rows` rows, layer by layer, so a step of one row reads
every weight once. The operation LAST and those behind it run once a step.
"""
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from ..attention.decode cimport kept_bytes
from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK, WRONG_TYPE
from ..ground.dispatch cimport real
from ..ground.memory cimport give, take
from .attend cimport project_memory
from .ops cimport ATTENTION, CROSS, INPUT, Frame, Kind, Op, Pass, Record, State
from .run cimport place, plan_release, plan_retain, run_frame, run_ops

cdef extern from "atomic.h" nogil:
    bint lock "fastnn_lock"(int64_t *busy) noexcept
    void unlock "fastnn_unlock"(int64_t *busy) noexcept


cdef bint lock_state(State *s) noexcept nogil:
    return lock(&s.busy)


cdef void unlock_state(State *s) noexcept nogil:
    unlock(&s.busy)


cdef int encode(const Record *p, Pass *q, const void *x, void *y) noexcept nogil:
    """y from the rows x, or from the ids of the pass."""
    cdef Frame f
    q.plan, q.call, q.first, q.taken, q.state = p, q.n, 0, NULL, NULL
    q.keys, q.max_len, q.lengths_strides[0], q.lengths_strides[1] = q.n, p.max_len, 1, 0
    f.rows, f.rsx, f.csx, f.preacts, f.sequences = q.batch * q.n, p.n_in, 1, NULL, q
    return OK if f.rows == 0 else run_frame(p, &f, x, y)


cdef void look_ahead(State *s, Pass *q) noexcept nogil:
    """Where the rows of a pass go, and which keys they see."""
    cdef int64_t b, i, taken
    q.keys = 0
    for b in range(q.batch):
        taken = q.call if q.taken is NULL else q.taken[b]
        s.starts[b] = s.lengths[b] + min(q.first, taken)
        q.keys = max(q.keys, s.lengths[b] + min(q.first + q.n, taken))
    for b in range(q.batch):
        for i in range(q.n):
            s.visible[b * q.n + i] = min(s.starts[b] + i + 1, q.keys)
    q.lengths, q.lengths_strides[0], q.lengths_strides[1] = s.visible, q.n, 0 if q.n == 1 else 1


cdef int run_chunks(const Record *p, State *s, Pass *q, void *logits) noexcept nogil:
    cdef Frame f
    cdef int64_t b
    cdef int status = OK
    cdef int64_t rows = s.batch * min(s.chunk, q.call)
    cdef void *scratch = take(rows * p.starts[p.buffers] * (p.bits // 8))
    if scratch is NULL:
        return NO_MEMORY
    f.preacts, f.sequences = NULL, q
    place(p, &f, rows, scratch)
    f.at[INPUT], f.at[p.output] = NULL, logits
    while q.first < q.call and status == OK:
        q.n = min(s.chunk, q.call - q.first)
        f.rows = q.batch * q.n
        look_ahead(s, q)
        status = run_ops(p, 0, p.tail + 1, &f)
        q.first += q.n
    f.rows = s.batch
    if status == OK:
        status = run_ops(p, p.tail + 1, p.count, &f)
    give(scratch)
    if status == OK:
        for b in range(s.batch):
            s.lengths[b] += q.call if q.taken is NULL else q.taken[b]
    return status


cdef int step_locked(const Record *p, State *s, const int64_t *ids, int64_t n,
                     const int64_t *taken, void *logits) noexcept nogil:
    cdef Pass q
    cdef int64_t b, i, count
    for b in range(s.batch):
        count = n if taken is NULL else taken[b]
        if count < 1 or count > n or s.lengths[b] + count > s.max_len:
            return BAD_ARGUMENT
        for i in range(count):
            if ids[b * n + i] < 0 or ids[b * n + i] >= p.vocabulary:
                return BAD_ARGUMENT
    q.plan, q.batch, q.ids, q.call, q.first, q.taken, q.state = p, s.batch, ids, n, 0, taken, s
    q.max_len, q.memory_positions, q.pieces = p.max_len, s.memory_positions, NULL
    q.memory_lengths = s.memory_lengths
    return run_chunks(p, s, &q, logits)


# States.

cdef int64_t kept(const State *s) noexcept nogil:
    cdef const Record *p = s.plan
    return s.batch * s.max_len * kept_bytes(s.format, p.keys, p.key_heads, p.bits // 8)


cdef int allocate(State *s) noexcept nogil:
    """The storage of a state whose sizes are set."""
    cdef const Record *p = s.plan
    cdef int64_t batch = s.batch
    if batch > 1 << 30:
        return NO_MEMORY
    s.chunk = min(s.max_len, max(<int64_t>1, p.most_rows // max(batch, <int64_t>1)))
    s.lengths = <int64_t*>calloc(batch * (4 + s.chunk) + 1, sizeof(int64_t))
    if s.lengths is NULL or p.keys * s.max_len > (<int64_t>1 << 56) // max(batch, <int64_t>1):
        return NO_MEMORY
    s.starts, s.memory_lengths = s.lengths + batch, s.lengths + 2 * batch
    s.origins, s.visible = s.lengths + 3 * batch, s.lengths + 4 * batch
    s.keys, s.values = take(kept(s)), take(kept(s))
    return NO_MEMORY if s.keys is NULL or s.values is NULL else OK


cdef void free_storage(State *s) noexcept nogil:
    give(s.keys)
    give(s.values)
    give(s.memory)
    free(s.lengths)


cdef int read_memory(const Record *p, State *s, const void *memory) noexcept nogil:
    """Keys and values of the memory for each cross-attention."""
    cdef int64_t rows = s.batch * s.memory_positions, size = p.bits // 8
    cdef int i, status = OK
    s.memory = take(rows * p.memory * size)
    if s.memory is NULL:
        return NO_MEMORY
    for i in range(p.count):
        if p.ops[i].kind == CROSS and status == OK:
            status = project_memory(p, &p.ops[i], rows, memory,
                                    <char*>s.memory + p.ops[i].cache * rows * size)
    return status


cdef State *new_state(const Record *p, int64_t batch, int64_t max_len, int format,
                      const void *memory, int64_t memory_positions,
                      const int64_t *memory_lengths) noexcept nogil:
    cdef State *s = <State*>calloc(1, sizeof(State))
    cdef int64_t b
    cdef int status
    if s is NULL:
        return NULL
    plan_retain(p)
    s.plan, s.batch, s.max_len, s.memory_positions = p, batch, max_len, memory_positions
    s.format = format
    status = allocate(s)
    if status == OK and p.crosses > 0:
        status = read_memory(p, s, memory)
    if status != OK:
        state_release(s)
        return NULL
    for b in range(batch):
        s.origins[b] = b
        s.memory_lengths[b] = memory_positions if memory_lengths is NULL else memory_lengths[b]
    return s


cdef void copy_rows(const void *x, void *y, int64_t count, const int64_t *rows, int64_t heads,
                    int64_t room, int64_t bytes, const int64_t *held) noexcept nogil:
    """Of each head, of `room` bytes, of these rows of x, held[b] (NULL: 1) times `bytes` into y."""
    cdef const char *source
    cdef int64_t b, h, n
    for b in range(count):
        n = bytes if held is NULL else held[b] * bytes
        for h in range(heads):
            source = <const char*>x + (rows[b] * heads + h) * room
            memcpy(<char*>y + (b * heads + h) * room, source, n)


cdef void copy_kept(const State *s, State *t, const int64_t *rows, Kind kind) noexcept nogil:
    """What every attention of a kind keeps of these rows of s, into t."""
    cdef const Record *p = s.plan
    cdef int64_t size = p.bits // 8, row, from_x, from_y
    cdef const Op *op
    cdef int i
    for i in range(p.count):
        op = &p.ops[i]
        if op.kind != kind:
            continue
        if kind == CROSS:
            from_x, from_y = op.cache * s.batch * size, op.cache * t.batch * size
            row = 2 * op.kv_heads * op.size * size * s.memory_positions
            copy_rows(<char*>s.memory + from_x * s.memory_positions,
                      <char*>t.memory + from_y * s.memory_positions,
                      t.batch, rows, 1, row, row, NULL)
            continue
        row = kept_bytes(s.format, op.size, 1, size)
        from_x = kept_bytes(s.format, op.cache, op.cache_heads, size)
        from_x, from_y = from_x * s.batch, from_x * t.batch
        copy_rows(<char*>s.keys + from_x * s.max_len, <char*>t.keys + from_y * s.max_len,
                  t.batch, rows, op.kv_heads, row * s.max_len, row, t.lengths)
        copy_rows(<char*>s.values + from_x * s.max_len, <char*>t.values + from_y * s.max_len,
                  t.batch, rows, op.kv_heads, row * s.max_len, row, t.lengths)


cdef int select_rows(State *s, const int64_t *rows, int64_t count) noexcept nogil:
    cdef State t = s[0]
    cdef int64_t b, size = s.plan.bits // 8
    cdef bint moved = count != s.batch      # beams of one sentence share a memory: it stays
    t.batch = count
    t.lengths, t.keys, t.values, t.memory = NULL, NULL, NULL, NULL
    if allocate(&t) != OK:
        free_storage(&t)
        return NO_MEMORY
    for b in range(count):
        t.lengths[b], t.origins[b] = s.lengths[rows[b]], s.origins[rows[b]]
        t.memory_lengths[b] = s.memory_lengths[rows[b]]
        moved = moved or t.origins[b] != s.origins[b]
    if moved and s.memory is not NULL:
        t.memory = take(count * s.memory_positions * s.plan.memory * size)
        if t.memory is NULL:
            free_storage(&t)
            return NO_MEMORY
        copy_kept(s, &t, rows, CROSS)
    elif s.memory is not NULL:
        t.memory, s.memory = s.memory, NULL
    copy_kept(s, &t, rows, ATTENTION)
    free_storage(s)
    s[0] = t
    return OK


cdef int move_state(State *s, const Record *p) noexcept nogil:
    """Make a state of a program one of p, which keeps the same of every position."""
    cdef const Record *q = s.plan
    if (q.bits != p.bits or q.keys != p.keys or q.key_heads != p.key_heads
            or q.memory != p.memory or s.max_len > p.max_len or q.most_rows != p.most_rows):
        return BAD_ARGUMENT
    plan_retain(p)
    s.plan = p
    plan_release(q)
    return OK


cdef void truncate(State *s, int64_t length) noexcept nogil:
    cdef int64_t b
    for b in range(s.batch):
        s.lengths[b] = min(s.lengths[b], length)


# The functions of fastnn.h.

cdef int plan_step_real(const void *plan, void *state, const int64_t *ids, int64_t n,
                        const int64_t *taken, real *logits) noexcept nogil:
    cdef const Record *p = <const Record*>plan
    cdef State *s = <State*>state
    cdef int status
    if p is NULL or s is NULL or ids is NULL or logits is NULL or n < 1:
        return BAD_ARGUMENT
    if p.tail == p.count or p.vocabulary == 0 or p.bits != 8 * sizeof(real):
        return WRONG_TYPE
    if s.plan != p or not lock_state(s):
        return BAD_ARGUMENT
    status = BAD_ARGUMENT if n > s.max_len else step_locked(p, s, ids, n, taken, logits)
    unlock_state(s)
    return status


cdef int plan_encode_real(const void *plan, const real *x, int64_t batch, int64_t n,
                          const int64_t *lengths, real *y) noexcept nogil:
    cdef const Record *p = <const Record*>plan
    cdef Pass q
    cdef int64_t b
    if p is NULL or batch < 0 or n < 0 or (batch * n > 0 and (x is NULL or y is NULL)):
        return BAD_ARGUMENT
    if (not p.sequences or p.vocabulary > 0 or p.crosses > 0 or p.tail < p.count
            or p.bits != 8 * sizeof(real)):
        return WRONG_TYPE
    if (n > 0 and batch > (<int64_t>1 << 40) // n) or n > p.max_len:
        return BAD_ARGUMENT
    for b in range(0 if lengths is NULL else batch):
        if lengths[b] < 0 or lengths[b] > n:
            return BAD_ARGUMENT
    q.batch, q.n, q.ids, q.lengths, q.pieces = batch, n, NULL, lengths, NULL
    return encode(p, &q, x, y)


cdef void *plan_new_state(const void *plan, int64_t batch, int64_t max_len) noexcept nogil:
    cdef const Record *p = <const Record*>plan
    if p is NULL or p.tail == p.count or p.vocabulary == 0 or p.crosses > 0:
        return NULL
    if batch < 1 or batch > 1 << 30 or max_len < 1 or max_len > p.max_len:
        return NULL
    return new_state(p, batch, max_len, 0, NULL, 0, NULL)


cdef int state_release(void *state) noexcept nogil:
    cdef State *s = <State*>state
    if s is NULL:
        return BAD_ARGUMENT
    free_storage(s)
    plan_release(s.plan)
    free(s)
    return OK


cdef int state_truncate(void *state, int64_t length) noexcept nogil:
    cdef State *s = <State*>state
    if s is NULL or length < 0 or not lock_state(s):
        return BAD_ARGUMENT
    truncate(s, length)
    unlock_state(s)
    return OK
