/* baseline.h: what every CPU of the platform has: SSE2 on x86-64, NEON on AArch64, otherwise plain
 * C. */
#ifndef FASTNN_BASELINE_H
#define FASTNN_BASELINE_H

#define VBYTES 16
#include "types.h"

#if defined(__SSE2__)
#define REGISTER "x"
#define MR 4
#define NV 2

#if FASTNN_REAL == 32
#define X86(op, ...) (vec)_mm_##op##_ps(__VA_ARGS__)
typedef __m128 x86_vec;
#else
#define X86(op, ...) (vec)_mm_##op##_pd(__VA_ARGS__)
typedef __m128d x86_vec;
#endif
#include "x86.h"

#define pair_dot pair_dot
INLINE i32vec pair_dot(i32vec a, i32vec b) {
    return (i32vec)_mm_madd_epi16((__m128i)a, (__m128i)b);
}

#define stream stream
INLINE void stream(real *p, vec v) { _mm_stream_si128((__m128i *)p, (__m128i)v); }

#define times_32 times_32
INLINE u64vec times_32(u64vec a, uint32_t m) {
    return (u64vec)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(m));
}

#define sign_bits sign_bits
INLINE uint64_t sign_bits(i32vec v) { return (uint64_t)_mm_movemask_ps((__m128)v); }

#elif defined(__aarch64__)
#define REGISTER "w"
#define MR 8
#define NV 3
#endif

#endif
