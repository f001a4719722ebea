"""Sums of the rows of frequent ids, in chains of at most FOLD terms.

The first FOLD occurrences of an id are added to its row of the table, in order. Each FOLD further
occurrences are summed in a row of scratch, and these rows are added to the table at the end. The
partition of a sum depends on the ids alone.
"""
from libc.stdint cimport int64_t
from libc.string cimport memset

from ..ground.dispatch cimport real, scatter_add_rows
from ..ground.memory cimport give, take
from ..ground.sums cimport FOLD, add_rows

cdef enum:
    RUN = 1024          # ids processed at a time


cdef int64_t find_hot(int64_t count, int64_t rows, const int64_t *ids, int64_t skipped,
                      char *hot) noexcept nogil:
    """Set hot for buckets of more than FOLD ids; return how many different ids they may hold."""
    cdef int64_t[BUCKETS] times
    cdef int64_t i, most = 0
    if count <= FOLD:
        return 0
    memset(times, 0, sizeof(times))
    for i in range(count):
        times[ids[i] & (BUCKETS - 1)] += ids[i] != skipped
    for i in range(BUCKETS):
        hot[i] = times[i] > FOLD
        if hot[i]:
            most += min(times[i], rows // BUCKETS + 1)
    return most


cdef inline int64_t entry_of(const Repeats *r, int64_t row) noexcept nogil:
    """Find the entry of an id, or the free entry for it: linear probing from its lowest bits."""
    cdef int64_t e = row & (r.size - 1)
    while r.ids[e] != row and r.ids[e] >= 0:
        e = (e + 1) & (r.size - 1)
    return e


cdef bint open_repeats(int64_t count, int64_t rows, const int64_t *ids, int64_t skipped, int team,
                       Repeats *r) noexcept nogil:
    cdef int64_t i, e, most = find_hot(count, rows, ids, skipped, r.hot)
    r.size = r.sums = 0
    r.ids = NULL
    if most == 0:
        return True
    r.size = 1
    while r.size < 2 * most:
        r.size *= 2
    r.ids = <int64_t*>take((3 * r.size + team * (r.size + 2 * RUN)) * <int64_t>sizeof(int64_t))
    if r.ids is NULL:
        return False
    r.times, r.first_sum, r.scratch = r.ids + r.size, r.ids + 2 * r.size, r.ids + 3 * r.size
    memset(r.ids, 0xff, r.size * sizeof(int64_t))
    memset(r.times, 0, r.size * sizeof(int64_t))
    for i in range(count):
        if r.hot[ids[i] & (BUCKETS - 1)] and ids[i] != skipped:
            e = entry_of(r, ids[i])
            r.ids[e] = ids[i]
            r.times[e] += 1
    for e in range(r.size):
        r.first_sum[e] = r.sums
        r.sums += max(<int64_t>0, r.times[e] - 1) // FOLD
    if r.sums == 0:
        close_repeats(r)
    return True


cdef void close_repeats(Repeats *r) noexcept nogil:
    give(r.ids)
    r.ids = NULL
    r.size = 0


cdef void add_repeats(const Repeats *r, int thread, int64_t count, int64_t n, const int64_t *ids,
                      int64_t skipped, const real *dy, int64_t lddy, real scale, real *table,
                      int64_t ldtable, real *sums, int64_t ldsums) noexcept nogil:
    cdef int64_t *seen = r.scratch + thread * (r.size + 2 * RUN)
    cdef int64_t *to_table = seen + r.size      # row of the table that dy is added to, or `skipped`
    cdef int64_t *to_sums = to_table + RUN      # row of sums that dy is added to, or -1
    cdef int64_t start, i, e, size, more
    memset(seen, 0, r.size * sizeof(int64_t))
    for i in range(r.sums):
        memset(sums + i * ldsums, 0, n * sizeof(real))
    start = 0
    while start < count:
        size, more = min(<int64_t>RUN, count - start), 0
        for i in range(size):
            to_table[i], to_sums[i] = ids[start + i], -1
            if to_table[i] == skipped or not r.hot[to_table[i] & (BUCKETS - 1)]:
                continue
            e = entry_of(r, to_table[i])
            if seen[e] >= FOLD:
                to_table[i], to_sums[i] = skipped, r.first_sum[e] + seen[e] // FOLD - 1
                more += 1
            seen[e] += 1
        if more < size:
            scatter_add_rows(size, n, to_table, skipped, dy + start * lddy, lddy, scale, table,
                             ldtable)
        if more > 0:
            scatter_add_rows(size, n, to_sums, -1, dy + start * lddy, lddy, scale, sums, ldsums)
        start += size
    for e in range(r.size):
        more = max(<int64_t>0, r.times[e] - 1) // FOLD
        if more > 0:
            add_rows(more, n, sums + r.first_sum[e] * ldsums, ldsums, table + r.ids[e] * ldtable)
