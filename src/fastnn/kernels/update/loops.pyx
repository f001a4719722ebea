"""Loops over flat arrays: threads split an array into blocks, and runs with and without decay.

Each element is updated from its own values alone, so the bits depend neither on the threads nor on
where an array is cut.
"""
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, OK
from ..ground.dispatch cimport (
    FASTNN_ADAGRAD, FASTNN_ADAM, FASTNN_MOMENTUM, FASTNN_NESTEROV, FASTNN_RMSPROP, fastnn_step,
    real, scale_run, update_run,
)
from ..ground.machine cimport machine
from ..ground.threads cimport run_team, share_blocks, threads_for

cdef enum:
    BLOCK = 4096        # elements: an array is split between threads in blocks of this size


cdef void update_part(
    int team, int thread, int64_t n, real *p, const real *g, real *m, real *v, real *c,
    const fastnn_step *step, int64_t n_stops, const int64_t *stops
) noexcept nogil:
    """Update this thread's run, cut where weight decay ends (stops[0]), resumes (stops[1]), ..."""
    cdef int64_t i, stop, last, run = 0
    cdef fastnn_step steps[2]       # with and without weight decay
    steps[0] = steps[1] = step[0]
    steps[1].l2 = steps[1].shrink = 0
    share_blocks(n, BLOCK, team, thread, &i, &last)
    while i < last:
        while run < n_stops and stops[run] <= i:
            run += 1
        stop = min(stops[run], last) if run < n_stops else last
        update_run(
            stop - i, p + i, g + i, NULL if m is NULL else m + i, NULL if v is NULL else v + i,
            NULL if c is NULL else c + i, &steps[run % 2]
        )
        i = stop


cdef bint complete(
    const fastnn_step *s, const void *p, const void *g, const void *m, const void *v
) noexcept nogil:
    """True if the arrays that the rule needs are given."""
    if p is NULL or g is NULL:
        return False
    if (
        m is NULL
        and (s.rule == FASTNN_MOMENTUM or s.rule == FASTNN_NESTEROV or s.rule == FASTNN_ADAM)
    ):
        return False
    return v is not NULL or not (
        s.rule == FASTNN_ADAM or s.rule == FASTNN_RMSPROP or s.rule == FASTNN_ADAGRAD
    )


cdef int update_flat(
    int64_t n, real *p, const real *g, real *m, real *v, real *c, const fastnn_step *step,
    int64_t n_stops, const int64_t *stops
) noexcept nogil:
    if n < 0 or (n > 0 and not complete(step, p, g, m, v)):
        return BAD_ARGUMENT
    run_team(threads_for(n, machine.pass_grain / 2), update_part[real], n, p, g, m, v, c, step,
             n_stops, stops)
    return OK


cdef void scale_part(int team, int thread, int64_t n, real factor, real *x) noexcept nogil:
    cdef int64_t i, last
    share_blocks(n, BLOCK, team, thread, &i, &last)
    scale_run(last - i, factor, x + i)


cdef int scale_real(int64_t n, double factor, real *x) noexcept nogil:
    if n < 0 or (n > 0 and x is NULL):
        return BAD_ARGUMENT
    run_team(threads_for(n, machine.pass_grain), scale_part[real], n, <real>factor, x)
    return OK
