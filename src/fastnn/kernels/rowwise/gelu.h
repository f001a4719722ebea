/* gelu.h: the two functions of the normal distribution in GELU, for t >= 0 or NaN:
 *
 *     t Phi(-t)               gelu(z) = max(z, 0) - t Phi(-t) with t = |z|
 *     Phi(-t) - t phi(t)      its slope where z < 0, and 1 minus its slope where z >= 0
 *
 * In general Phi(-t) = exp(-t^2 / 2) P(t) / Q(t) (vecmath.h). For float32, AVX-512 has enough
 * registers and a permutation for a faster form where t is small: one of 16 polynomials per lane,
 * with its coefficients selected by permutations. A vector takes the general form as well if any
 * lane needs it; each lane's result does not depend on the other lanes. tools/derive_vecmath.py
 * prints the tables.
 */
#ifndef FASTNN_GELU_H
#define FASTNN_GELU_H

#include "vec.h"
#include "vecmath.h"

#define INV_SQRT_2PI ((real)0.3989422804014327)

/* Both tend to 0. They are 0 beyond TAIL_LARGEST; without the clamp inf * 0 would be NaN. */
INLINE vec gelu_tail_general(vec t) {
    const vec bound = at_most(t, TAIL_LARGEST);
    return times_normal_tail(bound, bound);
}

INLINE vec gelu_tail_slope_general(vec t) {
    const vec bound = at_most(t, TAIL_LARGEST);
    const exponential e = exp_minus_half_square(bound);
    return scale_by((normal_ratio(bound) - bound * INV_SQRT_2PI) * (e.u + 1), e.shifted);
}

