"""Sums of the rows of frequent ids, in chains of at most FOLD terms; used by arrays.pyx."""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef enum:
    BUCKETS = 1024          # ids are first counted by their lowest bits, which rules out most

cdef struct Repeats:
    # A hash table of the ids that may be frequent, and the scratch of all threads.
    char hot[BUCKETS]       # True if ids with these lowest bits are in the table
    int64_t size            # size of the table, a power of 2; 0: no id occurs more than FOLD times
    int64_t *ids            # id of each entry, or -1 if the entry is free
    int64_t *times          # how often the id occurs
    int64_t *first_sum      # row of sums for occurrences from FOLD on; each FOLD more take the next
    int64_t sums            # number of rows of sums
    int64_t *scratch        # scratch of all threads

# Count the ids; False if memory runs out. `close_repeats` frees the memory.
cdef bint open_repeats(int64_t count, int64_t rows, const int64_t *ids, int64_t skipped, int team,
                       Repeats *r) noexcept nogil
cdef void close_repeats(Repeats *r) noexcept nogil
# Add scale dy_i to table[ids[i]], in n columns. sums is scratch of r.sums rows, ldsums apart.
cdef void add_repeats(const Repeats *r, int thread, int64_t count, int64_t n, const int64_t *ids,
                      int64_t skipped, const real *dy, int64_t lddy, real scale, real *table,
                      int64_t ldtable, real *sums, int64_t ldsums) noexcept nogil
