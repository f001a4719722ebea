/* vec.h: the real type, the vector type and what a leaf needs to move between memory and registers.
 *
 * FASTNN_REAL is 32 or 64 and FASTNN_ISA names the instruction set; both come from the build. Vectors are GCC/Clang vector extensions: the operators
 * are the language's own, and the width follows from the instruction set that the compiler was told to use.
 */
#ifndef FASTNN_VEC_H
#define FASTNN_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if FASTNN_REAL == 32
typedef float real;
typedef int32_t bits;
#define SUFFIX f32
#define REAL_MAX_EXP 127
#define MANTISSA_BITS 23
#elif FASTNN_REAL == 64
typedef double real;
typedef int64_t bits;
#define SUFFIX f64
#define REAL_MAX_EXP 1023
#define MANTISSA_BITS 52
#else
#error "FASTNN_REAL must be 32 or 64"
#endif

#if defined(__AVX512F__)
#define VBYTES 64
#elif defined(__AVX2__)
#define VBYTES 32
#else
#define VBYTES 16 /* SSE2, NEON */
#endif

typedef real vec __attribute__((vector_size(VBYTES)));
typedef bits ivec __attribute__((vector_size(VBYTES)));
#define LANES ((int)(VBYTES / sizeof(real)))

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

INLINE vec load(const real *p) {
    vec v;
    memcpy(&v, p, sizeof v); /* one unaligned move */
    return v;
}

INLINE void store(real *p, vec v) { memcpy(p, &v, sizeof v); }

/* The first n < LANES reals at p, the other lanes set to fill; nothing else is touched. With AVX masks do it, where the compiler finds only loops. */
#if defined(__AVX512F__) && FASTNN_REAL == 32
INLINE vec load_part(const real *p, int64_t n, real fill) { return (vec)_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)((1u << n) - 1), p); }
INLINE void store_part(real *p, int64_t n, vec v) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
#elif defined(__AVX512F__)
INLINE vec load_part(const real *p, int64_t n, real fill) { return (vec)_mm512_mask_loadu_pd(_mm512_set1_pd(fill), (__mmask8)((1u << n) - 1), p); }
INLINE void store_part(real *p, int64_t n, vec v) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v); }
#else
INLINE ivec first_lanes(int64_t n) {
    ivec lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return lane < (bits)n;
}
#if defined(__AVX2__) && FASTNN_REAL == 32
INLINE vec load_part(const real *p, int64_t n, real fill) {
    return (vec)_mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, (__m256i)first_lanes(n)), (__m256)first_lanes(n));
}
INLINE void store_part(real *p, int64_t n, vec v) { _mm256_maskstore_ps(p, (__m256i)first_lanes(n), (__m256)v); }
#elif defined(__AVX2__)
INLINE vec load_part(const real *p, int64_t n, real fill) {
    return (vec)_mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_maskload_pd(p, (__m256i)first_lanes(n)), (__m256d)first_lanes(n));
}
INLINE void store_part(real *p, int64_t n, vec v) { _mm256_maskstore_pd(p, (__m256i)first_lanes(n), (__m256d)v); }
#else /* lane by lane; not inline, which would be a sixth of the code of all leaves */
static __attribute__((noinline, unused)) vec load_part(const real *p, int64_t n, real fill) {
    real lanes[LANES];
    for (int i = 0; i < LANES; i++) lanes[i] = i < n ? p[i] : fill;
    return load(lanes);
}
static __attribute__((noinline, unused)) void store_part(real *p, int64_t n, vec v) {
    real lanes[LANES];
    store(lanes, v);
    for (int64_t i = 0; i < n; i++) p[i] = lanes[i];
}
#endif
#endif

/* s - 0 and not 0 + s: the sign of a zero survives. */
INLINE vec splat(real s) { return s - (vec){0}; }

/* mask ? a : b, lane by lane; a comparison of vectors gives such a mask. */
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)(((ivec)a & mask) | ((ivec)b & ~mask)); }

/* v, rounded: a product here is not fused into the sum it goes to. The compiler fuses in one copy of a loop and not in another, and then bits depend on
 * which of them a row went through. */
INLINE vec rounded(vec v) {
#if defined(__AVX512F__)
    __asm__("" : "+v"(v));
#elif defined(__SSE2__)
    __asm__("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#endif
    return v;
}

/* max(x, 0) that hands NaN on, as NumPy's maximum and PyTorch's relu do. */
INLINE vec relu_vec(vec x) { return choose(x <= 0, (vec){0}, x); }

/* A vector that is used more than once: the compiler reads it anew for each use, which costs where it crosses lines. ReLU of 4,096: 0.23 us, 0.14 so. */
INLINE vec load_once(const real *p) { return rounded(load(p)); }

/* The lanes of v in another order. */
#if defined(__clang__)
INLINE vec permute(vec v, ivec from) {
    vec out;
    for (int l = 0; l < LANES; l++) out[l] = v[from[l]];
    return out;
}
#else
INLINE vec permute(vec v, ivec from) { return __builtin_shuffle(v, from); }
#endif

/* The greater, lane by lane; b where either is NaN. On x86 maxps, which the compiler does not find in a choice. */
#if defined(__AVX512F__) && FASTNN_REAL == 32
INLINE vec max_vec(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
#elif defined(__AVX512F__)
INLINE vec max_vec(vec a, vec b) { return (vec)_mm512_max_pd((__m512d)a, (__m512d)b); }
#elif defined(__AVX2__) && FASTNN_REAL == 32
INLINE vec max_vec(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }
#elif defined(__AVX2__)
INLINE vec max_vec(vec a, vec b) { return (vec)_mm256_max_pd((__m256d)a, (__m256d)b); }
#else
INLINE vec max_vec(vec a, vec b) { return choose(a > b, a, b); }
#endif

/* LANE_XOR[i][l] = l ^ (8 >> i); a shorter vector has the first lanes of the last rows. A table: lanes set one by one the compiler builds one by one. */
static const bits LANE_XOR[4][16] = {{8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7},
                                     {4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11},
                                     {2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13},
                                     {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14}};
enum { FIRST_XOR = LANES == 16 ? 0 : LANES == 8 ? 1 : LANES == 4 ? 2 : 3 };

INLINE vec exchange(vec v, const int i) {
    ivec from;
    memcpy(&from, LANE_XOR[i], sizeof from);
    return permute(v, from);
}

/* Sums and maxima over the lanes, in every lane, by halves: an order fixed by the instruction set. */
INLINE vec spread_sum(vec v) {
    UNROLL for (int i = FIRST_XOR; i < 4; i++) v += exchange(v, i);
    return v;
}

INLINE vec spread_max(vec v) {
    UNROLL for (int i = FIRST_XOR; i < 4; i++) v = max_vec(exchange(v, i), v);
    return v;
}

INLINE real sum_lanes(vec v) { return spread_sum(v)[0]; }
INLINE real max_lanes(vec v) { return spread_max(v)[0]; }

#endif
