/* vecmath.h: elementary functions on vectors: exp, exp2, 1 - exp, sigmoid, tanh, erf, log, log1p,
 * softplus, and the tail of the normal distribution for GELU.
 *
 * Branch-free and without libm. NaN propagates; zeros, subnormals and infinities give the limits of
 * the function. Where a square must be exact, FMA gives its rounding error or its root is cut to
 * half the bits. tools/derive_vecmath.py prints the constants; docs/tuning.md, "Accuracy", has the
 * worst errors, which bench/accuracy.py measures.
 */
#ifndef FASTNN_VECMATH_H
#define FASTNN_VECMATH_H

#include "vec.h"

#if FASTNN_REAL == 32
typedef uint32_t unsigned_bits;
#define LOG2E ((real)0x1.715476p+0)
#define LN2_HI ((real)0x1.62e4p-1)
#define LN2_LO ((real)0x1.7f7d1cp-20)
static const real EXP_Q[] = {(real)0x1p-1, (real)0x1.5554dcp-3, (real)0x1.55551ap-5,
                             (real)0x1.120b6ep-7, (real)0x1.6d110ap-10};
static const real EXP2_Q[] = {(real)0x1.62e43p-1,  (real)0x1.ebfbep-3,  (real)0x1.c6af6cp-5,
                              (real)0x1.3b2a54p-7, (real)0x1.5f089p-10, (real)0x1.44138ap-13};
static const real TANH_T[] = {(real)-0x1.555556p-2, (real)0x1.1110eap-3,  (real)-0x1.ba08c4p-5,
                              (real)0x1.64a976p-6,  (real)-0x1.116a16p-7, (real)0x1.2c83cp-9};
static const real ERF_E[] = {(real)0x1.06eba8p-3,  (real)-0x1.81273ep-2, (real)0x1.ce2d1p-4,
                             (real)-0x1.b7fabap-6, (real)0x1.54127p-8,   (real)-0x1.a45088p-11,
                             (real)0x1.4a569p-14};
static const real TAIL_P[] = {(real)0x1p+0,        (real)0x1.ecd352p-1, (real)0x1.d1c718p-2,
                              (real)0x1.f8816ep-4, (real)0x1.3665bcp-6, (real)0x1.5da9dap-10};
static const real TAIL_Q[] = {(real)0x1p+1,        (real)0x1.c2abd2p+1, (real)0x1.5c072cp+1,
                              (real)0x1.2fefc8p+0, (real)0x1.3f9a52p-2, (real)0x1.85045ap-5,
                              (real)0x1.b63d94p-9};
static const real LOG_R[] = {(real)0x1.555556p-1, (real)0x1.9999ecp-2, (real)0x1.245c44p-2,
                             (real)0x1.ddced8p-3};
static const real LOG1P_R[] = {(real)0x1.555556p-1, (real)0x1.9998d4p-2, (real)0x1.24c926p-2,
                               (real)0x1.bc8cf8p-3, (real)0x1.dba26p-3};
#define ROUND_MAGIC ((real)0x1.8p+23)
#define SIGN_BIT INT32_MIN
#define LOWER_HALF 0xfff           /* lower half of a significand */
#define EXP_LARGEST ((real)89)     /* exp is inf from 88.73 */
#define EXP_SMALLEST ((real)-110)  /* x exp(x) is 0 below -108.7 */
#define TAIL_LARGEST ((real)14.75) /* t phi(t) is 0 above 14.55 */
#else
typedef uint64_t unsigned_bits;
#define LOG2E ((real)0x1.71547652b82fep+0)
#define LN2_HI ((real)0x1.62e42fefa4p-1)
#define LN2_LO ((real)-0x1.8432a1b0e2634p-43)
static const real EXP_Q[] = {0x1.0000000000001p-1,  0x1.5555555555556p-3,  0x1.5555555553d63p-5,
                             0x1.11111111109b3p-7,  0x1.6c16c1788bd9p-10,  0x1.a01a01a7c41d5p-13,
                             0x1.a019b90d2ae7ap-16, 0x1.71de0dae63bb3p-19, 0x1.289185613a3d6p-22,
                             0x1.af38a9b0ec855p-26};
static const real EXP2_Q[] = {0x1.62e42fefa39efp-1,  0x1.ebfbdff82c598p-3,  0x1.c6b08d704a0c2p-5,
                              0x1.3b2ab6fba1ddap-7,  0x1.5d87fe78a5276p-10, 0x1.430913096fd9fp-13,
                              0x1.ffcbfc670dcd4p-17, 0x1.62bfd47773353p-20, 0x1.b524fae627834p-24,
                              0x1.e6063f7217bc6p-28, 0x1.e9d3fe3952179p-32};
