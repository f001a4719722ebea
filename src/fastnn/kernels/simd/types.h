/* types.h: the real type, vectors of VBYTES bytes, and what does not depend on the instruction set.
 *
 * FASTNN_REAL is 32 or 64 and comes from the build; VBYTES comes from the header of the instruction
 * set (isa/), which includes this. Vectors are GCC/Clang vector extensions with the usual
 * operators. */
#ifndef FASTNN_TYPES_H
#define FASTNN_TYPES_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
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

typedef real vec __attribute__((vector_size(VBYTES)));
typedef bits ivec __attribute__((vector_size(VBYTES)));
typedef double dvec __attribute__((vector_size(VBYTES)));
typedef int32_t i32vec __attribute__((vector_size(VBYTES)));
typedef uint32_t u32vec __attribute__((vector_size(VBYTES)));
typedef uint64_t u64vec __attribute__((vector_size(VBYTES)));
#define LANES ((int)(VBYTES / sizeof(real)))

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define INLINE static inline __attribute__((always_inline))
/* clang before 19 honors GCC's pragma only after it has left arrays of accumulators in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

INLINE vec load(const real *p) {
    vec v;
    memcpy(&v, p, sizeof v); /* one unaligned move */
    return v;
}

INLINE void store(real *p, vec v) { memcpy(p, &v, sizeof v); }

/* s - 0 rather than 0 + s keeps the sign of a zero. */
INLINE vec splat(real s) { return s - (vec){0}; }

/* mask ? a : b per lane, for a mask from a vector comparison. */
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)(((ivec)a & mask) | ((ivec)b & ~mask)); }

/* Mask of the first n lanes. */
INLINE ivec first_lanes(int64_t n) {
    ivec lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return lane < (bits)n;
}

#endif
