/* layernorm.h: rows of layer norm and RMS norm, and blocks of their backward. The output may be the input.
 *
 * The mean is kept in two parts, a rough mean and the mean of what that leaves: subtracting both gives x - mean without the rounding of the mean, which
 * is what makes a row of mean 10^4 and deviation 1 right in float32 (the corrected two-pass algorithm of Chan, Golub and LeVeque, 1983).
 */
#ifndef FASTNN_LAYERNORM_H
#define FASTNN_LAYERNORM_H

#include "reduce.h"
#include "vec.h"

enum {
    NORM_CHUNK = 256, /* vectors summed in the real type before their sum is added in double */
    NORM_ROWS = 4,    /* rows whose gradients of weight and bias are added in registers */
};

INLINE int64_t end_of_chunk(int64_t start, int64_t n) { return n - start < NORM_CHUNK * LANES ? n : start + NORM_CHUNK * LANES; }

/* The mean to a few ulp, which is enough here; it cannot overflow. */
static real rough_mean(int64_t n, const real *x) {
    const real weight = (real)(1.0 / (double)n);
    vec sum[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) UNROLL for (int j = 0; j < 4; j++) sum[j] += load(x + i + j * LANES) * weight;
    for (; i + LANES <= n; i += LANES) sum[0] += load(x + i) * weight;
    if (i < n) sum[1] += load_part(x + i, n - i, 0) * weight;
    return sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* The sums of d_i = scale (x_i - mean) and of d_i^2; scale is a power of two. */
static void deviations(int64_t n, const real *x, real mean, real scale, double *sum, double *squares) {
    const real shift = scale * mean;
    *sum = *squares = 0;
    for (int64_t i = 0; i < n;) {
        const int64_t stop = end_of_chunk(i, n);
        vec s[4] = {{0}}, q[4] = {{0}};
        for (; i + 4 * LANES <= stop; i += 4 * LANES) UNROLL for (int j = 0; j < 4; j++) {
            const vec d = load(x + i + j * LANES) * scale - shift;
            s[j] += d;
            q[j] += d * d;
        }
        for (; i < stop; i += LANES) {
            const vec d = (stop - i < LANES ? load_part(x + i, stop - i, mean) : load(x + i)) * scale - shift;
            s[0] += d;
            q[0] += d * d;
        }
        i = stop;
        *sum += (double)sum_lanes((s[0] + s[1]) + (s[2] + s[3]));
        *squares += (double)sum_lanes((q[0] + q[1]) + (q[2] + q[3]));
    }
}

/* stats = {mean, rest of the mean, 1 / sqrt(variance + eps)}; for RMS norm the mean counts as 0. NaN where the row has NaN or, but for RMS, infinity. */
static void norm_stats(int rms, int64_t n, const real *x, double eps, real *stats) {
    const real mean = rms ? 0 : rough_mean(n, x);
    real scale = 1;
    double sum, squares;
    deviations(n, x, mean, scale, &sum, &squares);
    if (!(squares < (double)INFINITY)) { /* squares beyond the range: again, with max |x| scaled to below 1/2 */
        const real most = max_abs(n, x);
        if (most < (real)INFINITY) {
            scale = (real)ldexp(1, -2 - ilogb((double)most));
            deviations(n, x, mean, scale, &sum, &squares);
        }
    }
    const double rest = rms ? 0 : sum / (double)n, found = squares / (double)n - rest * rest, scale_ = (double)scale;
    const double variance = (found < 0 ? 0 : found) + eps * scale_ * scale_;
    stats[0] = mean;
    stats[1] = (real)(rest / scale_);
    stats[2] = (real)(variance > 0 || variance != variance ? scale_ / sqrt(variance) : 1 / sqrt(eps));
}

INLINE vec normalized(vec x, const real *stats) { return ((x - stats[0]) - stats[1]) * stats[2]; }

INLINE void normalize(int64_t n, const real *x, const real *stats, const real *weight, const real *bias, real *y, const int has_weight, const int has_bias) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec v = normalized(load(x + i), stats);
        if (has_weight) v *= load(weight + i);
        if (has_bias) v += load(bias + i);
        store(y + i, v);
    }
    if (i < n) {
        vec v = normalized(load_part(x + i, n - i, 0), stats);
        if (has_weight) v *= load_part(weight + i, n - i, 0);
        if (has_bias) v += load_part(bias + i, n - i, 0);
        store_part(y + i, n - i, v);
    }
}

/* y = (x - mean) / sqrt(variance + eps) * weight + bias for one row of n >= 1; weight and bias may be NULL. stats as above, three reals. */
static void norm(int rms, int64_t n, const real *x, double eps, const real *weight, const real *bias, real *stats, real *y) {
    norm_stats(rms, n, x, eps, stats);
    const real row[3] = {stats[0], stats[1], stats[2]}; /* that y does not overlap */
    if (weight && bias)
        normalize(n, x, row, weight, bias, y, 1, 1);
    else if (weight)
        normalize(n, x, row, weight, bias, y, 1, 0);
    else if (bias)
        normalize(n, x, row, weight, bias, y, 0, 1);
    else
        normalize(n, x, row, weight, bias, y, 0, 0);
}

