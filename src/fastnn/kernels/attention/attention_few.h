/* attention_few.h: decode: attention of one or a few queries to many keys. Each key is read once
 * and K and V are not packed. */
#ifndef FASTNN_ATTENTION_FEW_H
#define FASTNN_ATTENTION_FEW_H

#include "attention.h"

enum {
    FEW_KEYS = 64,     /* keys that stay in the L1 cache from one query to the next */
    FETCH_AHEAD = 4096 /* prefetch distance in bytes */
};

INLINE void fetch_row(const real *x, int64_t n, int64_t ahead) {
    for (int64_t c = 0; c < n; c += 64 / (int64_t)sizeof(real)) __builtin_prefetch(x + ahead + c);
}

/* S := alpha Q K^T for rows of q that are d apart, rounded as attention_scores does. */
static void attention_few_scores(int64_t rows, int64_t keys, int64_t d, real alpha, const real *q,
                                 const real *k, int64_t ldk, real *s, int64_t lds) {
    gemv_few(rows, keys, d, q, d, k, ldk, 1, s, lds);
    for (int64_t i = 0; i < rows; i++) scale_row(keys, alpha, s + i * lds);
}

/* O += P V; row i uses its first limit[i] keys. If `skip`, ignore zero weights, since 0 * NaN is
 * NaN. */
static void attention_few_values(int64_t rows, int64_t keys, int64_t dv, const real *p, int64_t ldp,
                                 const int64_t *limit, int skip, const real *v, int64_t ldv,
                                 real *o, int64_t ldo) {
    const int64_t ahead = FETCH_AHEAD / (int64_t)sizeof(real) / (dv > 0 ? dv : 1) * ldv;
    for (int64_t start = 0; start < keys; start += FEW_KEYS)
        for (int64_t i = 0; i < rows; i++) {
            const int64_t stop = smaller(start + FEW_KEYS, limit[i]);
            int64_t j = start;
            for (; !skip && j + GEMV_ROWS <= stop; j += GEMV_ROWS) {
                for (int64_t r = 0; i == 0 && r < GEMV_ROWS; r++)
                    fetch_row(v + (j + r) * ldv, dv, ahead);
                add_rows(GEMV_ROWS, dv, p + i * ldp + j, v + j * ldv, ldv, o + i * ldo);
            }
            for (; j < stop; j++)
                if (!skip || p[i * ldp + j] != 0)
                    add_rows(1, dv, p + i * ldp + j, v + j * ldv, ldv, o + i * ldo);
        }
}

#endif
