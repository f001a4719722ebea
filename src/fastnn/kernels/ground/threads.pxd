"""The number of threads, and the partition of the work between them.

A kernel is a function `part(team, thread, ...)` that does one thread's part of the work, and is run
by `run_team(threads_for(work, grain), part, ...)`. It takes its part by `share`, `share_blocks` or
`block_of`. It must work for any team, since the runtime may start fewer threads, and it is passed
the team, since a team of 1 may run inside another parallel region. Parts are made of blocks whose
size does not depend on the team, so neither do the bits.
"""
from libc.stdint cimport int64_t

cdef extern from "team.h" nogil:
    int team_size "fastnn_team_size"() noexcept
    int thread_id "fastnn_thread_id"() noexcept
    void omp_barrier "fastnn_barrier"() noexcept
    # run_team(size, part, arguments of part after team and thread); part may be part[real].
    void run_team "fastnn_run_team"(int size, ...) noexcept

# Set the limit of the process and watch forks, once; not 0 if that fails. Also called by programs
# without Python.
cdef int begin(int limit) noexcept nogil

cdef int max_threads() noexcept nogil
# Set the calling thread's limit and return the previous one; 0 means no limit, n < 0 changes
# nothing.
cdef int set_thread_limit(int n) noexcept nogil

# The team for work of so many grains, at least two; see threads.pyx.
cdef int team_for(double grains) noexcept nogil

cdef inline int threads_for(double work, double grain) noexcept nogil:
    """Return the team size: as many threads as have at least `grain` work each."""
    return 1 if work < 2 * grain else team_for(work / grain)

cdef inline void share(
    int64_t total, int team, int thread, int64_t *start, int64_t *stop
) noexcept nogil:
    """Find this thread's part [start, stop) of 0..total-1; parts differ in size by at most one."""
    start[0] = total * thread // team
    stop[0] = total * (thread + 1) // team

cdef inline void share_blocks(
    int64_t total, int64_t size, int team, int thread, int64_t *start, int64_t *stop
) noexcept nogil:
    """Find this thread's part [start, stop) of 0..total-1, in whole blocks of this size."""
    share((total + size - 1) // size, team, thread, start, stop)
    start[0], stop[0] = start[0] * size, min(stop[0] * size, total)

cdef struct Block:
    # `rows` x `cols` elements of a matrix, from row `row` and column `col` on.
    int64_t row, col, rows, cols

cdef inline Block block_of(
    int64_t rows, int64_t cols, int64_t size, int team, int thread
) noexcept nogil:
    """Return this thread's rows of a matrix; a single row is divided in blocks of this size."""
    cdef int64_t start, stop
    if rows == 1:
        share_blocks(cols, size, team, thread, &start, &stop)
        return Block(0, start, 1, stop - start)
    share(rows, team, thread, &start, &stop)
    return Block(start, 0, stop - start, cols)

cdef inline void barrier(int team) noexcept nogil:
    """Wait for the other threads of the team."""
    if team > 1:
        omp_barrier()
