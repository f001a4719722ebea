#ifndef FASTNN_ACTIVATION_H
#define FASTNN_ACTIVATION_H
#include "vec.h"
static void activate_block(int kind, int64_t m, int64_t n, real *c, int64_t ldc) {
    if (kind == FASTNN_ACT_RELU)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) c[i * ldc + j] = c[i * ldc + j] <= 0 ? 0 : c[i * ldc + j];
}
#endif
