/* stream.h: runs of any length by vectors, and stores past the caches, for results that are larger
 * than they are.
 *
 * An ordinary store reads its line from memory first; one past the caches does not, which saves a
 * third of the traffic of a copy. Such stores are not ordered with others: whoever used them calls
 * stream_end.
 */
#ifndef FASTNN_STREAM_H
#define FASTNN_STREAM_H

#include "vec.h"

/* The next vector of a run of which n elements are left; past its end comes fill. */
INLINE vec load_some(const real *p, int64_t n, real fill) {
    return n < LANES ? load_part(p, n, fill) : load(p);
}

/* Rows from p on, ld apart, all start at a multiple of a vector, as `stream` needs. */
INLINE int can_stream(const real *p, int64_t ld) {
    return ((uintptr_t)p | (uintptr_t)ld * sizeof(real)) % VBYTES == 0;
}

#ifndef stream
INLINE void stream(real *p, vec v) { store(p, v); }
#endif

INLINE void store_to(real *p, vec v, int past_caches) {
    if (past_caches)
        stream(p, v);
    else
        store(p, v);
}

/* How many of the n reals at p come before a vector's boundary, where there are enough of them to
 * care: a store across two cache lines costs two. */
enum { WORTH_ALIGNING = 8 };
INLINE int64_t until_aligned(const real *p, int64_t n) {
    return n < WORTH_ALIGNING * LANES ? 0 : (int64_t)(-(uintptr_t)p % VBYTES / sizeof(real));
}

/* Whether rows that are stored from there on can be streamed. */
INLINE int can_stream_rest(const real *p, int64_t m, int64_t n, int64_t ld) {
    return can_stream(p + until_aligned(p, n), m == 1 ? 0 : ld);
}

/* The reverse of load_some. */
INLINE void store_some(real *p, int64_t n, vec v, int past_caches) {
    if (n < LANES)
        store_part(p, n, v);
    else
        store_to(p, v, past_caches);
}

/* Beside a streamed store, as a rule: asks for what the loop reads 8,192 bytes later, as the
 * prefetchers stop at the end of a page. 16 MiB: ReLU 515 us instead of 556, its backward 661
 * instead of 875. */
enum { AHEAD = 8192 / sizeof(real) };
INLINE void fetch_ahead(const real *p) { __builtin_prefetch(p + AHEAD); }

#ifndef stream_end
INLINE void stream_end(void) {}
#endif

#endif
