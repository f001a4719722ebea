/* gemv.h: one row times a matrix that is read once, in place, at the speed of memory. The order of
 * every sum depends on k alone. */
#ifndef FASTNN_GEMV_H
#define FASTNN_GEMV_H

#include "activation.h"
#include "dots.h"
#include "vec.h"

enum {
    /* Rows per pass over y. */
    GEMV_ROWS = 8,
    /* Columns read side by side: enough to use the memory bandwidth, few enough for the hardware
     * prefetchers (docs/tuning.md). */
    GEMV_COLUMNS = 4
};
enum { FOLD = 1024 }; /* maximum terms of a chain; see ground/sums.pxd and docs/tuning.md */

/* y += sum over rows of x_r b_r for the first n < LANES columns. */
INLINE void add_part(const int rows, int64_t n, const real *x, const real *b, int64_t ldb,
                     real *restrict y) {
    vec v = load_part(y, n, 0);
    UNROLL for (int r = 0; r < rows; r++)
        v += x[r] * load_part(b + r * ldb, n, 0);
    store_part(y, n, v);
}

/* y += sum over `rows` <= GEMV_ROWS rows of x_r b_r. Loads of b are aligned if all its rows can
 * be: a load that crosses a cache line costs two. A column has the same sum wherever the vectors
 * begin. */
INLINE void add_rows(const int rows, int64_t n, const real *x, const real *b, int64_t ldb,
                     real *restrict y) {
    int64_t j = ldb % LANES ? 0 : -(int64_t)((uintptr_t)b / sizeof(real)) & (LANES - 1);
    if (j > n) j = n;
    if (j > 0) add_part(rows, j, x, b, ldb, y);
    for (; j + LANES <= n; j += LANES) {
        vec v = load(y + j);
        UNROLL for (int r = 0; r < rows; r++)
            v += x[r] * load(b + r * ldb + j);
        store(y + j, v);
    }
    if (j < n) add_part(rows, n - j, x, b + j, ldb, y + j);
}

/* y_j = sum_p x_p b_pj with contiguous rows of b. y (n) stays in the L1 cache while b streams
 * by. */
static void gemv_rows(int64_t k, int64_t n, const real *x, const real *b, int64_t ldb, real *y) {
    memset(y, 0, (size_t)n * sizeof(real));
    int64_t p = 0;
    for (; p + GEMV_ROWS <= k; p += GEMV_ROWS) add_rows(GEMV_ROWS, n, x + p, b + p * ldb, ldb, y);
    for (; p < k; p++) add_rows(1, n, x + p, b + p * ldb, ldb, y);
}

/* The lanes of sums[c] add up to the dot product of x with column c of b, computed in `chains`
 * chains. */
INLINE void dot_run(const int columns, const int chains, int64_t k, const real *x, const real *b,
                    int64_t ldb, vec *sums) {
    vec acc[GEMV_COLUMNS][4];
    UNROLL for (int c = 0; c < columns; c++) {
        UNROLL for (int u = 0; u < chains; u++)
            acc[c][u] = (vec){0};
    }
    int64_t p = 0;
    for (; p + chains * LANES <= k; p += chains * LANES) {
        UNROLL for (int u = 0; u < chains; u++) {
            const vec xv = load(x + p + u * LANES);
            UNROLL for (int c = 0; c < columns; c++)
                acc[c][u] += xv * load(b + c * ldb + p + u * LANES);
        }
    }
    for (; p < k; p += LANES) {
        const int64_t rest = k - p < LANES ? k - p : LANES;
        const vec xv = load_part(x + p, rest, 0);
        UNROLL for (int c = 0; c < columns; c++)
            acc[c][0] += xv * load_part(b + c * ldb + p, rest, 0);
    }
    UNROLL for (int c = 0; c < columns; c++) {
        sums[c] = acc[c][0];
        UNROLL for (int u = 1; u < chains; u++)
            sums[c] += acc[c][u];
    }
}

/* dot_run for any k: no chain is longer than FOLD, and the sums of such runs are added in order. */
INLINE void dot_columns(const int columns, const int chains, int64_t k, const real *x,
                        const real *b, int64_t ldb, vec *sums) {
    const int64_t run = (int64_t)FOLD * chains * LANES;
    for (int64_t p = 0; p < k; p += run) {
        vec part[GEMV_COLUMNS];
        dot_run(columns, chains, k - p < run ? k - p : run, x + p, b + p, ldb, part);
        UNROLL for (int c = 0; c < columns; c++)
            sums[c] = p ? sums[c] + part[c] : part[c];
    }
}

/* y_j = sum_p x_p b_pj with contiguous x and columns of b, ldb apart. A matrix in cache is read as
 * one stream, column after column; a larger one as several (CACHED in docs/tuning.md). */
static void gemv_columns(int64_t k, int64_t n, int one_stream, const real *x, const real *b,
                         int64_t ldb, real *y) {
    for (int64_t j = 0; j < n; j += LANES) {
        const int64_t columns = n - j < LANES ? n - j : LANES;
        const real *bj = b + j * ldb;
        vec sums[LANES];
        int64_t c = 0;
        UNROLL for (int l = 0; l < LANES; l++)
            sums[l] = (vec){0};
        if (one_stream)
            for (; c < columns; c++) dot_columns(1, 4, k, x, bj + c * ldb, ldb, sums + c);
        for (; c + GEMV_COLUMNS <= columns; c += GEMV_COLUMNS)
            dot_columns(GEMV_COLUMNS, 2, k, x, bj + c * ldb, ldb, sums + c);
        for (; c < columns; c++) dot_columns(1, 2, k, x, bj + c * ldb, ldb, sums + c);
        const vec v = sum_each(sums);
        if (columns == LANES)
            store(y + j, v);
        else
            store_part(y + j, columns, v);
    }
}

/* c_j = act(alpha y_j + beta c_j + bias_j). Overwrites y. */
static void gemv_finish(int64_t n, real alpha, real *y, real beta, real *c, int64_t incc,
                        const real *bias, int64_t incbias, int activation, real *preact) {
    for (int64_t j = 0; j < n; j++) {
        real v = alpha * y[j];
        if (beta != 0) v += beta * c[j * incc];
        if (bias) v += bias[j * incbias];
        y[j] = v;
        if (preact) preact[j * incc] = v;
    }
    activate_block(activation, 1, n, y, n);
    for (int64_t j = 0; j < n; j++) c[j * incc] = y[j];
}

#endif
