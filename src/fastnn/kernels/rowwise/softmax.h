/* softmax.h: softmax and log-softmax by rows, and their backward pass. The output may be the input.
 *
 * Short rows are processed GROUP at a time, in lockstep: a row is one chain of dependent steps
 * (maximum, its reduction, exp, sum, its reduction, division), and a short one leaves most of the
 * core idle. A row's result does not depend on the rows processed with it.
 */
#ifndef FASTNN_SOFTMAX_H
#define FASTNN_SOFTMAX_H

#include "stream.h"
#include "vec.h"
#include "vecmath.h"

enum {
    GROUP = 4,
    /* Maximum columns of rows in lockstep. Longer rows are read faster one after the other, as one
     * stream instead of four (docs/tuning.md). */
    GROUP_COLUMNS = 8 * LANES,
    GROUP_COLUMNS_BACKWARD = 2 * LANES,
    BUFFER = 16384 / sizeof(real), /* see FOR_GROUPS */
    DOT_CHAINS = 4,
    /* Vectors summed in the real type before their sum is added in double: the error of a row then
     * does not grow with its length. */
    CHUNK = 64
};
#define EACH_ROW UNROLL for (int g = 0; g < rows; g++)

/* Copy rows from the buffer to the output with non-temporal stores, and prefetch the input of the
 * next rows. */
INLINE void copy_group(const int rows, int64_t n, const real *buffer, real *out, int64_t ldout,
                       const real *next, int64_t ldnext) {
    for (int g = 0; g < rows; g++, buffer += n, out += ldout, next += ldnext) {
        const int streamed = can_stream_rest(out, 1, n, 0);
        int64_t j = until_aligned(out, n);
        if (j) store_part(out, j, load(buffer));
        for (; j + LANES <= n; j += LANES) {
            __builtin_prefetch(next + j);
            store_to(out + j, load(buffer + j), streamed);
        }
        if (j < n) store_part(out + j, n - j, load_part(buffer + j, n - j, 0));
    }
}

/* Run `group` on all m rows of n; i is the first of its ROWS rows, and it writes rows at `to`, ldto
 * apart. For a large output (past_caches, stream.h) `to` is a buffer in the L1 cache, since most
 * groups pass over their result twice. `in` is the input. */
#define FOR_GROUPS(m, n, lockstep, in, ldin, out, ldout, past_caches, i, group) \
    do {                                                                        \
        real buffer[BUFFER] __attribute__((aligned(64)));                       \
        const int buffered = (past_caches) && n <= BUFFER;                      \
        const int64_t ldto = buffered ? n : ldout;                              \
        int64_t i = 0;                                                          \
        for (; (lockstep) && i + GROUP <= m; i += GROUP) {                      \
            enum { ROWS = GROUP };                                              \
            real *const to = buffered ? buffer : out + i * ldout;               \
            group;                                                              \
            if (buffered) COPY_GROUP(n, in, ldin, out, ldout, i);               \
        }                                                                       \
        for (; i < m; i++) {                                                    \
            enum { ROWS = 1 };                                                  \
            real *const to = buffered ? buffer : out + i * ldout;               \
            group;                                                              \
            if (buffered) COPY_GROUP(n, in, ldin, out, ldout, i);               \
        }                                                                       \
        if (buffered) stream_end();                                             \
    } while (0)
#define COPY_GROUP(n, in, ldin, out, ldout, i) \
    copy_group(ROWS, n, buffer, out + i * ldout, ldout, in + (i + ROWS) * ldin, ldin)

/* exp(x) for x <= 0 or NaN. */
INLINE vec exp_negative(vec x) {
    const exponential e = exp_parts(at_least(x, EXP_SMALLEST), (vec){0});
    return rounded(scale_by(e.u + 1, e.shifted));
}

/* The maximum of each row, in every lane. NaN is ignored here; it reappears in the sum of
 * exponentials. */
