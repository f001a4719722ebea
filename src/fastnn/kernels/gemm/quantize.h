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

/* Store values of 0..255 as units of A. */
INLINE void store_units(i32vec u, char *out) {
    typedef uint8_t bytevec __attribute__((vector_size(LANES)));
    if (DOT_BYTES == 4) {
        const bytevec bytes = __builtin_convertvector(u, bytevec);
        memcpy(out, &bytes, sizeof bytes);
        return;
    }
    for (int q = 0; q < LANES; q += 4) {
        const int32_t pairs[2] = {u[q] | u[q + 2] << 16, u[q + 1] | u[q + 3] << 16};
        memcpy(out + 2 * q, pairs, sizeof pairs);
    }
}

/* Quantize a row of k floats; whole vectors of them are stored. A row with a number that is not
 * finite gets the scale NaN; one whose scale would not be normal counts as zeros. */
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
    for (int64_t p = 0; p < k; p += LANES) {
        const vec v = p + LANES <= k ? load(x + p) : load_part(x + p, k - p, 0);
        vec u = to_integer(rounded(v * inverse)) + origin;
        u = at_most(at_least(u, 0), 255);
        const i32vec whole = step > 0 ? __builtin_convertvector(u, i32vec) : (i32vec){0};
        store_units(whole, (char *)out + p / 4 * DOT_BYTES);
    }
}

#endif
#endif
