/* half.h: float32 from and to bfloat16 and float16, by integer arithmetic alone.
 *
 * Rounding is to nearest, ties to even; NaN stays NaN, with its leading bits, and becomes quiet
 * when it is rounded; subnormal numbers are kept; what is too large becomes infinite.
 */
#ifndef FASTNN_HALF_H
#define FASTNN_HALF_H

#include "vec.h"

#if FASTNN_REAL == 32

INLINE uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

INLINE float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}

INLINE uint16_t to_bf16(uint32_t u) {
    const uint32_t nearest = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : nearest);
}

static void bf16_round(int64_t n, const real *restrict x, uint16_t *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = to_bf16(bits_of(x[i]));
}

static void bf16_widen(int64_t n, const uint16_t *restrict x, real *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = float_of((uint32_t)x[i] << 16);
}

static void int8_widen(int64_t n, const void *restrict x, float scale, real *restrict y) {
    const int8_t *q = x;
    for (int64_t i = 0; i < n; i++) y[i] = scale * (real)q[i];
}

INLINE uint16_t to_f16(uint32_t u) {
    const uint32_t sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    /* Below 2^-14 the numbers are 2^-24 apart, as those of [0.5, 1) are in float32. */
    const uint32_t small = bits_of(float_of(a) + 0.5f) - 0x3f000000;
    uint32_t h = (a + 0xfff + (a >> 13 & 1) - (112u << 23)) >> 13;
    h = a < 113u << 23 ? small : h;
    h = a >= 0x477ff000 ? 0x7c00 : h;
    h = a > 0x7f800000 ? 0x7e00 | (a >> 13 & 0x3ff) : h;
    return (uint16_t)(sign | h);
}

static void f16_round(int64_t n, const real *restrict x, uint16_t *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = to_f16(bits_of(x[i]));
}

INLINE uint32_t from_f16(uint32_t h) {
    const uint32_t sign = (h & 0x8000) << 16, a = (h & 0x7fff) << 13;
    const uint32_t small = bits_of((float)(int32_t)(h & 0x3ff) * 0x1p-24f);
    uint32_t u = a + (112u << 23);
    u = a >= 31u << 23 ? a | 0x7f800000 : u;
    u = a < 1u << 23 ? small : u;
    return sign | u;
}

static void f16_widen(int64_t n, const uint16_t *restrict x, real *restrict y) {
    for (int64_t i = 0; i < n; i++) y[i] = float_of(from_f16(x[i]));
}

#endif
#endif