INLINE void group_max(const int rows, int64_t n, const real *x, int64_t ldx, vec *max) {
    EACH_ROW
        max[g] = splat((real)-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        EACH_ROW
            max[g] = max_vec(load(x + g * ldx + i), max[g]);
    if (i < n)
        EACH_ROW
            max[g] = max_vec(load_part(x + g * ldx + i, n - i, (real)-INFINITY), max[g]);
    EACH_ROW
        max[g] = spread_max(max[g]);
}

/* sum_j exp(x_j - max) of each row; also y = exp(x - max) unless y is NULL. The sum is NaN if a row
 * has a NaN or +inf, or nothing but -inf. */
INLINE void group_exp(const int rows, int64_t n, const real *x, int64_t ldx, const vec *max,
                      real *y, int64_t ldy, double *sum) {
    EACH_ROW
        sum[g] = 0;
    for (int64_t start = 0; start < n; start += CHUNK * LANES) {
        const int64_t stop = n - start < CHUNK * LANES ? n : start + CHUNK * LANES;
        vec part[GROUP];
        EACH_ROW
            part[g] = (vec){0};
        int64_t i = start;
        for (; i + LANES <= stop; i += LANES)
            EACH_ROW {
                const vec e = exp_negative(load(x + g * ldx + i) - max[g]);
                if (y) store(y + g * ldy + i, e);
                part[g] += e;
            }
        if (i < stop)
            EACH_ROW {
                /* a padding lane adds 0, or NaN to NaN */
                const vec e =
                    exp_negative(load_part(x + g * ldx + i, stop - i, (real)-INFINITY) - max[g]);
                if (y) store_part(y + g * ldy + i, stop - i, e);
                part[g] += e;
            }
        EACH_ROW
            sum[g] += (double)sum_lanes(part[g]);
    }
}

INLINE void group_scale(const int rows, int64_t n, const vec *factor, real *y, int64_t ldy) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        EACH_ROW
            store(y + g * ldy + i, load(y + g * ldy + i) * factor[g]);
    if (i < n)
        EACH_ROW
            store_part(y + g * ldy + i, n - i, load_part(y + g * ldy + i, n - i, 0) * factor[g]);
}

INLINE void softmax_group(const int rows, int64_t n, const real *x, int64_t ldx, real *y,
                          int64_t ldy) {
    vec max[GROUP], inverse[GROUP];
    double sum[GROUP];
    group_max(rows, n, x, ldx, max);
    group_exp(rows, n, x, ldx, max, y, ldy, sum);
    EACH_ROW
        inverse[g] = splat((real)(1 / sum[g]));
    group_scale(rows, n, inverse, y, ldy);
}

INLINE void log_softmax_group(const int rows, int64_t n, const real *x, int64_t ldx, real *y,
                              int64_t ldy) {
    vec max[GROUP], log_sum[GROUP];
    double sum[GROUP];
    group_max(rows, n, x, ldx, max);
    group_exp(rows, n, x, ldx, max, NULL, 0, sum);
    EACH_ROW
        log_sum[g] = splat((real)log(sum[g]));
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        EACH_ROW
            store(y + g * ldy + i, (load(x + g * ldx + i) - max[g]) - log_sum[g]);
    if (i < n)
        EACH_ROW
            store_part(y + g * ldy + i, n - i,
                       (load_part(x + g * ldx + i, n - i, 0) - max[g]) - log_sum[g]);
}

/* sum_j dy_j y_j of each row, or sum_j dy_j if y is NULL: in chunks as above, each of DOT_CHAINS
 * independent sums. next, next2: rows to prefetch, or NULL. */
INLINE void group_dot(const int rows, int64_t n, const real *dy, int64_t lddy, const real *y,
                      int64_t ldy, double *sum, const real *next, const real *next2) {
    EACH_ROW
        sum[g] = 0;
    for (int64_t start = 0; start < n; start += CHUNK * LANES) {
        const int64_t stop = n - start < CHUNK * LANES ? n : start + CHUNK * LANES;
        vec part[GROUP][DOT_CHAINS];
        EACH_ROW {
            UNROLL for (int u = 0; u < DOT_CHAINS; u++)
                part[g][u] = (vec){0};
        }
        int64_t i = start;
        for (; i + DOT_CHAINS * LANES <= stop; i += DOT_CHAINS * LANES) {
            UNROLL for (int u = 0; u < DOT_CHAINS; u++) {
                const int64_t at = i + u * LANES;
                if (next) __builtin_prefetch(next + at);
                if (next2) __builtin_prefetch(next2 + at);
                EACH_ROW
                    part[g][u] += y ? rounded(load(dy + g * lddy + at) * load(y + g * ldy + at))
                                    : load(dy + g * lddy + at);
            }
        }
        for (; i + LANES <= stop; i += LANES)
            EACH_ROW
                part[g][0] += y ? rounded(load(dy + g * lddy + i) * load(y + g * ldy + i))
                                : load(dy + g * lddy + i);
        if (i < stop)
            EACH_ROW {
                const vec d = load_part(dy + g * lddy + i, stop - i, 0);
                part[g][0] += y ? rounded(d * load_part(y + g * ldy + i, stop - i, 0)) : d;
            }
        EACH_ROW
            sum[g] += (double)sum_lanes((part[g][0] + part[g][1]) + (part[g][2] + part[g][3]));
    }
}

/* dx_j from dy_j, y_j and the sum over the row. */
INLINE vec softmax_slope(int log_, vec dy, vec y, vec sum) {
    return log_ ? dy - rounded(exp_negative(y) * sum) : y * (dy - sum);
}

/* The gradient of n < LANES elements of a row. */
INLINE void softmax_slope_part(int log_, int64_t n, const real *dy, const real *y, vec sum,
                               real *dx) {
    store_part(dx, n, softmax_slope(log_, load_part(dy, n, 0), load_part(y, n, 0), sum));
}

