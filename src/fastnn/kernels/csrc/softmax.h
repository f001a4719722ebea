/* softmax.h: rows of softmax and log-softmax, and their backward. The output may be the input.
 *
 * Short rows are worked on by GROUP in lockstep: a row is one chain of dependent steps (maximum, its reduction, exp, sum, its reduction, division), and
 * a short one leaves most of the machine idle. What is computed for a row does not depend on its company.
 */
#ifndef FASTNN_SOFTMAX_H
#define FASTNN_SOFTMAX_H

#include "vec.h"
#include "vecmath.h"

enum {
    GROUP = 4,
    /* Rows in lockstep have at most so many columns. In cache 64 rows of 64 take 0.88 us and 1.43 one by one, 2048 of 128 49 us and 71; but out of
     * cache 16,384 of 256 take 1.39 ms and 0.95, as memory is then read in four places at once. Backward is bound by memory earlier. */
    GROUP_COLUMNS = 8 * LANES,
    GROUP_COLUMNS_BACKWARD = 2 * LANES,
    CHUNK = 64 /* vectors summed in the real type before their sum is added in double: the error of a long row then does not grow with its length */
};
#define EACH_ROW UNROLL for (int g = 0; g < rows; g++)

/* group for all m rows, i the first of ROWS. */
#define FOR_GROUPS(m, lockstep, i, group)                                                                                                            \
    do {                                                                                                                                             \
        int64_t i = 0;                                                                                                                               \
        for (; (lockstep) && i + GROUP <= m; i += GROUP) {                                                                                           \
            enum { ROWS = GROUP };                                                                                                                   \
            group;                                                                                                                                   \
        }                                                                                                                                            \
        for (; i < m; i++) {                                                                                                                         \
            enum { ROWS = 1 };                                                                                                                       \
            group;                                                                                                                                   \
        }                                                                                                                                            \
    } while (0)

/* exp(x), x at most 0, or NaN. */
INLINE vec exp_negative(vec x) {
    const exponential e = exp_parts(at_least(x, EXP_SMALLEST), (vec){0});
    return rounded(scale_by(e.u + 1, e.shifted));
}

/* The maximum of each row, in every lane. NaN is passed over: it comes out of the sum of exponentials. */
INLINE void group_max(const int rows, int64_t n, const real *x, int64_t ldx, vec *max) {
    EACH_ROW max[g] = splat((real)-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) EACH_ROW max[g] = max_vec(load(x + g * ldx + i), max[g]);
    if (i < n) EACH_ROW max[g] = max_vec(load_part(x + g * ldx + i, n - i, (real)-INFINITY), max[g]);
    EACH_ROW max[g] = spread_max(max[g]);
}

/* sum_j exp(x_j - max) of each row, and if y is not NULL y = exp(x - max). NaN anywhere, a +inf, or a row of nothing but -inf makes the sum NaN. */
INLINE void group_exp(const int rows, int64_t n, const real *x, int64_t ldx, const vec *max, real *y, int64_t ldy, double *sum) {
    EACH_ROW sum[g] = 0;
    for (int64_t start = 0; start < n; start += CHUNK * LANES) {
        const int64_t stop = n - start < CHUNK * LANES ? n : start + CHUNK * LANES;
        vec part[GROUP];
        EACH_ROW part[g] = (vec){0};
        int64_t i = start;
        for (; i + LANES <= stop; i += LANES)
            EACH_ROW {
                const vec e = exp_negative(load(x + g * ldx + i) - max[g]);
                if (y) store(y + g * ldy + i, e);
                part[g] += e;
            }
        if (i < stop)
            EACH_ROW {
                const vec e = exp_negative(load_part(x + g * ldx + i, stop - i, (real)-INFINITY) - max[g]); /* a filled lane adds 0, or NaN to NaN */
                if (y) store_part(y + g * ldy + i, stop - i, e);
                part[g] += e;
            }
        EACH_ROW sum[g] += (double)sum_lanes(part[g]);
    }
}

/* y = factor y */
INLINE void group_scale(const int rows, int64_t n, const vec *factor, real *y, int64_t ldy) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) EACH_ROW store(y + g * ldy + i, load(y + g * ldy + i) * factor[g]);
    if (i < n) EACH_ROW store_part(y + g * ldy + i, n - i, load_part(y + g * ldy + i, n - i, 0) * factor[g]);
}

INLINE void softmax_group(const int rows, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy) {
    vec max[GROUP], inverse[GROUP];
    double sum[GROUP];
    group_max(rows, n, x, ldx, max);
    group_exp(rows, n, x, ldx, max, y, ldy, sum);
    EACH_ROW inverse[g] = splat((real)(1 / sum[g]));
    group_scale(rows, n, inverse, y, ldy);
}