static const real TANH_T[] = {
    -0x1.5555555555555p-2,  0x1.11111111110a8p-3,  -0x1.ba1ba1ba0f126p-5,  0x1.664f487e0a749p-6,
    -0x1.226e3473dce5cp-7,  0x1.d6d39ae3905e2p-9,  -0x1.7d9f6f23e8682p-10, 0x1.3526e9ed54da1p-11,
    -0x1.f243823c8c981p-13, 0x1.8445870f6fe41p-14, -0x1.05bbdae896297p-15, 0x1.b33642a122cddp-18};
static const real ERF_E[] = {0x1.06eba8214db69p-3,   -0x1.812746b0379e7p-2,  0x1.ce2f21a042bdep-4,
                             -0x1.b82ce312889bap-6,  0x1.565bcd0e6502dp-8,   -0x1.c02db3feeb579p-11,
                             0x1.f9a326c233146p-14,  -0x1.f4d2561aeafd4p-17, 0x1.b9e6509b9867dp-20,
                             -0x1.5f6d925a0bc7ap-23, 0x1.fc4356498c2d9p-27,  -0x1.4e607b41a6416p-30,
                             0x1.7f072188e194dp-34,  -0x1.29b9f1b3df556p-38};
static const real TAIL_P[] = {0x1p+0,
                              0x1.a8dee105cdf21p+0,
                              0x1.5fd16dd61a97dp+0,
                              0x1.77aa273ad7e9fp-1,
                              0x1.1c4ac166866b6p-2,
                              0x1.3e4a0278484fbp-4,
                              0x1.0c232d5c3af7dp-6,
                              0x1.538dcd9f2201fp-9,
                              0x1.3cdc261dd59c9p-12,
                              0x1.9fd1974612a3bp-16,
                              0x1.5a891e31be218p-20,
                              0x1.1769efd9474e1p-25};
static const real TAIL_Q[] = {0x1p+1,
                              0x1.3a90855237d25p+2,
                              0x1.6ae52d8f02369p+2,
                              0x1.0439b878a7466p+2,
                              0x1.02c2fceda88bbp+1,
                              0x1.788d47c68a6b2p-1,
                              0x1.9bf661bdb081dp-3,
                              0x1.56366453285e1p-5,
                              0x1.ada0e7bbe381bp-8,
                              0x1.8ed2558a4c976p-11,
                              0x1.04eaefda57181p-14,
                              0x1.b25167a6a9ab6p-19,
                              0x1.5e317b2def7fbp-24};
static const real LOG_R[] = {0x1.5555555555558p-1, 0x1.99999999952e2p-2, 0x1.2492492df148dp-2,
                             0x1.c71c62e5800a1p-3, 0x1.7462b4ab2ef6bp-3, 0x1.39fe606542ddep-3,
                             0x1.2b584aae78a57p-3};
static const real LOG1P_R[] = {0x1.5555555555555p-1, 0x1.999999999a3ddp-2, 0x1.24924923d44c6p-2,
                               0x1.c71c727143318p-3, 0x1.745cf0b0e03bdp-3, 0x1.3b18b294bebf9p-3,
                               0x1.10ac75dc602b1p-3, 0x1.eb905e8575054p-4, 0x1.687a6e7c95176p-4,
                               0x1.4b0a26c5f2aefp-3};
#define ROUND_MAGIC 0x1.8p+52
#define SIGN_BIT INT64_MIN
#define LOWER_HALF 0x7ffffff
#define EXP_LARGEST 710.0
#define EXP_SMALLEST -755.0 /* x exp(x) is 0 below -751.8 */
#define TAIL_LARGEST 38.75  /* t phi(t) is 0 above 38.68 */
#endif
typedef unsigned_bits uvec __attribute__((vector_size(VBYTES)));
#define SMALLEST_NORMAL ((real)(FASTNN_REAL == 32 ? 0x1p-126 : 0x1p-1022))
#define TANH_SMALL ((real)0.625)
#define MANTISSA_MASK (((bits)1 << MANTISSA_BITS) - 1)
#define SQRT_HALF ((real)0x1.6a09e667f3bcdp-1)
#define SQRT2 ((real)0x1.6a09e667f3bcdp+0)

INLINE vec abs_vec(vec x) { return (vec)((ivec)x & ~SIGN_BIT); }
INLINE vec copy_sign(vec magnitude, vec x) { return (vec)((ivec)magnitude | ((ivec)x & SIGN_BIT)); }

