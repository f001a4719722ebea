/* activation.h: activations y = act(z), their derivatives, and the primitives that apply them to
 * rows. */
#ifndef FASTNN_ACTIVATION_H
#define FASTNN_ACTIVATION_H

#include "gelu.h"
#include "leaves.h"
#include "stream.h"
#include "vec.h"
#include "vecmath.h"

/* Two functions per activation of fastnn_activations.h: activate_NAME(z), and gradient_NAME(dy,
 * saved) = dy act'(z), where `saved` is z or y as the table says.
 *
 * GELU and SiLU are z F(z), with F the normal or the logistic distribution function, computed as
 * max(z, 0) - |z| F(-|z|): accurate until it underflows, and 0 at -inf. |z| is clamped where the
 * tail is 0 and the slope has reached its limit, since inf * 0 is NaN. at_least keeps the sign of
 * -0.
 */
INLINE vec activate_RELU(vec z) { return relu_vec(z); }

/* A select, not a product: an infinite or NaN dy must not leak where the derivative is 0. */
INLINE vec gradient_RELU(vec dy, vec y) { return choose(y <= 0, (vec){0}, dy); }

INLINE vec activate_GELU(vec z) { return at_least(z, 0) - gelu_tail(abs_vec(z)); }

/* Phi(z) + z phi(z) */
INLINE vec gradient_GELU(vec dy, vec z) {
    const vec d = gelu_tail_slope(abs_vec(z));
    return dy * choose(z < 0, d, 1 - d);
}

/* z sigmoid(z (GELU_A + GELU_B z^2)): 1 + tanh(u) = 2 sigmoid(2u) with u = sqrt(2 / pi) (z +
 * 0.044715 z^3). */
#define GELU_A ((real)1.5957691216057308)
#define GELU_B ((real)0.07135481627260025)
INLINE vec activate_GELU_TANH(vec z) {
    const vec t = at_most(abs_vec(z), -EXP_SMALLEST);
    const vec x = at_most(t * (GELU_A + GELU_B * (t * t)), -EXP_SMALLEST);
    return at_least(z, 0) - times_logistic_tail(t, x);
}

/* d/dz of z sigmoid(x) = s (1 + z dx/dz (1 - s)) with s = sigmoid(x), from |x| and |z dx/dz|; x has
 * the sign of z. */
INLINE vec gated_slope(vec z, vec x_size, vec zdx_size) {
    const vec small = times_logistic_tail(splat(1), x_size), large = 1 - small;
    return choose(z < 0, small * (1 - zdx_size * large), large * (1 + zdx_size * small));
}

INLINE vec gradient_GELU_TANH(vec dy, vec z) {
    const vec t = at_most(abs_vec(z), -EXP_SMALLEST), square = t * t;
    const vec x = at_most(t * (GELU_A + GELU_B * square), -EXP_SMALLEST);
    return dy * gated_slope(z, x, t * (GELU_A + 3 * GELU_B * square));
}

INLINE vec activate_TANH(vec z) { return tanh_vec(z); }
INLINE vec gradient_TANH(vec dy, vec y) { return dy * ((1 - y) * (1 + y)); }

INLINE vec activate_SIGMOID(vec z) { return sigmoid_vec(z); }
INLINE vec gradient_SIGMOID(vec dy, vec y) { return dy * (y * (1 - y)); }

INLINE vec activate_SILU(vec z) {
    const vec t = at_most(abs_vec(z), -EXP_SMALLEST);
    return at_least(z, 0) - times_logistic_tail(t, t);
}

INLINE vec gradient_SILU(vec dy, vec z) {
    const vec t = at_most(abs_vec(z), -EXP_SMALLEST);
    return dy * gated_slope(z, t, t);
}

INLINE vec activate_SOFTPLUS(vec z) { return softplus_vec(z); }

/* sigmoid(z) = 1 - exp(-softplus(z)) */
INLINE vec gradient_SOFTPLUS(vec dy, vec y) { return dy * one_minus_exp(y); }

/* Dispatch by code, which is a constant wherever these are inlined. */
#define ACTIVATE(NAME, name, code, ...) \
    case code: return activate_##NAME(z);
INLINE vec activate(const int kind, vec z) {
    switch (kind) {
        FASTNN_ACTIVATIONS(ACTIVATE)
    default: return z;
    }
}

