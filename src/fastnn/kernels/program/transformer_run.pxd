"""Frozen Transformers by pointer, without the GIL: `plan_step` of a language model with a state, `plan_encode` of an encoder without one.

`plan` is the address of a kernels.TransformerPlan. It never changes: any number of threads may run it, each with a state of its own. A state holds the
keys and values of the positions so far of `batch` rows, and the work space: a step takes nothing but scratch of the pool.

`plan_step`:    appends n ids to each row (lengths: of row b the first lengths[b], 1..n; NULL: all), and writes the logits (batch, vocabulary) of what comes
                behind each row's last. ids (batch, n) are C-ordered. After an error the state is as before.
`plan_encode`:  y (batch, n, d) from x (batch, n, d), both C-ordered and apart; lengths (batch) or NULL: how many positions may be attended to.
Returns 0, 1 (no memory), 2 (a missing pointer, a number out of range, no room, an id that is none, a state of another plan) or 3 (a plan of the other real
type, or of another kind).
"""
from libc.stdint cimport int64_t

cdef int plan_step_f32(const void *plan, void *state, const int64_t *ids, int64_t n, const int64_t *lengths, float *logits) noexcept nogil
cdef int plan_step_f64(const void *plan, void *state, const int64_t *ids, int64_t n, const int64_t *lengths, double *logits) noexcept nogil
cdef int plan_encode_f32(const void *plan, const float *x, int64_t batch, int64_t n, const int64_t *lengths, float *y) noexcept nogil
cdef int plan_encode_f64(const void *plan, const double *x, int64_t batch, int64_t n, const int64_t *lengths, double *y) noexcept nogil
# NULL where the plan has no steps, a number is out of range, or there is no memory. The state keeps the plan alive.
cdef void *plan_new_state(const void *plan, int64_t batch, int64_t max_len) noexcept nogil
cdef int state_release(void *state) noexcept nogil
# Forget all but the first `length` positions of each row.
cdef int state_truncate(void *state, int64_t length) noexcept nogil

# What transformer_plan.pyx fills.
cdef enum:
    TRANSFORMER = -1        # the count of a plan's head that is no row of dense layers
    MOST_ROWS = 256         # rows, of the batch times positions, that go through the layers together

cdef struct Dense:
    int64_t n_in, n_out
    int activation
    const void *w           # what pack_whole of gemm/loops.pxd wrote
    const void *bias

cdef struct Norm:
    const void *weight
    const void *bias

cdef struct Block:
    Norm norm1, norm2
    Dense qkv, out, up, down

cdef struct Transformer:
    # as plan_run.pxd's Record begins
    int64_t holders
    int bits
    int count
    int64_t n_in, n_out
    void (*destroy)(void *plan) noexcept nogil
    int64_t layers, d, heads, kv_heads, d_ff, vocabulary, max_len, nbytes
    bint norm_first, rms, causal
    double eps, scale       # scale: of the embedding
    const void *embedding   # (vocabulary, d), or NULL: vectors come in
    const void *positions   # (max_len, d) or NULL
    const void *table       # of rotary positions or NULL
    int64_t table_positions
    bint has_last
    Norm last
    Dense head
    Block *blocks
    void *weights           # all of them

cdef struct State:
    const Transformer *plan
    int64_t batch, max_len, chunk
    int64_t *lengths        # positions held, of each row
    int64_t *starts         # where each row's next position goes
    int64_t *visible        # (batch, chunk): keys that a query may see
    void *keys              # (layers, batch, kv_heads, max_len, head size)
    void *values
    void *workspace
