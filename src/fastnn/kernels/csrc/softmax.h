/* softmax.h: rows of softmax, its backward, and softmax with cross entropy. The output may be the input. */
#ifndef FASTNN_SOFTMAX_H
#define FASTNN_SOFTMAX_H

#include "vec.h"
#include "vecmath.h"

static real row_max(int64_t n, const real *x) {
    vec m = splat((real)-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vec v = load(x + i);
        m = choose(v > m, v, m);
    }
    if (i < n) {
        const vec v = load_part(x + i, n - i, (real)-INFINITY);
        m = choose(v > m, v, m);
    }
    return max_lanes(m);
}

/* y = exp(x - max); returns the sum. NaN anywhere, a +inf, or a row of nothing but -inf makes the sum NaN. */
static real exp_row(int64_t n, const real *x, real max, real *y) {
    vec sum = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vec e = exp_vec(load(x + i) - max);
        store(y + i, e);
        sum += e;
    }
    if (i < n) {
        const vec e = exp_vec(load_part(x + i, n - i, (real)-INFINITY) - max); /* a filled lane adds 0, or NaN to what is NaN */
        store_part(y + i, n - i, e);
        sum += e;
    }
    return sum_lanes(sum);
}

/* y_j = exp(x_j - max x) / sum_j exp(x_j - max x). */
static void softmax(int64_t n, const real *x, real *y) {
    const real sum = exp_row(n, x, row_max(n, x), y);
    const real inverse = 1 / sum;
    for (int64_t i = 0; i < n; i++) y[i] *= inverse;
}

/* dx_j = y_j (dy_j - sum_j dy_j y_j). */
static void softmax_backward(int64_t n, const real *dy, const real *y, real *dx) {
    vec sum = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) sum += load(dy + i) * load(y + i);
    if (i < n) sum += load_part(dy + i, n - i, 0) * load_part(y + i, n - i, 0);
    const real dot = sum_lanes(sum);
    for (i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - dot);
}

/* dlogits = factor (softmax(logits) - onehot(target)); returns -log softmax(logits)[target] = log sum_j exp(x_j - max) - (x_target - max). */
static double cross_entropy(int64_t n, const real *logits, int64_t target, double factor, real *dlogits) {
    const real max = row_max(n, logits);
    const double shifted = (double)logits[target] - (double)max;
    const real sum = exp_row(n, logits, max, dlogits);
    const real weight = (real)(factor / (double)sum);
    for (int64_t i = 0; i < n; i++) dlogits[i] *= weight;
    dlogits[target] -= (real)factor;
    return log((double)sum) - shifted;
}

#endif