/* The sums over a row of g = dy weight and of g times the normalized x. */
INLINE void norm_dots(const int m, int64_t n, const real *dy, int64_t lddy, const real *x, int64_t ldx, const real *stats, const real *weight, double *sums,
                      double *dots) {
    UNROLL for (int r = 0; r < m; r++) sums[r] = dots[r] = 0;
    for (int64_t i = 0; i < n;) {
        const int64_t stop = end_of_chunk(i, n);
        vec s[NORM_ROWS] = {{0}}, d[NORM_ROWS] = {{0}};
        for (; i + LANES <= stop; i += LANES) {
            const vec w = weight ? load(weight + i) : splat(1);
            UNROLL for (int r = 0; r < m; r++) {
                const vec g = load(dy + r * lddy + i) * w;
                s[r] += g;
                d[r] += g * normalized(load(x + r * ldx + i), stats + 3 * r);
            }
        }
        if (i < stop) {
            const vec w = weight ? load_part(weight + i, stop - i, 0) : splat(1);
            UNROLL for (int r = 0; r < m; r++) {
                const vec g = load_part(dy + r * lddy + i, stop - i, 0) * w;
                s[r] += g;
                d[r] += g * normalized(load_part(x + r * ldx + i, stop - i, stats[3 * r]), stats + 3 * r);
            }
        }
        i = stop;
        UNROLL for (int r = 0; r < m; r++) {
            sums[r] += (double)sum_lanes(s[r]);
            dots[r] += (double)sum_lanes(d[r]);
        }
    }
}

/* dx = (g - mean g - xhat mean(g xhat)) / sqrt(variance + eps) + dh, and dweight += dy xhat, dbias += dy, in m rows of `count` <= LANES columns. */
INLINE void norm_backward_columns(const int m, int64_t count, const real *dy, int64_t lddy, const real *x, int64_t ldx, const real *stats, const real *weight,
                                  const real *dh, int64_t lddh, const real *mean_g, const real *mean_dot, real *dx, int64_t lddx, real *dweight,
                                  real *dbias, const int whole) {
#define LOAD(p) (whole ? load(p) : load_part(p, count, 0))
#define STORE(p, v) (whole ? store(p, v) : store_part(p, count, v))
    const vec w = weight ? LOAD(weight) : splat(1);
    vec dw = {0}, db = {0};
    UNROLL for (int r = 0; r < m; r++) {
        const vec g = LOAD(dy + r * lddy), xhat = normalized(LOAD(x + r * ldx), stats + 3 * r);
        const vec v = ((g * w - mean_g[r]) - xhat * mean_dot[r]) * stats[3 * r + 2];
        STORE(dx + r * lddx, dh ? LOAD(dh + r * lddh) + v : v);
        dw += g * xhat;
        db += g;
    }
    if (dweight) STORE(dweight, LOAD(dweight) + dw);
    if (dbias) STORE(dbias, LOAD(dbias) + db);
#undef LOAD
#undef STORE
}

INLINE void norm_backward_rows(const int m, int rms, int64_t n, const real *dy, int64_t lddy, const real *x, int64_t ldx, const real *stats_,
                               const real *weight, const real *dh, int64_t lddh, real *dx, int64_t lddx, real *dweight, real *dbias) {
    double sums[NORM_ROWS], dots[NORM_ROWS];
    real stats[3 * NORM_ROWS], mean_g[NORM_ROWS], mean_dot[NORM_ROWS];
    memcpy(stats, stats_, (size_t)(3 * m) * sizeof(real)); /* that dx does not overlap */
    norm_dots(m, n, dy, lddy, x, ldx, stats, weight, sums, dots);
    UNROLL for (int r = 0; r < m; r++) {
        mean_g[r] = rms ? 0 : (real)(sums[r] / (double)n);
        mean_dot[r] = (real)(dots[r] / (double)n);
    }
    int64_t i = 0;
#define COLUMNS(whole)                                                                                                                                \
    norm_backward_columns(m, n - i, dy + i, lddy, x + i, ldx, stats, weight ? weight + i : weight, dh ? dh + i : dh, lddh, mean_g, mean_dot, dx + i,  \
                          lddx, dweight ? dweight + i : dweight, dbias ? dbias + i : dbias, whole)
    for (; i + LANES <= n; i += LANES) COLUMNS(1);
    if (i < n) COLUMNS(0);
#undef COLUMNS
}

/* The backward of m rows of n >= 1. weight, dh, dweight and dbias may be NULL; dx may be dy or dh. */
static void norm_backward(int rms, int64_t m, int64_t n, const real *dy, int64_t lddy, const real *x, int64_t ldx, const real *stats, const real *weight,
                          const real *dh, int64_t lddh, real *dx, int64_t lddx, real *dweight, real *dbias) {
    int64_t r = 0;
#define ROWS(rows)                                                                                                                                    \
    norm_backward_rows(rows, rms, n, dy + r * lddy, lddy, x + r * ldx, ldx, stats + 3 * r, weight, dh ? dh + r * lddh : dh, lddh, dx + r * lddx, lddx,  \
                       dweight, dbias)
    for (; r + NORM_ROWS <= m; r += NORM_ROWS) ROWS(NORM_ROWS);
    for (; r < m; r++) ROWS(1);
#undef ROWS
}

#endif
