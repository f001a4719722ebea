"""Sums of the rows of an id that occurs often, in chains of at most FOLD terms. For arrays.pyx."""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef enum:
    BUCKETS = 1024          # ids are counted by their lowest bits first, which rules most out

cdef struct Repeats:
    # A hash table of the ids that may occur often, and the scratch of all threads.
    char hot[BUCKETS]       # whether ids with these lowest bits are in the table
    int64_t size            # of the table, a power of 2; 0: no id occurs more than FOLD times
    int64_t *ids            # of each entry, -1 where it is free
    int64_t *times          # how often the id occurs
    int64_t *first_sum      # the row of sums of its second FOLD occurrences; more rows follow
    int64_t sums            # how many rows of sums there are
    int64_t *scratch        # of all threads

# Counts the ids; False if there is no memory. `close_repeats` frees it again.
cdef bint open_repeats(int64_t count, int64_t rows, const int64_t *ids, int64_t skipped, int team,
                       Repeats *r) noexcept nogil
cdef void close_repeats(Repeats *r) noexcept nogil
# table[ids[i]] += scale dy_i for n columns; sums is scratch of r.sums rows, ldsums apart.
cdef void add_repeats(const Repeats *r, int thread, int64_t count, int64_t n, const int64_t *ids,
                      int64_t skipped, const real *dy, int64_t lddy, real scale, real *table,
                      int64_t ldtable, real *sums, int64_t ldsums) noexcept nogil
