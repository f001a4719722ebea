/* activation.h: activations, their derivatives, and the leaves that run them over rows.
 *
 * z is the pre-activation, y = act(z). What backward needs ("saved") is y for ReLU, tanh, sigmoid and softplus, z for the others.
 */
#ifndef FASTNN_ACTIVATION_H
#define FASTNN_ACTIVATION_H

#include "gelu.h"
#include "leaves.h"
#include "stream.h"
#include "vec.h"
#include "vecmath.h"

/* gelu_tanh(z) = z sigmoid(z (GELU_A + GELU_B z^2)): 1 + tanh(u) = 2 sigmoid(2u), u = sqrt(2 / pi) (z + 0.044715 z^3). */
#define GELU_A ((real)1.5957691216057308)
#define GELU_B ((real)0.07135481627260025)

/* act(z). GELU and SiLU are z F(z), F the distribution function of the normal or the logistic distribution, computed as max(z, 0) - |z| F(-|z|): that
 * is accurate wherever it does not underflow, and 0 at -inf. Beyond the bounds put on |z| the tail is 0, but inf would meet it. */
INLINE vec activate(const int kind, vec z) {
    const vec size = abs_vec(z), positive = at_least(z, 0); /* -0 stays -0 */
    switch (kind) {
    case FASTNN_ACT_RELU: return relu_vec(z);
    case FASTNN_ACT_GELU: return positive - gelu_tail(size);
    case FASTNN_ACT_GELU_TANH: {
        const vec t = at_most(size, -EXP_SMALLEST);
        return positive - times_logistic_tail(t, at_most(t * (GELU_A + GELU_B * (t * t)), -EXP_SMALLEST));
    }
    case FASTNN_ACT_SILU: {
        const vec t = at_most(size, -EXP_SMALLEST);
        return positive - times_logistic_tail(t, t);
    }
    case FASTNN_ACT_TANH: return tanh_vec(z);
    case FASTNN_ACT_SIGMOID: return sigmoid_vec(z);
    case FASTNN_ACT_SOFTPLUS: return softplus_vec(z);
    default: return z;
    }
}

/* d/dz of z sigmoid(x) for x of the sign of z, by the sizes of x and of z dx/dz: s (1 + z dx/dz (1 - s)), s = sigmoid(x). */
INLINE vec gated_slope(vec z, vec x_size, vec zdx_size) {
    const vec small = times_logistic_tail(splat(1), x_size), large = 1 - small;
    return choose(z < 0, small * (1 - zdx_size * large), large * (1 + zdx_size * small));
}

/* act'(z) from what is saved. Beyond the bounds put on z it has reached its limit; inf would meet 0. */
INLINE vec activation_slope(const int kind, vec saved) {
    const vec size = abs_vec(saved), one = splat(1);
    switch (kind) {
    case FASTNN_ACT_RELU: return choose(saved <= 0, (vec){0}, one);
    case FASTNN_ACT_GELU: { /* Phi(z) + z phi(z) */
        const vec d = gelu_tail_slope(size);
        return choose(saved < 0, d, 1 - d);
    }
    case FASTNN_ACT_GELU_TANH: {
        const vec t = at_most(size, -EXP_SMALLEST), square = t * t;
        return gated_slope(saved, at_most(t * (GELU_A + GELU_B * square), -EXP_SMALLEST), t * (GELU_A + 3 * GELU_B * square));
    }
    case FASTNN_ACT_SILU: {
        const vec t = at_most(size, -EXP_SMALLEST);
        return gated_slope(saved, t, t);
    }
    case FASTNN_ACT_TANH: return (1 - saved) * (1 + saved);
    case FASTNN_ACT_SIGMOID: return saved * (1 - saved);
    case FASTNN_ACT_SOFTPLUS: return one_minus_exp(saved); /* sigmoid(z) = 1 - exp(-softplus(z)) */
    default: return one;
    }
}

/* dy act'(z). ReLU selects: where its derivative is 0 an infinite or NaN dy does not come through. */
INLINE vec activation_gradient(const int kind, vec dy, vec saved) {
    if (kind == FASTNN_ACT_NONE) return dy;
    if (kind == FASTNN_ACT_RELU) return choose(saved <= 0, (vec){0}, dy);
    return dy * activation_slope(kind, saved);
}

INLINE void forward_rows(const int kind, int64_t m, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy, int past_caches) {
    for (int64_t i = 0; i < m; i++, x += ldx, y += ldy) {
        int64_t j = until_aligned(y, n);
        const int streamed = past_caches && can_stream_rest(y, 1, n, 0);
        if (j) store_part(y, j, activate(kind, load_part(x, j, 0)));
        for (; j + LANES <= n; j += LANES) {
            if (streamed) fetch_ahead(x + j);
            store_to(y + j, activate(kind, load_once(x + j)), streamed);
        }
        if (j < n) store_part(y + j, n - j, activate(kind, load_part(x + j, n - j, 0)));
    }
}

