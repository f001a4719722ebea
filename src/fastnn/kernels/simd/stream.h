/* stream.h: loops over runs of any length, and non-temporal stores for results larger than the
 * caches.
 *
 * An ordinary store first reads its cache line from memory. A non-temporal store does not, which
 * saves a third of the traffic of a copy. Non-temporal stores are not ordered with other stores:
 * call stream_end after the last one.
 */
#ifndef FASTNN_STREAM_H
#define FASTNN_STREAM_H

#include "vec.h"

/* Load the next vector of a run with n elements left; lanes past its end are set to fill. */
INLINE vec load_some(const real *p, int64_t n, real fill) {
    return n < LANES ? load_part(p, n, fill) : load(p);
}

/* True if rows from p on, ld apart, all start at a multiple of a vector, as `stream` needs. */
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

/* Number of the n reals at p before the next vector boundary; 0 if the run is short. A store that
 * crosses a cache line costs two. */
enum { WORTH_ALIGNING = 8 };
INLINE int64_t until_aligned(const real *p, int64_t n) {
    return n < WORTH_ALIGNING * LANES ? 0 : (int64_t)(-(uintptr_t)p % VBYTES / sizeof(real));
}

/* True if rows can be streamed after until_aligned elements. */
INLINE int can_stream_rest(const real *p, int64_t m, int64_t n, int64_t ld) {
    return can_stream(p + until_aligned(p, n), m == 1 ? 0 : ld);
}

/* Store the next vector of a run with n elements left. */
INLINE void store_some(real *p, int64_t n, vec v, int past_caches) {
    if (n < LANES)
        store_part(p, n, v);
    else
        store_to(p, v, past_caches);
}

/* Prefetch 8 KiB ahead in streaming loops: hardware prefetchers stop at page boundaries
 * (docs/tuning.md). */
enum { AHEAD = 8192 / sizeof(real) };
INLINE void fetch_ahead(const real *p) { __builtin_prefetch(p + AHEAD); }

#ifndef stream_end
INLINE void stream_end(void) {}
#endif

#endif
