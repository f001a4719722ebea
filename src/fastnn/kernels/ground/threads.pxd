"""The number of threads, and the partition of the work between them.

A kernel calls `threads_for(work, grain)` once. If the result is 1 it calls its body directly,
otherwise it opens one parallel region of that size in which every thread calls the body with
`team_size()` and `thread_id()`; the body takes its part by `share`. A body must work for any team,
since the runtime may start fewer threads. It receives the team as arguments because a team of 1 may
run inside another parallel region. Shares are made of blocks whose size does not depend on the
team, so neither do the bits.
"""
from libc.stdint cimport int64_t

cdef extern from "team.h" nogil:
    int team_size "fastnn_team_size"() noexcept
    int thread_id "fastnn_thread_id"() noexcept
    void omp_barrier "fastnn_barrier"() noexcept

cdef int max_threads() noexcept nogil
# Set the calling thread's limit and return the previous one; 0 means no limit, n < 0 changes
# nothing.
cdef int set_thread_limit(int n) noexcept nogil

cdef inline int threads_for(double work, double grain) noexcept nogil:
    """Return the team size: full if two threads have at least `grain` work each, else 1.

    No size between: libgomp rebuilds its pool when the size changes.
    """
    return 1 if work < 2 * grain else max_threads()

cdef inline void share(
    int64_t total, int team, int thread, int64_t *start, int64_t *stop
) noexcept nogil:
    """Find this thread's part [start, stop) of 0..total-1; parts differ in size by at most one."""
    start[0] = total * thread // team
    stop[0] = total * (thread + 1) // team

cdef inline void barrier(int team) noexcept nogil:
    """Wait for the other threads of the team."""
    if team > 1:
        omp_barrier()