/* c_0 + c_1 x + c_2 x^2 + ... */
#define POLYNOMIAL(x, c) polynomial(x, c, (int)(sizeof(c) / sizeof *(c)) - 1)
INLINE vec polynomial(vec x, const real *c, const int degree) {
    vec sum = splat(c[degree]);
    UNROLL for (int i = degree - 1; i >= 0; i--)
        sum = sum * x + c[i];
    return sum;
}

/* f 2^n with n = shifted - ROUND_MAGIC, an integer that is also in the low bits of shifted. Rounded
 * once if the result is subnormal. */
INLINE vec scale_by(vec f, vec shifted) {
#ifdef scalef_vec
    return scalef_vec(f, shifted - ROUND_MAGIC);
#else
    /* 2^n as two factors, since n exceeds the exponents of normal numbers at both ends */
    const ivec n = (ivec)shifted - (ivec)splat(ROUND_MAGIC);
    const ivec half = n >> 1;
    const vec s1 = (vec)((half + REAL_MAX_EXP) << MANTISSA_BITS);
    const vec s2 = (vec)((n - half + REAL_MAX_EXP) << MANTISSA_BITS);
    return f * s1 * s2;
#endif
}

/* exp of a number: 2^n (1 + u), with n as above. */
typedef struct {
    vec u, shifted;
} exponential;

/* exp(x - low), low a rounding error of x: n = round(x / ln 2), r = x - low - n ln 2, u = r + r^2
 * q(r). x is from EXP_SMALLEST to EXP_LARGEST, or NaN. */
INLINE exponential exp_parts(vec x, vec low) {
    const vec shifted = x * LOG2E + ROUND_MAGIC;
    const vec n = shifted - ROUND_MAGIC;
    const vec r = ((x - n * LN2_HI) - n * LN2_LO) - low;
    return (exponential){(r * POLYNOMIAL(r, EXP_Q)) * r + r, shifted};
}

INLINE vec exp_vec(vec x) {
    const exponential e = exp_parts(at_least(at_most(x, EXP_LARGEST), EXP_SMALLEST), (vec){0});
    return scale_by(e.u + 1, e.shifted);
}

/* 1 - exp(-x) for x >= 0 or NaN: with exp(-x) = 2^n (1 + u) it is (1 - 2^n) - 2^n u. */
INLINE vec one_minus_exp(vec x) {
    const exponential e = exp_parts(at_least(-x, EXP_SMALLEST), (vec){0});
    return (1 - scale_by(splat(1), e.shifted)) - scale_by(e.u, e.shifted);
}

/* 2^x for x from -inf to REAL_MAX_EXP, or NaN: n = round(x), r = x - n, 2^r = 1 + r q(r). Exact at
 * integers. Without AVX-512 subnormal results are 0. */
INLINE vec exp2_vec(vec x) {
#ifdef scalef_vec
    const vec r = fraction_vec(x); /* 0 at -inf */
    return scalef_vec(POLYNOMIAL(r, EXP2_Q) * r + 1, x - r);
#else
    const vec shifted = at_least(x, -REAL_MAX_EXP) + ROUND_MAGIC;
    const vec r = at_least(x, -REAL_MAX_EXP) - (shifted - ROUND_MAGIC);
    const ivec n = (ivec)shifted - (ivec)splat(ROUND_MAGIC);
    const vec power = (POLYNOMIAL(r, EXP2_Q) * r + 1) * (vec)((n + REAL_MAX_EXP) << MANTISSA_BITS);
    return (vec)((ivec)power & ~(x < 1 - REAL_MAX_EXP));
#endif
}

/* f sigmoid(-x) for x from 0 to -EXP_SMALLEST, or NaN. With exp(x) = 2^n (1 + u) it is 2^-n f / (1
 * + (2^-n + u)): nothing overflows, and exp(x) itself is not rounded. */
INLINE vec times_logistic_tail(vec f, vec x) {
    const exponential e = exp_parts(x, (vec){0});
    const vec minus_n = 2 * ROUND_MAGIC - e.shifted;
    return scale_by(f / (1 + (scale_by(splat(1), minus_n) + e.u)), minus_n);
}

INLINE vec sigmoid_vec(vec x) {
    const vec tail = times_logistic_tail(splat(1), at_most(abs_vec(x), -EXP_SMALLEST));
    return choose(x < 0, tail, 1 - tail);
}

/* x + x^3 T(x^2) near 0, else 1 - 2 sigmoid(-2|x|) with the sign of x. */
INLINE vec tanh_vec(vec x) {
    const vec t = abs_vec(x), s = t * t;
    const vec small = t + t * (s * POLYNOMIAL(s, TANH_T));
    const vec large = 1 - times_logistic_tail(splat(2), at_most(2 * t, -EXP_SMALLEST));
    return copy_sign(choose(t < TANH_SMALL, small, large), x);
}

