"""How many threads run, and which part of the work is whose.

A kernel asks `threads_for(work, grain)` once. If the answer is 1 it calls its body directly; else it opens one parallel region of that
size and every thread calls the body with `team_size()` and `thread_id()`; the body takes its part by `share`. A body must work for any team, since
the runtime may give fewer threads than were asked for. It gets the team as arguments because a team of 1 may run inside somebody else's region.
Shares are cut from blocks whose size does not depend on the team, so neither do the bits.
"""
from libc.stdint cimport int64_t

cdef extern from "team.h" nogil:
    int team_size "fastnn_team_size"() noexcept
    int thread_id "fastnn_thread_id"() noexcept
    void omp_barrier "fastnn_barrier"() noexcept

cdef int max_threads() noexcept nogil
# The limit of the calling thread: n > 0 sets it, 0 takes it away, below 0 nothing changes. Returns what it was, 0 being none.
cdef int set_thread_limit(int n) noexcept nogil

cdef inline int threads_for(double work, double grain) noexcept nogil:
    """A team is 1 or full size (libgomp rebuilds its pool when the size changes); full when at least two threads have `grain` to do."""
    return 1 if work < 2 * grain else max_threads()

cdef inline void share(
    int64_t total, int team, int thread, int64_t *start, int64_t *stop
) noexcept nogil:
    """The part [start, stop) of 0..total-1 that is this thread's: consecutive, and equal to within one."""
    start[0] = total * thread // team
    stop[0] = total * (thread + 1) // team

cdef inline void barrier(int team) noexcept nogil:
    """Wait for the others of the team."""
    if team > 1:
        omp_barrier()
