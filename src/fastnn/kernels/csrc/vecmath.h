/* vecmath.h: elementary functions on vectors. Constants by tools/derive_exp.py. */
#ifndef FASTNN_VECMATH_H
#define FASTNN_VECMATH_H

#include "vec.h"

#if FASTNN_REAL == 32
#define LOG2E ((real)0x1.715476p+0)
#define LN2_HI ((real)0x1.62e4p-1)
#define LN2_LO ((real)0x1.7f7d1cp-20)
#define ROUND_MAGIC ((real)0x1.8p+23)
#define EXP_LARGEST ((real)89)    /* exp is inf from 88.73 */
#define EXP_SMALLEST ((real)-104) /* exp is 0 below -103.98 */
static const real EXP_Q[] = {(real)0x1p-1, (real)0x1.5554dcp-3, (real)0x1.55551ap-5, (real)0x1.120b6ep-7, (real)0x1.6d110ap-10};
#else
#define LOG2E 0x1.71547652b82fep+0
#define LN2_HI 0x1.62e42fefa4000p-1
#define LN2_LO -0x1.8432a1b0e2634p-43
#define ROUND_MAGIC 0x1.8p+52
#define EXP_LARGEST 710.0
#define EXP_SMALLEST -746.0
static const real EXP_Q[] = {0x1.0000000000001p-1,  0x1.5555555555556p-3,  0x1.5555555553d63p-5,  0x1.11111111109b3p-7,  0x1.6c16c1788bd90p-10,
                             0x1.a01a01a7c41d5p-13, 0x1.a019b90d2ae7ap-16, 0x1.71de0dae63bb3p-19, 0x1.289185613a3d6p-22, 0x1.af38a9b0ec855p-26};
#endif

/* exp(x) = 2^n (1 + r + r^2 q(r)), n = round(x / ln 2), r = x - n ln 2. Subnormal results are rounded once; +-inf and NaN as IEEE says.
 * Accuracy: within 1 ulp (tests/kernels/test_softmax.py samples it). */
INLINE vec exp_vec(vec x) {
    x = choose(x > EXP_LARGEST, splat(EXP_LARGEST), x);
    x = choose(x < EXP_SMALLEST, splat(EXP_SMALLEST), x);
    const vec shifted = x * LOG2E + ROUND_MAGIC; /* n sits in the low bits of the sum */
    const vec n = shifted - ROUND_MAGIC;
    const vec r = (x - n * LN2_HI) - n * LN2_LO;
    const int degree = (int)(sizeof EXP_Q / sizeof *EXP_Q) - 1;
    vec q = splat(EXP_Q[degree]);
    UNROLL for (int i = degree - 1; i >= 0; i--) q = q * r + EXP_Q[i];
    const vec p = (q * r) * r + r + 1;
    /* 2^n in two factors: n runs past the exponents of a normal number at both ends */
    const ivec whole = (ivec)shifted - (ivec)splat(ROUND_MAGIC);
    const ivec half = whole >> 1;
    const vec s1 = (vec)((half + REAL_MAX_EXP) << MANTISSA_BITS), s2 = (vec)((whole - half + REAL_MAX_EXP) << MANTISSA_BITS);
    return p * s1 * s2;
}

#endif
