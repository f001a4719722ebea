/* attention_few.h: decode: attention of one or a few queries to many keys. Each key is read once
 * and K and V are not packed. */
#ifndef FASTNN_ATTENTION_FEW_H
#define FASTNN_ATTENTION_FEW_H

#include "attention.h"
#include "gemv.h"

enum {
    FEW_KEYS = 64,     /* keys that stay in the L1 cache from one query to the next */
    FETCH_AHEAD = 4096 /* prefetch distance in bytes */
};

INLINE void fetch_row(const real *x, int64_t n, int64_t ahead) {
    for (int64_t c = 0; c < n; c += 64 / (int64_t)sizeof(real)) __builtin_prefetch(x + ahead + c);
}

/* Scores of one query with `count` <= LANES keys: one vector of partial sums per key, reduced
 * together. Lanes from `count` on repeat the last key. */
INLINE vec scores_of_keys(const int64_t count, int64_t d, const real *q, const real *k,
                          int64_t ldk) {
    vec sums[LANES];
    UNROLL for (int j = 0; j < LANES; j++)
        sums[j] = (vec){0};
    int64_t c = 0;
    for (; c + LANES <= d; c += LANES) {
        const vec qv = load(q + c);
        UNROLL for (int j = 0; j < LANES; j++)
            sums[j] += qv * load(k + smaller(j, count - 1) * ldk + c);
    }
    if (c < d) {
        const vec qv = load_part(q + c, d - c, 0);
        UNROLL for (int j = 0; j < LANES; j++)
            sums[j] += qv * load_part(k + smaller(j, count - 1) * ldk + c, d - c, 0);
    }
    return sum_each(sums);
}

/* S := Q K^T, whole vectors of each row. Rows of q are d apart and already scaled. */
static void attention_few_scores(int64_t rows, int64_t keys, int64_t d, const real *q,
                                 const real *k, int64_t ldk, real *s, int64_t lds) {
    const int64_t ahead = FETCH_AHEAD / (int64_t)sizeof(real) / (d > 0 ? d : 1) * ldk;
    int64_t j = 0;
    for (; j + LANES <= keys; j += LANES) {
        for (int64_t r = 0; r < LANES; r++) fetch_row(k + (j + r) * ldk, d, ahead);
        for (int64_t i = 0; i < rows; i++)
            store(s + i * lds + j, scores_of_keys(LANES, d, q + i * d, k + j * ldk, ldk));
    }
    for (int64_t i = 0; j < keys && i < rows; i++)
        store(s + i * lds + j, scores_of_keys(keys - j, d, q + i * d, k + j * ldk, ldk));
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
