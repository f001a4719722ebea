/* additive.h: additive (Bahdanau) scores s_j = sum_c w_c tanh(q_c + k_jc) of one query with its
 * keys, and their backward pass. */
#ifndef FASTNN_ADDITIVE_H
#define FASTNN_ADDITIVE_H

#include "vec.h"
#include "vecmath.h"

static void additive_scores(int64_t keys, int64_t n, const real *q, const real *k, int64_t ldk,
                            const real *w, real *s) {
    for (int64_t j = 0; j < keys; j++) {
        const real *row = k + j * ldk;
        vec sum = {0};
        int64_t c = 0;
        for (; c + LANES <= n; c += LANES)
            sum += load(w + c) * tanh_vec(load(q + c) + load(row + c));
        if (c < n)
            sum += load_part(w + c, n - c, 0) *
                   tanh_vec(load_part(q + c, n - c, 0) + load_part(row + c, n - c, 0));
        s[j] = sum_lanes(sum);
    }
}

/* Backward pass for one vector of columns, or its first `part` lanes. With t = tanh(q + k_j):
 * dw += sum_j ds_j t,   dk_j += ds_j w (1 - t^2),   dq += sum_j ds_j w (1 - t^2). */
INLINE void additive_columns(int64_t keys, const int64_t part, const real *ds, const real *q,
                             const real *k, int64_t ldk, const real *w, real *dq, real *dk,
                             int64_t lddk, real *dw) {
#define LOAD(p) (part == LANES ? load(p) : load_part(p, part, 0))
#define STORE(p, v) (part == LANES ? store(p, v) : store_part(p, part, v))
    const vec qv = LOAD(q), wv = LOAD(w);
    vec sum_t = {0}, sum_g = {0};
    for (int64_t j = 0; j < keys; j++) {
        if (ds[j] == 0) continue; /* masked key: it may hold NaN */
        const vec t = tanh_vec(qv + LOAD(k + j * ldk)), g = ds[j] * (1 - t * t);
        sum_t += ds[j] * t;
        sum_g += g;
        STORE(dk + j * lddk, LOAD(dk + j * lddk) + wv * g);
    }
    STORE(dq, LOAD(dq) + wv * sum_g);
    STORE(dw, LOAD(dw) + sum_t);
#undef LOAD
#undef STORE
}

/* Add the gradients of one query to dq, dk and dw, each n columns wide. */
static void additive_scores_backward(int64_t keys, int64_t n, const real *ds, const real *q,
                                     const real *k, int64_t ldk, const real *w, real *dq, real *dk,
                                     int64_t lddk, real *dw) {
    int64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        additive_columns(keys, LANES, ds, q + c, k + c, ldk, w + c, dq + c, dk + c, lddk, dw + c);
    if (c < n)
        additive_columns(keys, n - c, ds, q + c, k + c, ldk, w + c, dq + c, dk + c, lddk, dw + c);
}

#endif