/* n of them, at most a vector; see activation_backward. */
INLINE void backward_part(const int kind, int64_t m, int64_t n, const real *dy, int64_t lddy, const real *saved, int64_t ldsaved, real *dx,
                          int64_t lddx, real *sums) {
    vec sum = {0};
    for (int64_t i = 0; i < m; i++) {
        const vec s = kind ? load_part(saved + i * ldsaved, n, 0) : (vec){0};
        const vec d = activation_gradient(kind, load_part(dy + i * lddy, n, 0), s);
        if (dx) store_part(dx + i * lddx, n, d);
        sum += d;
    }
    if (sums) store_part(sums, n, sum);
}

INLINE void backward_rows(const int kind, int64_t m, int64_t n, const real *dy, int64_t lddy, const real *saved, int64_t ldsaved, real *dx,
                          int64_t lddx, real *sums, int past_caches) {
    const int streamed = past_caches && dx && can_stream_rest(dx, m, n, lddx);
    const int64_t first = dx ? until_aligned(dx, n) : 0, rest = (n - first) % LANES, last = n - rest;
    if (sums) memset(sums, 0, (size_t)n * sizeof(real));
    if (first) backward_part(kind, m, first, dy, lddy, saved, ldsaved, dx, lddx, sums);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = first; j < last; j += LANES) {
            if (streamed) {
                fetch_ahead(dy + i * lddy + j);
                if (kind) fetch_ahead(saved + i * ldsaved + j);
            }
            const vec d = activation_gradient(kind, load_once(dy + i * lddy + j), kind ? load_once(saved + i * ldsaved + j) : (vec){0});
            if (dx) store_to(dx + i * lddx + j, d, streamed);
            if (sums) store(sums + j, load(sums + j) + d);
        }
    }
    if (rest) backward_part(kind, m, rest, dy + last, lddy, kind ? saved + last : saved, ldsaved, dx ? dx + last : dx, lddx, sums ? sums + last : sums);
}

/* One loop for each kind, in which the kind is the constant KIND. */
#define KIND_CASE(code, loop)                                                                                                                        \
    case code: {                                                                                                                                     \
        enum { KIND = code };                                                                                                                        \
        loop;                                                                                                                                        \
        break;                                                                                                                                       \
    }
#define FOR_KIND(kind, loop)                                                                                                                         \
    switch (kind) {                                                                                                                                  \
        KIND_CASE(FASTNN_ACT_NONE, loop)                                                                                                             \
        KIND_CASE(FASTNN_ACT_RELU, loop)                                                                                                             \
        KIND_CASE(FASTNN_ACT_GELU, loop)                                                                                                             \
        KIND_CASE(FASTNN_ACT_GELU_TANH, loop)                                                                                                        \
        KIND_CASE(FASTNN_ACT_TANH, loop)                                                                                                             \
        KIND_CASE(FASTNN_ACT_SIGMOID, loop)                                                                                                          \
        KIND_CASE(FASTNN_ACT_SILU, loop)                                                                                                             \
        KIND_CASE(FASTNN_ACT_SOFTPLUS, loop)                                                                                                         \
    }

/* y = act(x) on m rows of n; y may be x. past_caches: y is large and not x (stream.h). */
static __attribute__((noinline)) void activation(int kind, int64_t m, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy, int past_caches) {
    FOR_KIND(kind, forward_rows(KIND, m, n, x, ldx, y, ldy, past_caches))
    if (past_caches) stream_end();
}

/* c = act(c), for the tile that a matrix product has just stored. */
static inline void activate_block(int kind, int64_t m, int64_t n, real *c, int64_t ldc) { activation(kind, m, n, c, ldc, c, ldc, 0); }

/* dx = dy act'(saved) on m rows of n, and sums_j = sum over the rows of dx_ij, in their order. dx may be dy or saved; dx or sums may be NULL, and
 * saved for FASTNN_ACT_NONE. past_caches as above. */
static void activation_backward(int kind, int64_t m, int64_t n, const real *dy, int64_t lddy, const real *saved, int64_t ldsaved, real *dx,
                                int64_t lddx, real *sums, int past_caches) {
    FOR_KIND(kind, backward_rows(KIND, m, n, dy, lddy, saved, ldsaved, dx, lddx, sums, past_caches))
    if (past_caches) stream_end();
}

#endif