#ifdef any_beyond
static const real GELU_TAIL[6][16] = {
    {(real)0x0p+0, (real)0x1.9aecbap-4, (real)0x1.3bf144p-3, (real)0x1.5c198p-3,
     (real)0x1.44ed0cp-3, (real)0x1.0e76a2p-3, (real)0x1.9a76a4p-4, (real)0x1.1f24ep-4,
     (real)0x1.74bcf8p-5, (real)0x1.c2a498p-6, (real)0x1.fcb21ep-7, (real)0x1.0c832ep-7,
     (real)0x1.096698p-8, (real)0x1.eb9b5cp-10, (real)0x1.aae05p-11, (real)0x1.5babc2p-12},
    {(real)0x1p-3, (real)0x1.37f00cp-4, (real)0x1.0f5eb8p-5, (real)0x1.95f1eap-13,
     (real)-0x1.55429ap-6, (real)-0x1.f66bfep-6, (real)-0x1.050e92p-5, (real)-0x1.c65a8p-6,
     (real)-0x1.5d1c06p-6, (real)-0x1.e4e1e4p-7, (real)-0x1.341c2ap-7, (real)-0x1.68e62cp-8,
     (real)-0x1.876f5ap-9, (real)-0x1.8a5ae8p-10, (real)-0x1.71da9p-11, (real)-0x1.437006p-12},
    {(real)-0x1.98842p-6, (real)-0x1.7f92dap-6, (real)-0x1.3b733ap-6, (real)-0x1.bb4666p-7,
     (real)-0x1.ef8f38p-8, (real)-0x1.47509p-9, (real)0x1.093db6p-10, (real)0x1.777a04p-9,
     (real)0x1.ba4b64p-9, (real)0x1.8e24e8p-9, (real)0x1.312286p-9, (real)0x1.9e60f4p-10,
     (real)0x1.fc4888p-11, (real)0x1.1ca6f6p-11, (real)0x1.251bf6p-12, (real)0x1.16bbe6p-13},
    {(real)0x0p+0, (real)0x1.03d6fap-10, (real)0x1.c2a44ep-10, (real)0x1.09000ap-9,
     (real)0x1.ef8e2ap-10, (real)0x1.7be90cp-10, (real)0x1.d03158p-11, (real)0x1.8286acp-12,
     (real)0x1.484996p-29, (real)-0x1.9e642p-13, (real)-0x1.0d3c2ap-12, (real)-0x1.e68b2ep-13,
     (real)-0x1.6b0f04p-13, (real)-0x1.d8b06ep-14, (real)-0x1.133cf4p-14, (real)-0x1.22a6eap-15},
    {(real)0x1.0f8c56p-12, (real)0x1.d52c56p-13, (real)0x1.154fe6p-13, (real)0x1.3b4a28p-16,
     (real)-0x1.480dc4p-14, (real)-0x1.170528p-13, (real)-0x1.26b588p-13, (real)-0x1.d9dd3ap-14,
     (real)-0x1.270878p-14, (real)-0x1.fa242cp-16, (real)-0x1.1f2c9ep-19, (real)0x1.957596p-17,
     (real)0x1.090c9ep-16, (real)0x1.cc8e04p-17, (real)0x1.45bd2ep-17, (real)0x1.8ed93cp-18},
    {(real)0x0p+0, (real)-0x1.c76f08p-17, (real)-0x1.6ec934p-16, (real)-0x1.74f224p-16,
     (real)-0x1.07d144p-16, (real)-0x1.9666d2p-18, (real)0x1.6182ep-19, (real)0x1.02d802p-17,
     (real)0x1.2601f2p-17, (real)0x1.d5b158p-18, (real)0x1.17ec52p-18, (real)0x1.b721ccp-20,
     (real)0x1.1df4aep-27, (real)-0x1.7e8c9cp-21, (real)-0x1.bb3fb8p-21, (real)-0x1.608a48p-21},
};
static const real GELU_TAIL_SLOPE[6][16] = {
    {(real)0x1p-1, (real)0x1.37f00cp-2, (real)0x1.0f5eb8p-3, (real)0x1.95f22ep-11,
     (real)-0x1.55429ap-4, (real)-0x1.f66bfep-4, (real)-0x1.050e92p-3, (real)-0x1.c65a8p-4,
     (real)-0x1.5d1c06p-4, (real)-0x1.e4e1e4p-5, (real)-0x1.341c2ap-5, (real)-0x1.68e62cp-6,
     (real)-0x1.876f5ap-7, (real)-0x1.8a5ae6p-8, (real)-0x1.71da9p-9, (real)-0x1.437006p-10},
    {(real)-0x1.988454p-3, (real)-0x1.7f9324p-3, (real)-0x1.3b7356p-3, (real)-0x1.bb4638p-4,
     (real)-0x1.ef8e5ap-5, (real)-0x1.474ea2p-6, (real)0x1.094086p-7, (real)0x1.777a98p-6,
     (real)0x1.ba4b44p-6, (real)0x1.8e2466p-6, (real)0x1.3121f6p-6, (real)0x1.9e601ep-7,
     (real)0x1.fc47a2p-8, (real)0x1.1ca6aep-8, (real)0x1.251c14p-9, (real)0x1.16bc9cp-10},
    {(real)0x0p+0, (real)0x1.85c1d8p-7, (real)0x1.51fac4p-6, (real)0x1.8d7faap-6,
     (real)0x1.73aa72p-6, (real)0x1.1ceedap-6, (real)0x1.5c257p-7, (real)0x1.21e5f2p-8,
     (real)0x1.1f2ed4p-24, (real)-0x1.36caa2p-9, (real)-0x1.93da68p-9, (real)-0x1.6ce8dp-9,
     (real)-0x1.104baep-9, (real)-0x1.6284dep-10, (real)-0x1.9cdbeap-11, (real)-0x1.b3fa8ep-12},
    {(real)0x1.1057ep-8, (real)0x1.d6b3b8p-9, (real)0x1.15e584p-9, (real)0x1.379644p-12,
     (real)-0x1.4a5dep-10, (real)-0x1.184dc6p-9, (real)-0x1.27a514p-9, (real)-0x1.daa41p-10,
     (real)-0x1.26dd3ep-10, (real)-0x1.f77072p-12, (real)-0x1.0747ap-15, (real)0x1.99e974p-13,
     (real)0x1.0a3e1ep-12, (real)0x1.cd4e26p-13, (real)0x1.459486p-13, (real)0x1.8de732p-14},
    {(real)0x0p+0, (real)-0x1.1c3b68p-12, (real)-0x1.c9dd2p-12, (real)-0x1.d1a654p-12,
     (real)-0x1.498848p-12, (real)-0x1.fc56acp-14, (real)0x1.b79af4p-15, (real)0x1.42eddp-13,
     (real)0x1.6f150ep-13, (real)0x1.25678ep-13, (real)0x1.5e0316p-14, (real)0x1.1308a6p-15,
     (real)0x1.f4408cp-23, (real)-0x1.dcba8ap-17, (real)-0x1.14b46cp-16, (real)-0x1.b88e56p-17},
    {(real)-0x1.e86682p-15, (real)-0x1.874adcp-15, (real)-0x1.2b3646p-16, (real)0x1.d9bb2p-17,
     (real)0x1.27f8fp-15, (real)0x1.488c32p-15, (real)0x1.df088ep-16, (real)0x1.8db9fep-17,
     (real)-0x1.594d4cp-19, (real)-0x1.59bc86p-17, (real)-0x1.7e3ca8p-17, (real)-0x1.1cf2e4p-17,
     (real)-0x1.318828p-18, (real)-0x1.807ep-20, (real)0x1.4493a2p-22, (real)0x1.e3e1dcp-21},
};
#define PIECES_END ((real)3.875) /* the last piece is around 15/4 and 1/4 wide */

/* c_0 + c_1 h + ... with the coefficients of the piece around j/4 that contains t, h = 4 t - j
 * exactly. */
INLINE vec piece(vec t, const real (*c)[LANES], const int degree) {
    const vec shifted = t * 4 + ROUND_MAGIC, h = t * 4 - (shifted - ROUND_MAGIC);
    vec sum = permute(load(c[degree]), (ivec)shifted);
    UNROLL for (int i = degree - 1; i >= 0; i--)
        sum = sum * h + permute(load(c[i]), (ivec)shifted);
    return sum;
}
#define PIECE(t, c) piece(t, c, (int)(sizeof(c) / sizeof *(c)) - 1)

#define IN_PIECES(t, table, general)                         \
    vec result = PIECE(t, table);                            \
    if (__builtin_expect(any_beyond(t, PIECES_END), 0))      \
        result = choose(t < PIECES_END, result, general(t)); \
    return result;

INLINE vec gelu_tail(vec t) { IN_PIECES(t, GELU_TAIL, gelu_tail_general) }
INLINE vec gelu_tail_slope(vec t) { IN_PIECES(t, GELU_TAIL_SLOPE, gelu_tail_slope_general) }
#else
INLINE vec gelu_tail(vec t) { return gelu_tail_general(t); }
INLINE vec gelu_tail_slope(vec t) { return gelu_tail_slope_general(t); }
#endif

#endif
