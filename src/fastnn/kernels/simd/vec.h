/* vec.h: vectors of reals: plain C for whatever the instruction set does not do better.
 *
 * FASTNN_ISA names the set and comes from the build. isa/<set>.h defines VBYTES, the tile of gemm.h
 * and any of the functions below, each with a macro of the same name to say so. The rest is filled
 * in here and where it is used.
 */
#ifndef FASTNN_VEC_H
#define FASTNN_VEC_H

#define STRING_(x) #x
#define STRING(x) STRING_(x)
/* A space would become part of the file's name. */
/* clang-format off */
#include STRING(isa/FASTNN_ISA.h)
/* clang-format on */

/* Load or store the first n < LANES reals at p, and touch nothing else; load_part sets the other
 * lanes to fill. Not inlined: lane by lane it would be a sixth of the code of all primitives. */
#ifndef load_part
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

/* FMA barrier. The compiler contracts some copies of a loop and not others; without this, results
 * would depend on which copy a row went through. */
INLINE vec rounded(vec v) {
#ifdef REGISTER
    __asm__("" : "+" REGISTER(v));
#endif
    return v;
}

/* max(x, 0) that propagates NaN, as NumPy's maximum and PyTorch's relu do. */
INLINE vec relu_vec(vec x) { return choose(x <= 0, (vec){0}, x); }

/* Load once into a register. Otherwise the compiler folds the load into each use, which is slow
 * when it splits a cache line (docs/tuning.md, "Row kernels"). */
INLINE vec load_once(const real *p) { return rounded(load(p)); }

/* Lane l of the result is v[from[l]]. */
#if defined(__clang__)
INLINE vec permute(vec v, ivec from) {
    vec out;
    for (int l = 0; l < LANES; l++) out[l] = v[from[l]];
    return out;
}
#else
INLINE vec permute(vec v, ivec from) { return __builtin_shuffle(v, from); }
#endif

/* Maximum per lane; b where either is NaN. */
#ifndef max_vec
INLINE vec max_vec(vec a, vec b) { return choose(a > b, a, b); }
#endif

/* Clamp from below and from above; both keep NaN. */
#ifndef at_least
INLINE vec at_least(vec x, real low) { return choose(x < low, splat(low), x); }
INLINE vec at_most(vec x, real high) { return choose(x > high, splat(high), x); }
#endif

#ifndef sqrt_vec
INLINE vec sqrt_vec(vec x) {
    for (int l = 0; l < LANES; l++)
        x[l] = FASTNN_REAL == 32 ? (real)sqrtf((float)x[l]) : (real)sqrt((double)x[l]);
    return x;
}
#endif

/* LANE_XOR[i][l] = l ^ (8 >> i); a shorter vector uses the first lanes of the last rows. A table,
 * because the compiler builds a vector that is set lane by lane one lane at a time. */
static const bits LANE_XOR[4][16] = {
    {8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7},
    {4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11},
    {2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13},
    {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14},
};
enum { FIRST_XOR = LANES == 16 ? 0 : LANES == 8 ? 1 : LANES == 4 ? 2 : 3 };

INLINE vec exchange(vec v, const int i) {
    ivec from;
    memcpy(&from, LANE_XOR[i], sizeof from);
    return permute(v, from);
}

/* Butterfly all-reduce: sums and maxima over the lanes, in every lane, in an order fixed by the
 * instruction set. */
INLINE vec spread_sum(vec v) {
    UNROLL for (int i = FIRST_XOR; i < 4; i++)
        v += exchange(v, i);
    return v;
}

INLINE vec spread_max(vec v) {
    UNROLL for (int i = FIRST_XOR; i < 4; i++)
        v = max_vec(exchange(v, i), v);
    return v;
}

INLINE real sum_lanes(vec v) { return spread_sum(v)[0]; }
INLINE real max_lanes(vec v) { return spread_max(v)[0]; }

#endif
