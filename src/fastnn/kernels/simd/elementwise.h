/* elementwise.h: primitives on flat runs, as plain loops that the compiler vectorizes. x and y may
 * be the same array. */
#ifndef FASTNN_ELEMENTWISE_H
#define FASTNN_ELEMENTWISE_H

#include "vec.h"

static void scale_run(int64_t n, real factor, real *x) {
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

static void add_run(int64_t n, const real *x, real *y) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

#endif
