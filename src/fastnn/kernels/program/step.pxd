"""Frozen programs of sequences by pointer, without the GIL; fastnn.h has the contracts.

`plan` is the address of a kernels.Plan, `state` that of a kernels.PlanState. A state is used by one
thread at a time: where another one is using it, functions return BAD_ARGUMENT.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real
from .ops cimport Pass, Record, State

cdef int plan_step_real(const void *plan, void *state, const int64_t *ids, int64_t n,
                        const int64_t *taken, real *logits) noexcept nogil
cdef int plan_encode_real(const void *plan, const real *x, int64_t batch, int64_t n,
                          const int64_t *lengths, real *y) noexcept nogil
cdef void *plan_new_state(const void *plan, int64_t batch, int64_t max_len) noexcept nogil
cdef int state_release(void *state) noexcept nogil
cdef int state_truncate(void *state, int64_t length) noexcept nogil

cdef enum:
    # Rows, of the batch times positions, that go through together: what lies between operations
    # stays in the cache, or, where weights are packed for every product, packing is a small part.
    MOST_ROWS = 256
    MOST_ROWS_LIVE = 4096

# True if nobody used the state; it is in use then until it is unlocked.
cdef bint lock_state(State *s) noexcept nogil
cdef void unlock_state(State *s) noexcept nogil
# For plan.pyx, which has checked the arguments and locked the state. An id or a number of positions
# that does not fit is BAD_ARGUMENT, and the state is as before.
cdef int step_locked(const Record *p, State *s, const int64_t *ids, int64_t n,
                     const int64_t *taken, void *logits) noexcept nogil
cdef int encode(const Record *p, Pass *q, const void *x, void *y) noexcept nogil
cdef State *new_state(const Record *p, int64_t batch, int64_t max_len, int format,
                      const void *memory, int64_t memory_positions,
                      const int64_t *memory_lengths) noexcept nogil
# Bytes of the keys, and of the values.
cdef int64_t kept(const State *s) noexcept nogil
# Make rows rows[0], ..., rows[count - 1] of a locked state all that it holds, in this order.
cdef int select_rows(State *s, const int64_t *rows, int64_t count) noexcept nogil
cdef int move_state(State *s, const Record *p) noexcept nogil
cdef void truncate(State *s, int64_t length) noexcept nogil
