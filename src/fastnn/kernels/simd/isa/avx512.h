/* avx512.h: AVX-512 F, VL, BW and DQ, 32 registers of 64 bytes and masks. */
#ifndef FASTNN_AVX512_H
#define FASTNN_AVX512_H

#define VBYTES 64
#include "types.h"

#define REGISTER "v"
#define MR 8
#define NV 3

#if FASTNN_REAL == 32
#define X86(op, ...) (vec)_mm512_##op##_ps(__VA_ARGS__)
#define STORE_MASKED _mm512_mask_storeu_ps
typedef __m512 x86_vec;
typedef __mmask16 x86_mask;
#else
#define X86(op, ...) (vec)_mm512_##op##_pd(__VA_ARGS__)
#define STORE_MASKED _mm512_mask_storeu_pd
typedef __m512d x86_vec;
typedef __mmask8 x86_mask;
#endif
#include "x86.h"

#define load_part load_part
INLINE vec load_part(const real *p, int64_t n, real fill) {
    return X86(mask_loadu, (x86_vec)X86(set1, fill), (x86_mask)((1u << n) - 1), p);
}
#define store_part store_part
INLINE void store_part(real *p, int64_t n, vec v) {
    STORE_MASKED(p, (x86_mask)((1u << n) - 1), (x86_vec)v);
}

/* f 2^n for integer n, rounded once; x - round(x), which is 0 at -inf. */
#define scalef_vec scalef_vec
INLINE vec scalef_vec(vec f, vec n) { return X86(scalef, (x86_vec)f, (x86_vec)n); }
INLINE vec fraction_vec(vec x) { return X86(reduce, (x86_vec)x, 0); }

/* True if a lane of t is at or above the bound, or NaN. */
#if FASTNN_REAL == 32
#define any_beyond any_beyond
INLINE int any_beyond(vec t, real bound) {
    return _mm512_cmp_ps_mask((__m512)t, (__m512)splat(bound), _CMP_NLT_UQ) != 0;
}
#endif

#define pair_dot pair_dot
INLINE i32vec pair_dot(i32vec a, i32vec b) {
    return (i32vec)_mm512_madd_epi16((__m512i)a, (__m512i)b);
}

#define stream stream
INLINE void stream(real *p, vec v) { _mm512_stream_si512((__m512i *)p, (__m512i)v); }

#define load_double load_double
INLINE dvec load_double(const float *x) { return (dvec)_mm512_cvtps_pd(_mm256_loadu_ps(x)); }

#define times_32 times_32
INLINE u64vec times_32(u64vec a, uint32_t m) {
    return (u64vec)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(m));
}

#define xor_3 xor_3
INLINE u64vec xor_3(u64vec a, u64vec b, uint64_t c) {
    const __m512i third = _mm512_set1_epi64((int64_t)c);
    return (u64vec)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, third, 0x96);
}

#define at_least_bits at_least_bits
INLINE uint64_t at_least_bits(u32vec words, uint32_t threshold) {
    return _mm512_cmpge_epu32_mask((__m512i)words, _mm512_set1_epi32((int32_t)threshold));
}

#define keep_lanes keep_lanes
INLINE vec keep_lanes(vec v, uint64_t bits_) { return X86(maskz_mov, (x86_mask)bits_, (x86_vec)v); }

#endif
