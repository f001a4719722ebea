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

/* Vectors summed in the real type before their sum is added in double: the error of a long row then does not grow with its length. */
enum { CHUNK = 64 };

/* y = exp(x - max); returns the sum. NaN anywhere, a +inf, or a row of nothing but -inf makes the sum NaN. */
static double exp_row(int64_t n, const real *x, real max, real *y) {
    double sum = 0;
    for (int64_t start = 0; start < n; start += CHUNK * LANES) {
        const int64_t stop = n - start < CHUNK * LANES ? n : start + CHUNK * LANES;
        vec part = {0};
        int64_t i = start;
        for (; i + LANES <= stop; i += LANES) {
            const vec e = exp_vec(load(x + i) - max);
            store(y + i, e);
            part += e;
        }
        if (i < stop) {
            const vec e = exp_vec(load_part(x + i, stop - i, (real)-INFINITY) - max); /* a filled lane adds 0, or NaN to what is NaN */
            store_part(y + i, stop - i, e);
            part += e;
        }
        sum += (double)sum_lanes(part);
    }
    return sum;
}

/* y_j = exp(x_j - max x) / sum_j exp(x_j - max x). */
static void softmax(int64_t n, const real *x, real *y) {
    const real inverse = (real)(1 / exp_row(n, x, row_max(n, x), y));
    for (int64_t i = 0; i < n; i++) y[i] *= inverse;
}

/* sum_j x_j y_j, in chunks as above. */
static double dot(int64_t n, const real *x, const real *y) {
    double sum = 0;
    for (int64_t start = 0; start < n; start += CHUNK * LANES) {
        const int64_t stop = n - start < CHUNK * LANES ? n : start + CHUNK * LANES;
        vec part = {0};
        int64_t i = start;
        for (; i + LANES <= stop; i += LANES) part += load(x + i) * load(y + i);
        if (i < stop) part += load_part(x + i, stop - i, 0) * load_part(y + i, stop - i, 0);
        sum += (double)sum_lanes(part);
    }
    return sum;
}

/* dx_j = y_j (dy_j - sum_j dy_j y_j). */
static void softmax_backward(int64_t n, const real *dy, const real *y, real *dx) {
    const real mean = (real)dot(n, dy, y);
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - mean);
}

/* dlogits = factor (softmax(logits) - onehot(target)); returns -log softmax(logits)[target] = log sum_j exp(x_j - max) - (x_target - max). */
static double cross_entropy(int64_t n, const real *logits, int64_t target, double factor, real *dlogits) {
    const real max = row_max(n, logits);
    const double shifted = (double)logits[target] - (double)max;
    const double sum = exp_row(n, logits, max, dlogits);
    const real weight = (real)(factor / sum);
    for (int64_t i = 0; i < n; i++) dlogits[i] *= weight;
    dlogits[target] -= (real)factor;
    return log(sum) - shifted;
}

#endif
