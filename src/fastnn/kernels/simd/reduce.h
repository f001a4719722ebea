/* reduce.h: sums of squares and of magnitudes, and maxima, over m rows of n. The shape alone fixes
 * the order of every sum. */
#ifndef FASTNN_REDUCE_H
#define FASTNN_REDUCE_H

#include "vec.h"
#include "vecmath.h"

/* max |x_ij|; NaN if any element is NaN. */
static real max_abs_block(int64_t m, int64_t n, const real *x, int64_t ld) {
    vec most = {0};
    for (int64_t i = 0; i < m; i++, x += ld)
        for (int64_t j = 0; j < n; j += LANES) {
            vec v = n - j < LANES ? load_part(x + j, n - j, 0) : load(x + j);
            v = choose(v < 0, -v, v);
            most = choose((v > most) | (v != v), v, most);
        }
    real all = 0;
    for (int l = 0; l < LANES; l++) all = most[l] > all || most[l] != most[l] ? most[l] : all;
    return all;
}

INLINE dvec magnitude(dvec v) { return (dvec)((u64vec)v & ~((uint64_t)1 << 63)); }

#if FASTNN_REAL == 32
enum { DLANES = VBYTES / 8, CHAINS = 8 };

#ifndef load_double
INLINE dvec load_double(const float *x) {
    float half __attribute__((vector_size(VBYTES / 2)));
    memcpy(&half, x, sizeof half);
    return __builtin_convertvector(half, dvec);
}
#endif

INLINE void add_terms(const float *x, int count, int squared, dvec *sum) {
    UNROLL for (int c = 0; c < count; c++) {
        const dvec v = load_double(x + c * DLANES);
        sum[c] += squared ? v * v : magnitude(v);
    }
}

/* The sum of x_ij^2 or |x_ij| in double, where neither overflows nor underflows, and the square of
 * a float is exact. */
INLINE double sum_terms(int64_t m, int64_t n, const real *x, int64_t ld, const int squared) {
    dvec sum[CHAINS] = {{0}};
    for (int64_t i = 0; i < m; i++, x += ld) {
        int64_t j = 0;
        for (; j + CHAINS * DLANES <= n; j += CHAINS * DLANES)
            add_terms(x + j, CHAINS, squared, sum);
        for (; j + LANES <= n; j += LANES) add_terms(x + j, 2, squared, sum);
        if (j < n) {
            const vec last = load_part(x + j, n - j, 0);
            add_terms((const float *)&last, 2, squared, sum);
        }
    }
    double total = 0;
    UNROLL for (int half = CHAINS / 2; half > 0; half /= 2) {
        UNROLL for (int c = 0; c < half; c++)
            sum[c] += sum[c + half];
    }
    for (int l = 0; l < DLANES; l++) total += sum[0][l];
    return total;
}

/* hi = sum of x_ij^2. lo and factor are for float64 only. */
static void sum_squares_block(int64_t m, int64_t n, const real *x, int64_t ld, double factor,
                              double *hi, double *lo) {
    (void)factor;
    *hi = sum_terms(m, n, x, ld, 1);
    *lo = 0;
}

/* hi = sum of |x_ij|; lo is for float64 only. */
static void sum_abs_block(int64_t m, int64_t n, const real *x, int64_t ld, double *hi, double *lo) {
    *hi = sum_terms(m, n, x, ld, 0);
    *lo = 0;
}
#else
enum { CHAINS = VBYTES == 64 ? 8 : 4 };

/* Add x^2 to a sum with its rounding error. A sum that starts at a power of two M and stays below
 * 2M is a multiple of ulp(M) at every step. What a step adds to it is therefore known exactly, and
 * what the step rounds away almost exactly: sum + rest = M + sum of x^2, where rest has a relative
 * error of 2^-53. This takes four operations with FMA and ten without: there x is split, h has its
 * upper 26 bits, h^2 is exact, and x^2 = h^2 + (x - h) (x + h).
 */
INLINE void add_square(vec x, vec *sum, vec *rest) {
    const vec before = *sum;
#ifdef fused_minus
    *sum = x * x + before;
    *rest += fused_minus(x, x, *sum - before);
#else
    const vec h = (vec)((ivec)x & ~(bits)0x7ffffff), square = h * h;
    *sum = before + square;
    *rest += (square - (*sum - before)) + (x - h) * (x + h);
#endif
}

/* hi + lo = sum of (factor x_ij)^2, each partial sum starting at M = start. hi is exact if it is at
 * most M / 64, since all partial sums then stay below 2M. */
