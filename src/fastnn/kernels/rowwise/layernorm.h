/* layernorm.h: layer norm and RMS norm by rows, and their backward pass. The output may be the
 * input.
 *
 * The mean is kept in two parts, a rough mean and the mean of the remainders. Subtracting both
 * gives x - mean without the rounding error of the mean, so a row of mean 10^4 and deviation 1 is
 * accurate in float32 (the corrected two-pass algorithm of Chan, Golub and LeVeque, 1983).
 */
#ifndef FASTNN_LAYERNORM_H
#define FASTNN_LAYERNORM_H

#include <float.h>

#include "reduce.h"
#include "stream.h"
#include "vec.h"

#define LARGEST (FASTNN_REAL == 32 ? (double)FLT_MAX : DBL_MAX)

enum {
    /* Vectors summed in the real type before their sum is added in double. */
    NORM_CHUNK = 256,
    /* Rows at once, so that their chains of additions overlap; the order within a row is fixed. */
    NORM_ROWS = 4,
};

INLINE int64_t end_of_chunk(int64_t start, int64_t n) {
    return n - start < NORM_CHUNK * LANES ? n : start + NORM_CHUNK * LANES;
}

/* Means to a few ulp, which is enough here. The terms are scaled first, so the sum cannot
 * overflow. */
INLINE void rough_means(const int m, int64_t n, const real *x, int64_t ldx, real *means) {
    const real share = (real)(1.0 / (double)n);
    vec sum[NORM_ROWS] = {{0}};
    for (int64_t i = 0; i < n; i += LANES) {
        UNROLL for (int r = 0; r < m; r++)
            sum[r] += load_some(x + r * ldx + i, n - i, 0) * share;
    }
    UNROLL for (int r = 0; r < m; r++)
        means[r] = sum_lanes(sum[r]);
}

/* Per row: the sums of d_i = scale (x_i - mean) and of d_i^2; scale is a power of two. next: rows
 * to prefetch meanwhile, or NULL. */
INLINE void deviations(const int m, int64_t n, const real *x, int64_t ldx, const real *means,
                       real scale, double *sums, double *squares, const real *next) {
    UNROLL for (int r = 0; r < m; r++)
        sums[r] = squares[r] = 0;
    for (int64_t i = 0; i < n;) {
        const int64_t stop = end_of_chunk(i, n);
        vec s[NORM_ROWS] = {{0}}, q[NORM_ROWS] = {{0}};
        for (; i < stop; i += LANES) {
            UNROLL for (int r = 0; r < m; r++) {
                if (next) __builtin_prefetch(next + r * ldx + i);
                const vec d =
                    load_some(x + r * ldx + i, stop - i, means[r]) * scale - means[r] * scale;
                s[r] += d;
                q[r] += d * d;
            }
        }
        i = stop;
        UNROLL for (int r = 0; r < m; r++) {
            sums[r] += (double)sum_lanes(s[r]);
            squares[r] += (double)sum_lanes(q[r]);
        }
    }
}

/* stats = {mean, mean of the remainders, 1 / sqrt(variance + eps)} from the sums of `deviations`.
 * RMS norm has mean 0. */
INLINE void finish_stats(int rms, int64_t n, double eps, real mean, double scale, double sum,
                         double squares, real *stats) {
    const double rest = rms ? 0 : sum / (double)n, found = squares / (double)n - rest * rest;
    const double variance = (found < 0 ? 0 : found) + eps * scale * scale;
    stats[0] = mean;
    stats[1] = (real)(rest / scale);
    /* The variance is 0 if eps scale^2 underflowed. */
    const double rstd = variance == 0 ? 1 / sqrt(eps) : scale / sqrt(variance);
    /* Finite, since a constant row times infinity would be NaN. */
    stats[2] = (real)(rstd > LARGEST ? LARGEST : rstd);
}

/* A row whose squares overflowed: repeat with max |x| scaled below 1/2. Rows with NaN or infinity
 * are left. */
