"""Loops over flat arrays: threads split an array into blocks, and runs with and without decay.

Each element is updated from its own values alone, so the bits depend neither on the threads nor on
where an array is cut.
"""
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, OK
from ..ground.dispatch cimport (
    FASTNN_ADAGRAD, FASTNN_ADAM, FASTNN_MOMENTUM, FASTNN_NESTEROV, FASTNN_RMSPROP, fastnn_step,
    real, scale_run, update_run,
)
from ..ground.threads cimport share, team_size, thread_id, threads_for

cdef enum:
    BLOCK = 4096        # elements: an array is split between threads in blocks of this size
    GRAIN = 16384       # minimum elements per thread (docs/tuning.md)


cdef bint my_run(int team, int thread, int64_t n, int64_t *first, int64_t *last) noexcept nogil:
    """Find this thread's run [first, last) of whole blocks of 0..n-1; False if it has none."""
    share((n + BLOCK - 1) // BLOCK, team, thread, first, last)
    first[0] *= BLOCK
    last[0] = min(last[0] * BLOCK, n)
    return first[0] < last[0]


cdef void update_share(
    int team, int thread, int64_t n, real *p, const real *g, real *m, real *v, real *c,
    const fastnn_step *step, int64_t n_stops, const int64_t *stops
) noexcept nogil:
    """Update this thread's run, cut where weight decay ends (stops[0]), resumes (stops[1]), ..."""
    cdef int64_t i, stop, last, run = 0
    cdef fastnn_step steps[2]       # with and without weight decay
    steps[0] = steps[1] = step[0]
    steps[1].l2 = steps[1].shrink = 0
    if not my_run(team, thread, n, &i, &last):
        return
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
    cdef int team
    if n < 0 or (n > 0 and not complete(step, p, g, m, v)):
        return BAD_ARGUMENT
    team = threads_for(n, GRAIN)
    if team == 1:
        update_share(1, 0, n, p, g, m, v, c, step, n_stops, stops)
    else:
        with parallel(num_threads=team):
            update_share(team_size(), thread_id(), n, p, g, m, v, c, step, n_stops, stops)
    return OK


cdef void scale_share(int team, int thread, int64_t n, real factor, real *x) noexcept nogil:
    cdef int64_t i, last
    if my_run(team, thread, n, &i, &last):
        scale_run(last - i, factor, x + i)


cdef int scale_flat(int64_t n, double factor, real *x) noexcept nogil:
    cdef int team
    if n < 0 or (n > 0 and x is NULL):
        return BAD_ARGUMENT
    team = threads_for(n, 2 * GRAIN)
    if team == 1:
        scale_share(1, 0, n, <real>factor, x)
    else:
        with parallel(num_threads=team):
            scale_share(team_size(), thread_id(), n, <real>factor, x)
    return OK