/* past_caches: non-temporal stores where the rows of dx allow them, and each pass prefetches its
 * input of the rows `ahead`: a row waits for its sum, and no other reads would be in flight
 * meanwhile. Which pass prefetches y is measured (docs/tuning.md, "Row kernels"). */
INLINE void softmax_backward_group(const int log_, const int rows, int64_t n, const real *dy,
                                   int64_t lddy, const real *y, int64_t ldy, real *dx, int64_t lddx,
                                   const int past_caches, int64_t ahead) {
    double sum[GROUP];
    vec total[GROUP];
    group_dot(rows, n, dy, lddy, log_ ? NULL : y, ldy, sum, past_caches ? dy + ahead * lddy : NULL,
              past_caches && !log_ ? y + ahead * ldy : NULL);
    EACH_ROW
        total[g] = splat((real)sum[g]);
    int64_t i = past_caches ? until_aligned(dx, n) : 0;
    const int streamed = past_caches && can_stream_rest(dx, rows, n, lddx);
    if (i)
        EACH_ROW
            softmax_slope_part(log_, i, dy + g * lddy, y + g * ldy, total[g], dx + g * lddx);
    for (; i + LANES <= n; i += LANES) {
        if (past_caches && log_) __builtin_prefetch(y + ahead * ldy + i);
        EACH_ROW
            store_to(dx + g * lddx + i,
                     softmax_slope(log_, load(dy + g * lddy + i), load(y + g * ldy + i), total[g]),
                     streamed);
    }
    if (i < n)
        EACH_ROW
            softmax_slope_part(log_, n - i, dy + g * lddy + i, y + g * ldy + i, total[g],
                               dx + g * lddx + i);
}

/* Prefetch distance in rows: about 4 KiB. Rows below STREAMED_ROW bytes are not streamed: too many
 * of their cache lines would be stored in two halves. */
enum { STREAMED_ROW = 1024 };
INLINE int64_t rows_ahead(int64_t n) { return 1 + 4095 / (n * (int64_t)sizeof(real)); }

INLINE void softmax_backward_rows(const int log_, const int past_caches, int64_t m, int64_t n,
                                  const real *dy, int64_t lddy, const real *y, int64_t ldy,
                                  real *dx, int64_t lddx) {
    const int64_t ahead = past_caches ? rows_ahead(n) : 0;
    int64_t i = 0;
#define ROWS(rows)                                                                              \
    softmax_backward_group(log_, rows, n, dy + i * lddy, lddy, y + i * ldy, ldy, dx + i * lddx, \
                           lddx, past_caches, ahead)
    for (; n <= GROUP_COLUMNS_BACKWARD && i + GROUP <= m; i += GROUP) ROWS(GROUP);
    for (; i < m; i++) ROWS(1);
#undef ROWS
    if (past_caches) stream_end();
}

/* y_j = exp(x_j - max x) / sum_j exp(x_j - max x) on m rows of n. past_caches, here and below: the
 * output is large and not an input. */
static void softmax_block(int64_t m, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy,
                          int past_caches) {
    FOR_GROUPS(m, n, n <= GROUP_COLUMNS, x, ldx, y, ldy, past_caches, i,
               softmax_group(ROWS, n, x + i * ldx, ldx, to, ldto));
}

/* dx_j = y_j (dy_j - sum_i dy_i y_i) */
static void softmax_backward_block(int64_t m, int64_t n, const real *dy, int64_t lddy,
                                   const real *y, int64_t ldy, real *dx, int64_t lddx,
                                   int past_caches) {
    if (past_caches && n * (int64_t)sizeof(real) >= STREAMED_ROW)
        softmax_backward_rows(0, 1, m, n, dy, lddy, y, ldy, dx, lddx);
    else
        softmax_backward_rows(0, 0, m, n, dy, lddy, y, ldy, dx, lddx);
}

/* y_j = (x_j - max x) - log sum_j exp(x_j - max x) */
static void log_softmax_block(int64_t m, int64_t n, const real *x, int64_t ldx, real *y,
                              int64_t ldy, int past_caches) {
    FOR_GROUPS(m, n, n <= GROUP_COLUMNS, x, ldx, y, ldy, past_caches, i,
               log_softmax_group(ROWS, n, x + i * ldx, ldx, to, ldto));
}

/* dx_j = dy_j - exp(y_j) sum_i dy_i */
static void log_softmax_backward_block(int64_t m, int64_t n, const real *dy, int64_t lddy,
                                       const real *y, int64_t ldy, real *dx, int64_t lddx,
                                       int past_caches) {
    if (past_caches && n * (int64_t)sizeof(real) >= STREAMED_ROW)
        softmax_backward_rows(1, 1, m, n, dy, lddy, y, ldy, dx, lddx);
    else
        softmax_backward_rows(1, 0, m, n, dy, lddy, y, ldy, dx, lddx);
}

#endif
