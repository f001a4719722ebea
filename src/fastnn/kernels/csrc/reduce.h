/* reduce.h: sums and maxima over a run. The order of every sum is fixed by the sizes. */
#ifndef FASTNN_REDUCE_H
#define FASTNN_REDUCE_H

#include "vec.h"

#if FASTNN_REAL == 32
typedef double dvec __attribute__((vector_size(VBYTES)));
typedef float halfvec __attribute__((vector_size(VBYTES / 2)));
enum { DLANES = VBYTES / 8 };

INLINE dvec load_double(const float *x) {
    halfvec h;
    memcpy(&h, x, sizeof h);
    return __builtin_convertvector(h, dvec);
}

/* hi = sum of x_i^2 in double: the square of a float is exact there and neither overflows nor underflows. lo and factor serve float64 only. */
static void sum_squares(int64_t n, const real *x, double factor, double *hi, double *lo) {
    (void)factor;
    dvec a = {0}, b = {0}, c = {0}, d = {0};
    int64_t i = 0;
    for (; i + 4 * DLANES <= n; i += 4 * DLANES) {
        const dvec p = load_double(x + i), q = load_double(x + i + DLANES), r = load_double(x + i + 2 * DLANES), s = load_double(x + i + 3 * DLANES);
        a += p * p;
        b += q * q;
        c += r * r;
        d += s * s;
    }
    a = (a + b) + (c + d);
    double sum = 0;
    for (; i < n; i++) sum += (double)x[i] * (double)x[i];
    for (int l = 0; l < DLANES; l++) sum += a[l];
    *hi = sum;
    *lo = 0;
}
#else
/* s + t exactly, as a sum and its rounding error (Knuth's TwoSum). */
#define TWO_SUM(sum, error, s, t)                                                                                                                    \
    do {                                                                                                                                             \
        sum = (s) + (t);                                                                                                                             \
        const __typeof__(sum) part = sum - (s);                                                                                                      \
        error = ((s) - (sum - part)) + ((t) - part);                                                                                                 \
    } while (0)

/* One step of the compensated sum: x = h + l with h of 26 bits, so h^2 is exact and x^2 = h^2 + l (x + h); no FMA is needed. */
INLINE void add_square(vec x, vec *sum, vec *rest) {
    const vec h = (vec)((ivec)x & ~(bits)0x7ffffff);
    const vec square = h * h;
    vec total, error;
    TWO_SUM(total, error, *sum, square);
    *rest += error + (x - h) * (x + h);
    *sum = total;
}

/* hi + lo = sum of (factor x_i)^2 to about twice the precision of double (Ogita, Rump and Oishi 2005). factor is a power of two. */
static void sum_squares(int64_t n, const real *x, double factor, double *hi, double *lo) {
    vec sum[4] = {{0}}, rest[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) UNROLL for (int j = 0; j < 4; j++) add_square(load(x + i + j * LANES) * factor, &sum[j], &rest[j]);
    for (; i < n; i += LANES) add_square((n - i < LANES ? load_part(x + i, n - i, 0) : load(x + i)) * factor, &sum[0], &rest[0]);
    double s = 0, c = 0;
    for (int j = 0; j < 4; j++)
        for (int l = 0; l < LANES; l++) {
            double total, error;
            TWO_SUM(total, error, s, sum[j][l]);
            c += error + rest[j][l];
            s = total;
        }
    *hi = s;
    *lo = c;
}
#endif

/* max |x_i|; NaN if there is one. */
static real max_abs(int64_t n, const real *x) {
    vec m = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        vec v = n - i < LANES ? load_part(x + i, n - i, 0) : load(x + i);
        v = choose(v < 0, -v, v);
        m = choose((v > m) | (v != v), v, m);
    }
    real most = 0;
    for (int l = 0; l < LANES; l++) most = m[l] > most || m[l] != m[l] ? m[l] : most;
    return most;
}

#endif
