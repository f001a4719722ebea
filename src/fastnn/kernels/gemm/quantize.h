/* quantize.h: rows of float32 as uint8 with a scale and a zero point, packed for dot.h.
 *
 * x = scale (u - zero), with 0 <= zero <= 255 and scale = max / 255 - min / 255, where min <= 0 <=
 * max. All steps are single operations of IEEE 754, so every instruction set has the same bits.
 */
#ifndef FASTNN_QUANTIZE_H
#define FASTNN_QUANTIZE_H

#include "dot.h"

#if FASTNN_REAL == 32

/* x rounded to an integer, to even at halves, for |x| < 2^22. */
INLINE vec to_integer(vec x) {
    const vec big = splat(0x1.8p23f);
    return rounded(x + big) - big;
}

/* Store four values of 0..255 as a unit of A. */
INLINE void store_unit(const int32_t *u, char *out) {
    if (DOT_BYTES == 4) {
        const uint32_t word =
            (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
        memcpy(out, &word, 4);
        return;
    }
    const int32_t pairs[2] = {u[0] | u[2] << 16, u[1] | u[3] << 16};
    memcpy(out, pairs, 8);
}

/* Quantize a row of k floats; units of four are DOT_MR units apart. A row with a number that is
 * not finite gets the scale NaN; one whose scale would not be normal counts as zeros. */
static void quantize_row(int64_t k, const real *x, void *out, real *scale, int32_t *zero) {
    vec low = {0}, high = {0}, odd = {0};
    for (int64_t p = 0; p < k; p += LANES) {
        const vec v = p + LANES <= k ? load(x + p) : load_part(x + p, k - p, 0);
        high = max_vec(v, high);
        low = max_vec(-v, low);
        odd += v - v; /* NaN once a number is not finite */
    }
    const real most = max_lanes(high), least = max_lanes(low);
    real step = most / 255 + least / 255;
    if (!(step >= 0x1p-126f)) step = 0;
    if (sum_lanes(odd) != 0 || odd[0] != odd[0]) step = NAN;
    const real inverse = step > 0 ? 1 / step : 0;
    const real origin = to_integer(rounded(splat(least) * inverse))[0];
    *scale = step;
    *zero = (int32_t)origin;
    char *at = out;
    for (int64_t p = 0; p < k; p += LANES) {
        const vec v = p + LANES <= k ? load(x + p) : load_part(x + p, k - p, 0);
        vec u = to_integer(rounded(v * inverse)) + origin;
        u = at_most(at_least(u, 0), 255);
        int32_t lanes[LANES];
        i32vec whole = step > 0 ? __builtin_convertvector(u, i32vec) : (i32vec){0};
        memcpy(lanes, &whole, sizeof lanes);
        for (int q = 0; q < LANES && p + q < k; q += 4, at += DOT_MR * DOT_BYTES)
            store_unit(lanes + q, at);
    }
}

#endif
#endif
