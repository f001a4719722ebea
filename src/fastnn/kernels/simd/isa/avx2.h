/* avx2.h: AVX2 with FMA, 16 registers of 32 bytes. */
#ifndef FASTNN_AVX2_H
#define FASTNN_AVX2_H

#define VBYTES 32
#include "types.h"

#define REGISTER "x"
#define MR 6
#define NV 2

#if FASTNN_REAL == 32
#define X86(op, ...) (vec)_mm256_##op##_ps(__VA_ARGS__)
typedef __m256 x86_vec;
#else
#define X86(op, ...) (vec)_mm256_##op##_pd(__VA_ARGS__)
typedef __m256d x86_vec;
#endif
#include "x86.h"

#define load_part load_part
INLINE vec load_part(const real *p, int64_t n, real fill) {
    const x86_vec some = (x86_vec)X86(maskload, p, (__m256i)first_lanes(n));
    return X86(blendv, (x86_vec)X86(set1, fill), some, (x86_vec)first_lanes(n));
}
#define store_part store_part
INLINE void store_part(real *p, int64_t n, vec v) {
#if FASTNN_REAL == 32
    _mm256_maskstore_ps(p, (__m256i)first_lanes(n), (__m256)v);
#else
    _mm256_maskstore_pd(p, (__m256i)first_lanes(n), (__m256d)v);
#endif
}

#define pair_dot pair_dot
INLINE i32vec pair_dot(i32vec a, i32vec b) {
    return (i32vec)_mm256_madd_epi16((__m256i)a, (__m256i)b);
}

#define stream stream
INLINE void stream(real *p, vec v) { _mm256_stream_si256((__m256i *)p, (__m256i)v); }

#define load_double load_double
INLINE dvec load_double(const float *x) { return (dvec)_mm256_cvtps_pd(_mm_loadu_ps(x)); }

#define times_32 times_32
INLINE u64vec times_32(u64vec a, uint32_t m) {
    return (u64vec)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(m));
}

#define sign_bits sign_bits
INLINE uint64_t sign_bits(i32vec v) { return (uint64_t)_mm256_movemask_ps((__m256)v); }

#endif
