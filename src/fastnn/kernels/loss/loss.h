/* loss.h: losses and their gradients in one pass over the data. A gradient may overwrite the logits
 * or the predictions. */
#ifndef FASTNN_LOSS_H
#define FASTNN_LOSS_H

#include "leaves.h"
#include "softmax.h"
#include "vec.h"
#include "vecmath.h"

/* The arrays of an elementwise loss: predictions or logits x, targets t, gradients dx. The weights,
 * the weights of positive targets and the losses of the elements may be NULL. */
typedef struct {
    const real *x, *t, *weight, *positive;
    real delta, factor;
    real *dx, *losses;
    int streamed; /* dx is written with non-temporal stores */
} loss_arrays;

/* Per row: loss = w (log sum_j exp(x_j - max) - (x_t - max)), which is -w log softmax(x)_t, and
 * dlogits = scale w (softmax(x) - onehot(t)). */
INLINE void cross_entropy_group(const int rows, int64_t n, const real *logits, int64_t ldlogits,
                                const int64_t *targets, const double *weights, double scale,
                                real *dlogits, int64_t lddlogits, double *losses) {
    vec max[GROUP], factor[GROUP];
    double sum[GROUP], shifted[GROUP];
    group_max(rows, n, logits, ldlogits, max);
    EACH_ROW
        shifted[g] = (double)logits[g * ldlogits + targets[g]] - (double)max[g][0];
    group_exp(rows, n, logits, ldlogits, max, dlogits, lddlogits, sum);
    EACH_ROW {
        const double weight = weights ? weights[g] : 1;
        factor[g] = splat((real)(scale * weight / sum[g]));
        losses[g] = weight * (log(sum[g]) - shifted[g]);
    }
    group_scale(rows, n, factor, dlogits, lddlogits);
    EACH_ROW
        dlogits[g * lddlogits + targets[g]] -= (real)(scale * (weights ? weights[g] : 1));
}

/* Cross entropy of m rows with labels; weights may be NULL: all 1. past_caches, here and below: the
 * gradient is large and not in place, so use non-temporal stores (stream.h). */
static void cross_entropy_block(int64_t m, int64_t n, const real *logits, int64_t ldlogits,
                                const int64_t *targets, const double *weights, double scale,
                                real *dlogits, int64_t lddlogits, double *losses, int past_caches) {
    FOR_GROUPS(m, n, n <= GROUP_COLUMNS, logits, ldlogits, dlogits, lddlogits, past_caches, i,
               cross_entropy_group(ROWS, n, logits + i * ldlogits, ldlogits, targets + i,
                                   weights ? weights + i : NULL, scale, to, ldto, losses + i));
}