static __attribute__((noinline)) void stats_of_large(int rms, int64_t n, const real *x, double eps,
                                                     real *stats) {
    const real most = max_abs_block(1, n, x, n), mean = stats[0];
    double sum, squares;
    if (!(most < (real)INFINITY)) return;
    const real scale = (real)ldexp(1, -2 - ilogb((double)most));
    deviations(1, n, x, n, &mean, scale, &sum, &squares, NULL);
    finish_stats(rms, n, eps, mean, (double)scale, sum, squares, stats);
}

INLINE vec normalized(vec x, const real *stats) { return ((x - stats[0]) - stats[1]) * stats[2]; }

INLINE void norm_rows(const int m, int rms, int64_t n, const real *x, int64_t ldx, double eps,
                      const real *weight, const real *bias, real *stats_, real *y, int64_t ldy,
                      int past_caches) {
    real means[NORM_ROWS] = {0}, stats[3 * NORM_ROWS]; /* a copy, since y may overlap stats_ */
    double sums[NORM_ROWS], squares[NORM_ROWS];
    if (!rms) rough_means(m, n, x, ldx, means);
    deviations(m, n, x, ldx, means, 1, sums, squares, past_caches ? x + m * ldx : NULL);
    UNROLL for (int r = 0; r < m; r++)
        finish_stats(rms, n, eps, means[r], 1, sums[r], squares[r], stats + 3 * r);
    for (int r = 0; r < m; r++)
        if (!(squares[r] < (double)INFINITY))
            stats_of_large(rms, n, x + r * ldx, eps, stats + 3 * r);
    if (stats_) memcpy(stats_, stats, (size_t)(3 * m) * sizeof(real));
    for (int64_t i = 0; i < n; i += LANES) {
        const vec w = weight ? load_some(weight + i, n - i, 0) : splat(1),
                  b = bias ? load_some(bias + i, n - i, 0) : (vec){0};
        UNROLL for (int r = 0; r < m; r++) {
            const vec v = normalized(load_some(x + r * ldx + i, n - i, 0), stats + 3 * r) * w;
            /* no v + 0 without a bias: it would turn -0 into 0 */
            store_some(y + r * ldy + i, n - i, bias ? v + b : v, past_caches);
        }
    }
}

/* y = (x - mean) / sqrt(variance + eps) * weight + bias for m rows of n >= 1; weight, bias and
 * stats may be NULL. stats (m, 3) as above. past_caches: y is large, so use non-temporal stores if
 * y is aligned, and prefetch the next rows while the sums are computed (docs/tuning.md, "Row
 * kernels"). */
static void norm_block(int rms, int64_t m, int64_t n, const real *x, int64_t ldx, double eps,
                       const real *weight, const real *bias, real *stats, real *y, int64_t ldy,
                       int past_caches) {
    int64_t r = 0;
    past_caches = past_caches && can_stream(y, ldy);
#define ROWS(rows)                                                                              \
    norm_rows(rows, rms, n, x + r * ldx, ldx, eps, weight, bias, stats ? stats + 3 * r : stats, \
              y + r * ldy, ldy, past_caches)
    for (; r + NORM_ROWS <= m; r += NORM_ROWS) ROWS(NORM_ROWS);
    for (; r < m; r++) ROWS(1);
#undef ROWS
    if (past_caches) stream_end();
}

/* Per row: the sums of g = dy weight and of g xhat, with xhat the normalized x. */
INLINE void norm_dots(const int m, int64_t n, const real *dy, int64_t lddy, const real *x,
                      int64_t ldx, const real *stats, const real *weight, double *sums,
                      double *dots) {
    UNROLL for (int r = 0; r < m; r++)
        sums[r] = dots[r] = 0;
    for (int64_t i = 0; i < n;) {
        const int64_t stop = end_of_chunk(i, n);
        vec s[NORM_ROWS] = {{0}}, d[NORM_ROWS] = {{0}};
        for (; i < stop; i += LANES) {
            const vec w = weight ? load_some(weight + i, stop - i, 0) : splat(1);
            UNROLL for (int r = 0; r < m; r++) {
                const vec g = load_some(dy + r * lddy + i, stop - i, 0) * w;
                s[r] += g;
                d[r] += g * normalized(load_some(x + r * ldx + i, stop - i, stats[3 * r]),
                                       stats + 3 * r);
            }
        }
        i = stop;
        UNROLL for (int r = 0; r < m; r++) {
            sums[r] += (double)sum_lanes(s[r]);
            dots[r] += (double)sum_lanes(d[r]);
        }
    }
}

