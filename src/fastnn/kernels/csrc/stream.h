/* stream.h: stores past the caches, for results that are larger than they are.
 *
 * An ordinary store reads its line from memory first; one past the caches does not, which saves a third of the traffic of a copy. Such stores are not
 * ordered with others: whoever used them calls stream_end.
 */
#ifndef FASTNN_STREAM_H
#define FASTNN_STREAM_H

#include "vec.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* Rows from p on, ld apart, all start at a multiple of a vector, as `stream` needs. */
INLINE int can_stream(const real *p, int64_t ld) { return ((uintptr_t)p | (uintptr_t)ld * sizeof(real)) % VBYTES == 0; }

INLINE void stream(real *p, vec v) {
#if VBYTES == 64
    _mm512_stream_si512((__m512i *)p, (__m512i)v);
#elif VBYTES == 32
    _mm256_stream_si256((__m256i *)p, (__m256i)v);
#elif defined(__SSE2__)
    _mm_stream_si128((__m128i *)p, (__m128i)v);
#else
    store(p, v);
#endif
}

INLINE void stream_end(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#endif