static const real ONES[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* A vector of a_j = w_j (keep q_j + smooth); 0 beyond the first `left` lanes. */
INLINE vec soft_target(const real *q, const real *weight, vec keep, vec smooth, int64_t i,
                       int64_t left) {
    const vec w = weight ? load_some(weight + i, left, 0) : load_some(ONES, left, 0);
    return w * (q ? load_some(q + i, left, 0) * keep + smooth : smooth);
}

/* Cross entropy of one row with a distribution: -sum_j a_j log softmax(logits)_j with
 * a_j = w_j (keep q_j + smooth). q is the target distribution or, if NULL, 1 at `label` and 0
 * elsewhere; weight NULL: all 1. dlogits = scale (A softmax(logits) - a) with A = sum_j a_j. A
 * logit may be -inf where a_j = 0.
 *
 * Returns A log sum_j exp(x_j - max) - sum_j a_j (x_j - max): both terms have the same sign, so
 * nothing cancels.
 */
static double cross_entropy_soft_row(int64_t n, const real *logits, const real *q, int64_t label,
                                     const real *weight, double keep, double smooth, double scale,
                                     real *dlogits) {
    const vec keep_v = splat((real)keep), smooth_v = splat((real)smooth);
    const double extra = q ? 0 : keep * (weight ? (double)weight[label] : 1);
    vec max;
    group_max(1, n, logits, 0, &max);
    const double shifted = q ? 0 : (double)logits[label] - (double)max[0];
    double sum = 0, total = 0, dotted = 0;
    for (int64_t start = 0; start < n; start += CHUNK * LANES) {
        const int64_t stop = n - start < CHUNK * LANES ? n : start + CHUNK * LANES;
        vec sum_part = {0}, total_part = {0}, dot_part = {0};
        for (int64_t i = start; i < stop; i += LANES) {
            const int64_t left = stop - i;
            const vec d = load_some(logits + i, left, (real)-INFINITY) - max;
            const vec a = soft_target(q, weight, keep_v, smooth_v, i, left), e = exp_negative(d);
            sum_part += e;
            total_part += a;
            dot_part += choose(a == 0, (vec){0}, a * d);
            store_some(dlogits + i, left, e, 0);
        }
        sum += (double)sum_lanes(sum_part);
        total += (double)sum_lanes(total_part);
        dotted += (double)sum_lanes(dot_part);
    }
    total += extra;
    const vec factor = splat((real)(scale * total / sum)), scale_v = splat((real)scale);
    for (int64_t i = 0; i < n; i += LANES) {
        const int64_t left = n - i;
        const vec a = soft_target(q, weight, keep_v, smooth_v, i, left);
        store_some(dlogits + i, left, load_some(dlogits + i, left, 0) * factor - scale_v * a, 0);
    }
    if (extra != 0) dlogits[label] -= (real)(scale * extra);
    return total * log(sum) - dotted - (extra != 0 ? extra * shifted : 0);
}

/* The loss of a prediction x with target t, and its slope with respect to x. */
INLINE vec loss_vec(const int kind, vec x, vec t, vec positive, real delta, vec *slope) {
    if (kind == FASTNN_LOSS_BCE) {
        /* p t log(1 + exp(-x)) + (1 - t) log(1 + exp(x)); a term with factor 0 is 0, even if its
         * log is infinite. */
        const vec e = exp_negative(-abs_vec(x)), log1p_e = log1p_fraction(e), large = 1 / (1 + e),
                  small = e * large;
        const vec yes = positive * t, no = 1 - t;
        *slope = no * choose(x < 0, small, large) - yes * choose(x < 0, large, small);
        return choose(yes == 0, (vec){0}, yes * (log1p_e + choose(x < 0, -x, (vec){0}))) +
               choose(no == 0, (vec){0}, no * (log1p_e + choose(x < 0, (vec){0}, x)));
    }
    const vec d = x - t, size = abs_vec(d);
    if (kind == FASTNN_LOSS_MSE) {
        *slope = 2 * d;
        return d * d;
    }
    if (kind == FASTNN_LOSS_L1) {
        *slope = choose(d > 0, splat(1), choose(d < 0, splat(-1), d)); /* 0 or NaN */
        return size;
    }
    /* Huber: d^2 / 2 up to delta, delta (|d| - delta / 2) beyond */
    *slope = at_least(at_most(d, delta), -delta);
    const vec most = at_most(size, delta);
    return most * (size - (real)0.5 * most);
}

/* One vector of the run, or its first n < LANES lanes. The other lanes have loss 0: x = t there, or
 * for BCE x = -inf and t = 0. */
INLINE vec loss_step(const int kind, const int plain, const loss_arrays a, vec factor, int64_t i,
                     int64_t n) {
    const vec x = load_some(a.x + i, n, kind == FASTNN_LOSS_BCE ? (real)-INFINITY : 0);
    const vec t = load_some(a.t + i, n, 0);
    vec positive = splat(1), slope;
    if (!plain && a.positive) positive = load_some(a.positive + i, n, 1);
    vec loss = loss_vec(kind, x, t, positive, a.delta, &slope);
    if (!plain && a.weight) {
        const vec w = load_some(a.weight + i, n, 0);
        loss = choose(w == 0, (vec){0}, loss * w);
        slope = choose(w == 0, (vec){0}, slope * w);
    }
    store_some(a.dx + i, n, slope * factor, a.streamed);
    if (!plain && a.losses) store_some(a.losses + i, n, loss, 0);
    return loss;
}

INLINE double loss_sum(const int kind, const int plain, int64_t n, const loss_arrays a) {
    const vec factor = splat(a.factor);
    double sum = 0;
    for (int64_t start = 0; start < n; start += CHUNK * LANES) {
        const int64_t stop = n - start < CHUNK * LANES ? n : start + CHUNK * LANES;
        vec part = {0};
        int64_t i = start;
        for (; i + LANES <= stop; i += LANES) part += loss_step(kind, plain, a, factor, i, LANES);
        if (i < stop) part += loss_step(kind, plain, a, factor, i, stop - i);
        sum += (double)sum_lanes(part);
    }
    return sum;
}

#define LOSS_CASE(code)                                                                         \
    case code:                                                                                  \
        sum = weight || positive || losses ? loss_sum(code, 0, n, a) : loss_sum(code, 1, n, a); \
        break;

/* Return the sum of w_i loss(x_i, t_i) over a run of n; dx_i = factor w_i slope(x_i, t_i) and
 * losses_i = w_i loss(x_i, t_i). An element of weight 0 is ignored, even if it is NaN. positive are
 * the weights of BCE's positive targets, delta is Huber's. weight, positive and losses may be NULL;
 * dx may be x or t. */
static double loss_run(int kind, int64_t n, const real *x, const real *t, const real *weight,
                       const real *positive, real delta, real factor, real *dx, real *losses,
                       int past_caches) {
    const loss_arrays a = {
        x, t, weight, positive, delta, factor, dx, losses, past_caches && can_stream(dx, 0)};
    double sum = 0;
    switch (kind) {
        LOSS_CASE(FASTNN_LOSS_MSE)
        LOSS_CASE(FASTNN_LOSS_L1)
        LOSS_CASE(FASTNN_LOSS_HUBER)
        LOSS_CASE(FASTNN_LOSS_BCE)
    }
    if (a.streamed) stream_end();
    return sum;
}

#endif
