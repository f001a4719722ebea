/* dots.h: a tile of C as dot products along k, for contiguous rows of A and columns of B. No lane
 * is wasted if C is narrow.
 *
 * The accumulators, rows * columns of them, stay in registers. LANES of them are reduced together
 * by a tree of butterfly shuffles: three instructions per two accumulators, instead of two for each
 * halving of each accumulator.
 */
#ifndef FASTNN_DOTS_H
#define FASTNN_DOTS_H

#include "gemm.h"
#include "pack.h"
#include "tile.h"

/* Limits of a tile. Instruction sets with 32 registers define larger ones. */
#define DOT_ROWS 4
#ifndef DOT_TILE
#define DOT_TILE 8
#define DOT_COLUMNS 4
#endif

/* Lane l of the result is the sum of the lanes of r[l]. */
#define SUM_STAGE(r, s)                                                  \
    if (s < LANES) {                                                     \
        UNROLL for (int i = 0; i < LANES; i++)                           \
            if (!(i & (2 * s - 1))) {                                    \
                EXCHANGE(vec, ivec, LANES, r[i], r[(i + s) % LANES], s); \
                r[i] += r[(i + s) % LANES];                              \
            }                                                            \
    }
INLINE vec sum_each(vec r[LANES]) {
    SUM_STAGE(r, 1)
    SUM_STAGE(r, 2)
    SUM_STAGE(r, 4)
    SUM_STAGE(r, 8)
    return r[0];
}

INLINE void dots(const int rows, const int columns, int64_t k, const real *restrict a, int64_t rsa,
                 const real *restrict b, int64_t csb, real *sums) {
    enum { ROUNDED = (DOT_TILE + LANES - 1) / LANES * LANES };
    vec acc[ROUNDED];
    UNROLL for (int t = 0; t < ROUNDED; t++)
        acc[t] = (vec){0};
    int64_t p = 0;
    for (; p + LANES <= k; p += LANES) {
        vec av[DOT_ROWS];
        UNROLL for (int i = 0; i < rows; i++)
            av[i] = load(a + i * rsa + p);
        UNROLL for (int j = 0; j < columns; j++) {
            const vec bv = load(b + j * csb + p);
            UNROLL for (int i = 0; i < rows; i++)
                acc[i * columns + j] += av[i] * bv;
        }
    }
    if (p < k) {
        vec av[DOT_ROWS];
        UNROLL for (int i = 0; i < rows; i++)
            av[i] = load_part(a + i * rsa + p, k - p, 0);
        UNROLL for (int j = 0; j < columns; j++) {
            const vec bv = load_part(b + j * csb + p, k - p, 0);
            UNROLL for (int i = 0; i < rows; i++)
                acc[i * columns + j] += av[i] * bv;
        }
    }
    UNROLL for (int t = 0; t < ROUNDED; t += LANES)
        if (t < rows * columns) store(sums + t, sum_each(acc + t));
}

/* out[j * k + p] = b[p * rsb + j]: transpose rows of B, n <= LANES long, into columns. */
static void pack_columns(int64_t k, int64_t n, const real *b, int64_t rsb, real *out) {
    int64_t p = 0;
    for (; p + LANES <= k; p += LANES) {
        vec r[LANES];
        UNROLL for (int i = 0; i < LANES; i++)
            r[i] = load_part(b + (p + i) * rsb, n, 0);
        TRANSPOSE(vec, ivec, LANES, r);
        UNROLL for (int j = 0; j < LANES; j++)
            if (j < n) store(out + j * k + p, r[j]);
    }
    for (; p < k; p++)
        for (int64_t j = 0; j < n; j++) out[j * k + p] = b[p * rsb + j];
}

/* C := act(alpha A B + beta C + bias) for C (m x n) with any strides, m <= DOT_ROWS, n <=
 * DOT_COLUMNS and m n <= DOT_TILE. As gemm_tile, but rows of A and columns of B are contiguous, rsa
 * and csb apart. */
static void gemm_dots(int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t rsa,
                      const real *b, int64_t csb, real beta, real *c, int64_t rsc, int64_t csc,
                      const real *bias, int activation, real *preact) {
    real sums[DOT_TILE + LANES];
#define DOTS(rows, columns) \
    case rows * 8 + columns: dots(rows, columns, k, a, rsa, b, csb, sums); break;
    switch (m * 8 + n) {
        DOTS(1, 1)
        DOTS(1, 2)
        DOTS(1, 3)
        DOTS(1, 4)
        DOTS(2, 1)
        DOTS(2, 2)
        DOTS(2, 3)
        DOTS(2, 4)
        DOTS(3, 1)
        DOTS(3, 2)
        DOTS(4, 1)
        DOTS(4, 2)
#if DOT_TILE == 16
        DOTS(1, 5)
        DOTS(2, 5)
        DOTS(3, 3)
        DOTS(3, 4)
        DOTS(3, 5)
        DOTS(4, 3)
        DOTS(4, 4)
#endif
    default: return; /* see the limits above */
    }
#undef DOTS
    const int last = activation != FASTNN_ACT_NONE || preact;
    if (!last && csc == 1 && n <= LANES) {
        for (int64_t i = 0; i < m; i++) {
            vec v = alpha * load_part(sums + i * n, n, 0);
            if (beta != 0) v += beta * load_part(c + i * rsc, n, 0);
            if (bias) v += load_part(bias, n, 0);
            store_part(c + i * rsc, n, v);
        }
        return;
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            real v = alpha * sums[i * n + j];
            if (beta != 0) v += beta * c[i * rsc + j * csc];
            if (bias) v += bias[j];
            if (last)
                sums[i * n + j] = v;
            else
                c[i * rsc + j * csc] = v;
        }
    if (!last) return;
    if (preact) copy_tile(m, n, sums, n, 1, preact, rsc, csc);
    activate_block(activation, m, n, sums, n);
    copy_tile(m, n, sums, n, 1, c, rsc, csc);
}

#endif