INLINE void log_softmax_group(const int rows, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy) {
    vec max[GROUP], log_sum[GROUP];
    double sum[GROUP];
    group_max(rows, n, x, ldx, max);
    group_exp(rows, n, x, ldx, max, NULL, 0, sum);
    EACH_ROW log_sum[g] = splat((real)log(sum[g]));
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) EACH_ROW store(y + g * ldy + i, (load(x + g * ldx + i) - max[g]) - log_sum[g]);
    if (i < n) EACH_ROW store_part(y + g * ldy + i, n - i, (load_part(x + g * ldx + i, n - i, 0) - max[g]) - log_sum[g]);
}

/* sum_j dy_j y_j of each row, or sum_j dy_j if y is NULL; in chunks as above. */
INLINE void group_dot(const int rows, int64_t n, const real *dy, int64_t lddy, const real *y, int64_t ldy, double *sum) {
    EACH_ROW sum[g] = 0;
    for (int64_t start = 0; start < n; start += CHUNK * LANES) {
        const int64_t stop = n - start < CHUNK * LANES ? n : start + CHUNK * LANES;
        vec part[GROUP];
        EACH_ROW part[g] = (vec){0};
        int64_t i = start;
        for (; i + LANES <= stop; i += LANES) EACH_ROW part[g] += y ? rounded(load(dy + g * lddy + i) * load(y + g * ldy + i)) : load(dy + g * lddy + i);
        if (i < stop)
            EACH_ROW {
                const vec d = load_part(dy + g * lddy + i, stop - i, 0);
                part[g] += y ? rounded(d * load_part(y + g * ldy + i, stop - i, 0)) : d;
            }
        EACH_ROW sum[g] += (double)sum_lanes(part[g]);
    }
}

INLINE void softmax_backward_group(const int rows, int64_t n, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx, int64_t lddx) {
    double sum[GROUP];
    vec mean[GROUP];
    group_dot(rows, n, dy, lddy, y, ldy, sum);
    EACH_ROW mean[g] = splat((real)sum[g]);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) EACH_ROW store(dx + g * lddx + i, load(y + g * ldy + i) * (load(dy + g * lddy + i) - mean[g]));
    if (i < n)
        EACH_ROW store_part(dx + g * lddx + i, n - i, load_part(y + g * ldy + i, n - i, 0) * (load_part(dy + g * lddy + i, n - i, 0) - mean[g]));
}

INLINE void log_softmax_backward_group(const int rows, int64_t n, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx, int64_t lddx) {
    double sum[GROUP];
    vec total[GROUP];
    group_dot(rows, n, dy, lddy, NULL, 0, sum);
    EACH_ROW total[g] = splat((real)sum[g]);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) EACH_ROW store(dx + g * lddx + i, load(dy + g * lddy + i) - rounded(exp_negative(load(y + g * ldy + i)) * total[g]));
    if (i < n)
        EACH_ROW {
            const vec p = exp_negative(load_part(y + g * ldy + i, n - i, 0));
            store_part(dx + g * lddx + i, n - i, load_part(dy + g * lddy + i, n - i, 0) - rounded(p * total[g]));
        }
}

/* y_j = exp(x_j - max x) / sum_j exp(x_j - max x) on m rows of n. */
static void softmax(int64_t m, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy) {
    FOR_GROUPS(m, n <= GROUP_COLUMNS, i, softmax_group(ROWS, n, x + i * ldx, ldx, y + i * ldy, ldy));
}

/* dx_j = y_j (dy_j - sum_i dy_i y_i) */
static void softmax_backward(int64_t m, int64_t n, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx, int64_t lddx) {
    FOR_GROUPS(m, n <= GROUP_COLUMNS_BACKWARD, i, softmax_backward_group(ROWS, n, dy + i * lddy, lddy, y + i * ldy, ldy, dx + i * lddx, lddx));
}

/* y_j = (x_j - max x) - log sum_j exp(x_j - max x) */
static void log_softmax(int64_t m, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy) {
    FOR_GROUPS(m, n <= GROUP_COLUMNS, i, log_softmax_group(ROWS, n, x + i * ldx, ldx, y + i * ldy, ldy));
}

/* dx_j = dy_j - exp(y_j) sum_i dy_i */
static void log_softmax_backward(int64_t m, int64_t n, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx, int64_t lddx) {
    FOR_GROUPS(m, n <= GROUP_COLUMNS_BACKWARD, i, log_softmax_backward_group(ROWS, n, dy + i * lddy, lddy, y + i * ldy, ldy, dx + i * lddx, lddx));
}

#endif
