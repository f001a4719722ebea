/* elementwise.h: leaves that work on flat runs. Plain loops: the compiler vectorises them as well as we could. x and y may be the same array. */
#ifndef FASTNN_ELEMENTWISE_H
#define FASTNN_ELEMENTWISE_H

#include "vec.h"

static void scale(int64_t n, real factor, real *x) {
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

static void add(int64_t n, const real *x, real *y) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

/* dpred = factor (pred - target); returns the sum of (pred - target)^2, summed in double over eight fixed lanes. */
static double mse(int64_t n, const real *pred, const real *target, double factor, real *dpred) {
    double sum[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) {
            const double d = (double)pred[i + l] - (double)target[i + l];
            dpred[i + l] = (real)(factor * d);
            sum[l] += d * d;
        }
    for (; i < n; i++) {
        const double d = (double)pred[i] - (double)target[i];
        dpred[i] = (real)(factor * d);
        sum[0] += d * d;
    }
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

#endif