INLINE void norm_backward_rows(const int m, int rms, int64_t n, const real *dy, int64_t lddy,
                               const real *x, int64_t ldx, const real *stats_, const real *weight,
                               const real *dh, int64_t lddh, real *dx, int64_t lddx, real *dweight,
                               real *dbias, int past_caches) {
    double sums[NORM_ROWS], dots[NORM_ROWS];
    real stats[3 * NORM_ROWS], mean_g[NORM_ROWS], mean_dot[NORM_ROWS];
    memcpy(stats, stats_, (size_t)(3 * m) * sizeof(real)); /* a copy, since dx may overlap stats_ */
    norm_dots(m, n, dy, lddy, x, ldx, stats, weight, sums, dots);
    UNROLL for (int r = 0; r < m; r++) {
        mean_g[r] = rms ? 0 : (real)(sums[r] / (double)n);
        mean_dot[r] = (real)(dots[r] / (double)n);
    }
    for (int64_t i = 0; i < n; i += LANES) {
        const int64_t k = n - i;
        const vec w = weight ? load_some(weight + i, k, 0) : splat(1);
        vec v[NORM_ROWS], dw = {0}, db = {0};
        UNROLL for (int r = 0; r < m; r++) {
            const vec g = load_some(dy + r * lddy + i, k, 0),
                      xhat = normalized(load_some(x + r * ldx + i, k, 0), stats + 3 * r);
            v[r] = ((g * w - mean_g[r]) - xhat * mean_dot[r]) * stats[3 * r + 2];
            if (dh) v[r] += load_some(dh + r * lddh + i, k, 0);
            if (past_caches) {
                __builtin_prefetch(dy + (r + m) * lddy + i, 0, 2);
                __builtin_prefetch(x + (r + m) * ldx + i, 0, 2);
            }
            dw += g * xhat;
            db += g;
        }
        /* All loads come before the stores: rows often lie multiples of 4 KiB apart, and a load
         * from such an address right after a store waits for it (docs/tuning.md, "Row kernels"). */
        UNROLL for (int r = 0; r < m; r++)
            store_some(dx + r * lddx + i, k, v[r], past_caches);
        if (dweight) store_some(dweight + i, k, load_some(dweight + i, k, 0) + dw, 0);
        if (dbias) store_some(dbias + i, k, load_some(dbias + i, k, 0) + db, 0);
    }
}

/* Backward of m rows of n >= 1, with xhat the normalized x and g = dy weight:
 *
 *     dx = (g - mean g - xhat mean(g xhat)) / sqrt(variance + eps) + dh
 *     dweight += sum over rows of dy xhat, dbias += sum over rows of dy
 *
 * weight, dh, dweight and dbias may be NULL; dx may be dy, x or dh. past_caches: non-temporal
 * stores, and the next rows are prefetched into the L2 cache, since 16 rows of 4 KiB do not fit the
 * L1.
 */
static void norm_backward_block(int rms, int64_t m, int64_t n, const real *dy, int64_t lddy,
                                const real *x, int64_t ldx, const real *stats, const real *weight,
                                const real *dh, int64_t lddh, real *dx, int64_t lddx, real *dweight,
                                real *dbias, int past_caches) {
    int64_t r = 0;
    past_caches = past_caches && can_stream(dx, lddx);
#define ROWS(rows)                                                                                 \
    norm_backward_rows(rows, rms, n, dy + r * lddy, lddy, x + r * ldx, ldx, stats + 3 * r, weight, \
                       dh ? dh + r * lddh : dh, lddh, dx + r * lddx, lddx, dweight, dbias,         \
                       past_caches)
    for (; r + NORM_ROWS <= m; r += NORM_ROWS) ROWS(NORM_ROWS);
    for (; r < m; r++) ROWS(1);
#undef ROWS
    if (past_caches) stream_end();
}

#endif