#define GRADIENT(NAME, name, code, ...) \
    case code: return gradient_##NAME(dy, saved);
INLINE vec activation_gradient(const int kind, vec dy, vec saved) {
    switch (kind) {
        FASTNN_ACTIVATIONS(GRADIENT)
    default: return dy;
    }
}

INLINE void forward_rows(const int kind, int64_t m, int64_t n, const real *x, int64_t ldx, real *y,
                         int64_t ldy, int past_caches) {
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

/* activation_backward for n <= LANES columns. */
INLINE void backward_part(const int kind, int64_t m, int64_t n, const real *dy, int64_t lddy,
                          const real *saved, int64_t ldsaved, real *dx, int64_t lddx, real *sums) {
    vec sum = {0};
    for (int64_t i = 0; i < m; i++) {
        const vec s = kind ? load_part(saved + i * ldsaved, n, 0) : (vec){0};
        const vec d = activation_gradient(kind, load_part(dy + i * lddy, n, 0), s);
        if (dx) store_part(dx + i * lddx, n, d);
        sum += d;
    }
    if (sums) store_part(sums, n, sum);
}

INLINE void backward_rows(const int kind, int64_t m, int64_t n, const real *dy, int64_t lddy,
                          const real *saved, int64_t ldsaved, real *dx, int64_t lddx, real *sums,
                          int past_caches) {
    const int streamed = past_caches && dx && can_stream_rest(dx, m, n, lddx);
    const int64_t first = dx ? until_aligned(dx, n) : 0, rest = (n - first) % LANES,
                  last = n - rest;
    if (sums) memset(sums, 0, (size_t)n * sizeof(real));
    if (first) backward_part(kind, m, first, dy, lddy, saved, ldsaved, dx, lddx, sums);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = first; j < last; j += LANES) {
            if (streamed) {
                fetch_ahead(dy + i * lddy + j);
                if (kind) fetch_ahead(saved + i * ldsaved + j);
            }
            const vec d = activation_gradient(kind, load_once(dy + i * lddy + j),
                                              kind ? load_once(saved + i * ldsaved + j) : (vec){0});
            if (dx) store_to(dx + i * lddx + j, d, streamed);
            if (sums) store(sums + j, load(sums + j) + d);
        }
    }
    if (rest)
        backward_part(kind, m, rest, dy + last, lddy, kind ? saved + last : saved, ldsaved,
                      dx ? dx + last : dx, lddx, sums ? sums + last : sums);
}

#define FORWARD(NAME, name, code, ...) \
    case code: forward_rows(code, m, n, x, ldx, y, ldy, past_caches); break;

/* y = act(x) on m rows of n; y may be x. past_caches: y is large and not x, so use non-temporal
 * stores (stream.h). One loop per activation, in which the code is a constant. */
static __attribute__((noinline)) void activation_block(int kind, int64_t m, int64_t n,
                                                       const real *x, int64_t ldx, real *y,
                                                       int64_t ldy, int past_caches) {
    switch (kind) {
        FORWARD(NONE, none, FASTNN_ACT_NONE)
        FASTNN_ACTIVATIONS(FORWARD)
    }
    if (past_caches) stream_end();
}

/* c = act(c), in place, for a tile that a matrix product has just stored. */
static inline void activate_block(int kind, int64_t m, int64_t n, real *c, int64_t ldc) {
    activation_block(kind, m, n, c, ldc, c, ldc, 0);
}

#define BACKWARD(NAME, name, code, ...)                                                   \
    case code:                                                                            \
        backward_rows(code, m, n, dy, lddy, saved, ldsaved, dx, lddx, sums, past_caches); \
        break;

/* dx = dy act'(saved) on m rows of n, and sums_j = sum_i dx_ij in the order of the rows. dx may be
 * dy or saved. dx, sums and, for FASTNN_ACT_NONE, saved may be NULL. past_caches as above. */
static void activation_backward_block(int kind, int64_t m, int64_t n, const real *dy, int64_t lddy,
                                      const real *saved, int64_t ldsaved, real *dx, int64_t lddx,
                                      real *sums, int past_caches) {
    switch (kind) {
        BACKWARD(NONE, none, FASTNN_ACT_NONE)
        FASTNN_ACTIVATIONS(BACKWARD)
    }
    if (past_caches) stream_end();
}

#endif
