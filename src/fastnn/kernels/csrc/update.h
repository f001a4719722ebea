/* update.h: one pass over parameters, gradients and moments for a step of an optimizer. The scalars are hoisted by update.pyx. */
#ifndef FASTNN_UPDATE_H
#define FASTNN_UPDATE_H

#include "leaves.h"
#include "vec.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
typedef struct JOIN(fastnn_adam_, SUFFIX) adam_step;

/* d = grad_scale g + weight_decay p; with momentum m = momentum m + d and d = m (or d + momentum m: Nesterov); p -= lr d. m is NULL without momentum. */
static void sgd(int64_t n, real *p, const real *g, real *m, real lr, real momentum, int nesterov, real weight_decay, real grad_scale) {
    if (!m) {
        for (int64_t i = 0; i < n; i++) p[i] -= lr * (grad_scale * g[i] + weight_decay * p[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const real d = grad_scale * g[i] + weight_decay * p[i];
        m[i] = momentum * m[i] + d;
        p[i] -= lr * (nesterov ? d + momentum * m[i] : m[i]);
    }
}

/* Kingma and Ba (2015); l2 adds weight decay to the gradient (Adam), keep = 1 - lr weight_decay shrinks p itself (AdamW, Loshchilov and Hutter 2019). */
static void adam(int64_t n, real *restrict p, const real *restrict g, real *restrict m, real *restrict v, const adam_step *step) {
    const adam_step s = *step;
    for (int64_t i = 0; i < n; i++) {
        const real d = s.grad_scale * g[i] + s.l2 * p[i];
        m[i] = s.beta1 * m[i] + s.one_minus_beta1 * d;
        v[i] = s.beta2 * v[i] + s.one_minus_beta2 * (d * d);
#if FASTNN_REAL == 32
        const real root = sqrtf(v[i]);
#else
        const real root = sqrt(v[i]);
#endif
        p[i] = s.keep * p[i] - s.step_size * m[i] / (root * s.inv_sqrt_correction2 + s.eps);
    }
}

#endif