INLINE void sums_from(double start, int64_t m, int64_t n, const real *x, int64_t ld, double factor,
                      double *hi, double *lo) {
    vec sum[CHAINS], rest[CHAINS];
    UNROLL for (int c = 0; c < CHAINS; c++)
        sum[c] = splat(start), rest[c] = (vec){0};
    for (int64_t i = 0; i < m; i++, x += ld) {
        int64_t j = 0;
        for (; j + CHAINS * LANES <= n; j += CHAINS * LANES) {
            UNROLL for (int c = 0; c < CHAINS; c++)
                add_square(load(x + j + c * LANES) * factor, &sum[c], &rest[c]);
        }
        for (; j + LANES <= n; j += LANES) add_square(load(x + j) * factor, &sum[0], &rest[0]);
        if (j < n) add_square(load_part(x + j, n - j, 0) * factor, &sum[1], &rest[1]);
    }
    UNROLL for (int c = 0; c < CHAINS; c++)
        sum[c] -= start;
    UNROLL for (int half = CHAINS / 2; half > 0; half /= 2) {
        UNROLL for (int c = 0; c < half; c++)
            sum[c] += sum[c + half], rest[c] += rest[c + half];
    }
    *hi = sum_lanes(sum[0]);
    *lo = sum_lanes(rest[0]);
}

/* The largest power of two <= 2^24 x; any usable start if x is not a normal number. */
static double start_above(double x) {
    x *= 0x1p24;
    bits b;
    memcpy(&b, &x, sizeof b);
    b &= ~(((bits)1 << MANTISSA_BITS) - 1);
    memcpy(&x, &b, sizeof b);
    return x;
}

/* hi + lo = sum of (factor x_ij)^2 with a relative error of at most 2^-57 for up to 16,384 elements
 * in 512 rows: 2^-83 M for each of the 64 sums. M is guessed from the first elements; if that was
 * too low, the sum is repeated with M from the largest. factor is a power of two. */
static void sum_squares_block(int64_t m, int64_t n, const real *x, int64_t ld, double factor,
                              double *hi, double *lo) {
    const vec some = load_part(x, m == 0 ? 0 : n < LANES ? n : LANES, 0) * factor;
    double start = start_above(sum_lanes(some * some));
    if (factor == 1)
        sums_from(start, m, n, x, ld, 1, hi, lo);
    else
        sums_from(start, m, n, x, ld, factor, hi, lo);
    if (*hi <= start / 64) return;
    const double most = factor * max_abs_block(m, n, x, ld);
    start = start_above(most * most);
    sums_from(start, m, n, x, ld, factor, hi, lo);
}

/* Add v, at least 0, to a sum with its rounding error: Knuth's TwoSum. */
INLINE void add_exactly(vec v, vec *sum, vec *rest) {
    const vec before = *sum;
    *sum = before + v;
    const vec part = *sum - before;
    *rest += (before - (*sum - part)) + (v - part);
}

/* hi + lo = sum of |x_ij|, to nearly twice the precision; lo is NaN if hi is not finite. */
static void sum_abs_block(int64_t m, int64_t n, const real *x, int64_t ld, double *hi, double *lo) {
    vec sum[CHAINS] = {{0}}, rest[CHAINS] = {{0}};
    for (int64_t i = 0; i < m; i++, x += ld) {
        int64_t j = 0;
        for (; j + CHAINS * LANES <= n; j += CHAINS * LANES) {
            UNROLL for (int c = 0; c < CHAINS; c++)
                add_exactly(magnitude(load(x + j + c * LANES)), &sum[c], &rest[c]);
        }
        for (; j + LANES <= n; j += LANES) add_exactly(magnitude(load(x + j)), &sum[0], &rest[0]);
        if (j < n) add_exactly(magnitude(load_part(x + j, n - j, 0)), &sum[1], &rest[1]);
    }
    UNROLL for (int half = CHAINS / 2; half > 0; half /= 2) {
        UNROLL for (int c = 0; c < half; c++) {
            add_exactly(sum[c + half], &sum[c], &rest[c]);
            rest[c] += rest[c + half];
        }
    }
    UNROLL for (int i = FIRST_XOR; i < 4; i++) {
        const vec other = exchange(rest[0], i);
        add_exactly(exchange(sum[0], i), &sum[0], &rest[0]);
        rest[0] += other;
    }
    *hi = sum[0][0];
    *lo = rest[0][0];
}
#endif

#endif