/* The tail of the normal distribution, Phi(-t) = exp(-t^2 / 2) P(t) / Q(t), as two factors, for t
 * from 0 to TAIL_LARGEST, or NaN. The square is exact, a sum of two terms: exp would magnify the
 * rounding error of a large one. */
INLINE vec normal_ratio(vec t) { return POLYNOMIAL(t, TAIL_P) / POLYNOMIAL(t, TAIL_Q); }
INLINE exponential exp_minus_half_square(vec t) {
#ifdef fused_minus
    const vec half = (real)0.5 * t, product = half * t;
    return exp_parts(-product, fused_minus(half, t, product));
#else
    const vec upper = (vec)((ivec)t & ~(bits)LOWER_HALF);
    return exp_parts((real)-0.5 * upper * upper, (real)0.5 * (t - upper) * (t + upper));
#endif
}

/* f Phi(-t), f finite. */
INLINE vec times_normal_tail(vec f, vec t) {
    const exponential e = exp_minus_half_square(t);
    return scale_by(f * normal_ratio(t) * (e.u + 1), e.shifted);
}

/* x + x E(x^2) for |x| < 1, else 1 - 2 Phi(-sqrt(2) |x|) with the sign of x. */
INLINE vec erf_vec(vec x) {
    const vec t = abs_vec(x), s = t * t;
    const vec small = t + t * POLYNOMIAL(s, ERF_E);
    const vec large = 1 - times_normal_tail(splat(2), at_most(SQRT2 * t, TAIL_LARGEST));
    return copy_sign(choose(t < 1, small, large), x);
}

/* x = 2^n m with m from sqrt(1/2) to sqrt(2), for a positive, finite, normal x. Subtracting
 * sqrt(1/2) first makes the exponent a plain shift. */
INLINE vec whole_log2(vec x, vec *m) {
    const ivec above = (ivec)x - (ivec)splat(SQRT_HALF);
    *m = (vec)((above & MANTISSA_MASK) + (ivec)splat(SQRT_HALF));
    /* A logical shift: 64-bit arithmetic shifts need AVX-512. */
    const ivec biased = (ivec)((uvec)(above + (ivec)splat(1)) >> MANTISSA_BITS);
    return (vec)(biased - REAL_MAX_EXP + (ivec)splat(ROUND_MAGIC)) - ROUND_MAGIC;
}

/* n ln 2 + log(1 + f). The exact part of n ln 2 and f are added last, so that little else is
 * rounded. */
INLINE vec log_sum(vec n, vec f) {
    const vec half_square = (real)0.5 * f * f, s = f / (2 + f), z = s * s;
    return n * LN2_HI +
           (f - (half_square - (s * (half_square + z * POLYNOMIAL(z, LOG_R)) + n * LN2_LO)));
}

/* log(x): -inf at 0, NaN below. */
INLINE vec log_vec(vec x) {
    const ivec subnormal = x < SMALLEST_NORMAL;
    vec m;
    vec n = whole_log2(choose(subnormal, x * ((bits)1 << MANTISSA_BITS), x), &m);
    n -= (vec)((ivec)splat(MANTISSA_BITS) & subnormal);
    const vec edge = choose(x == 0, splat((real)-INFINITY), splat((real)NAN));
    return choose(x <= 0, edge, choose(x < (real)INFINITY, log_sum(n, m - 1), x + x));
}

/* log(1 + x) by u = 1 + x rounded and c, the rounding error (negligible for u > 2^60). -inf at -1,
 * NaN below; keeps -0. */
INLINE vec log1p_vec(vec x) {
    const vec u = 1 + x, c = x - (u - 1);
    vec m;
    const vec n = whole_log2(u, &m);
    const vec power =
        (vec)((REAL_MAX_EXP + (ivec)splat(ROUND_MAGIC) - (ivec)(at_most(n, 60) + ROUND_MAGIC))
              << MANTISSA_BITS); /* 2^-n */
    const vec edge = choose(x == -1, splat((real)-INFINITY), splat((real)NAN));
    return choose(x <= -1, edge,
                  choose((x < (real)INFINITY) & (x != 0), log_sum(n, (m - 1) + c * power), x));
}

/* log(1 + e) for e from 0 to 1, or NaN; 1 + e needs no reduction by a power of two. */
INLINE vec log1p_fraction(vec e) {
    const vec s = e / (2 + e), z = s * s, half_square = (real)0.5 * e * e;
    return e - (half_square - s * (half_square + z * POLYNOMIAL(z, LOG1P_R)));
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)) */
INLINE vec softplus_vec(vec x) {
    return choose(x < 0, (vec){0}, x) + log1p_fraction(exp_vec(-abs_vec(x)));
}

#endif
