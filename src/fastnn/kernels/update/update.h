/* update.h: one optimizer step in one pass over parameters, gradients and running means. rules.pyx
 * has the formulas and hoists the scalars.
 *
 * Every element goes through the same vector operations, including those of a partial vector, so
 * the bits do not depend on how a range is divided. p, g, m, v and c do not overlap; those that a
 * rule does not use are NULL.
 */
#ifndef FASTNN_UPDATE_H
#define FASTNN_UPDATE_H

#include "leaves.h"
#include "vec.h"
#include "vecmath.h"

#if FASTNN_REAL == 32
#define REAL_MAX __FLT_MAX__
#define REAL_EPSILON __FLT_EPSILON__
#define ROOT_OF_MAX 1.8e19f /* slightly below the root, for the rounding of a running mean */
#else
#define REAL_MAX __DBL_MAX__
#define REAL_EPSILON __DBL_EPSILON__
#define ROOT_OF_MAX 1.3e154
#endif

/* struct fastnn_step as vectors of the real type. */
typedef struct {
    vec grad_scale, l2, shrink, lr, keep1, take1, keep2, take2, unbias2, eps;
} rates;

/* One vector, or its first `part` elements if part is not 0. */
INLINE vec get(const real *x, int64_t part) { return part ? load_part(x, part, 0) : load(x); }

INLINE void put(real *x, int64_t part, vec v) {
    if (part)
        store_part(x, part, v);
    else
        store(x, v);
}

/* Update the running mean x = keep x + take d in memory, and return it. */
INLINE vec run_mean(real *x, int64_t part, vec keep, vec take, vec d) {
    const vec mean = keep * get(x, part) + take * d;
    put(x, part, mean);
    return mean;
}

/* The change of p in units of lr, for SGD with or without momentum. */
INLINE vec sgd_change(int rule, int64_t part, real *m, vec d, const rates *s) {
    if (rule == FASTNN_SGD) return d;
    const vec mean = run_mean(m, part, s->keep1, s->take1, d);
    return rule == FASTNN_NESTEROV ? d + s->keep1 * mean : mean;
}

/* True if a lane of x is above the limit. */
INLINE int any_above(vec x, real limit) {
#if defined(__AVX512F__) && FASTNN_REAL == 32
    return _mm512_cmp_ps_mask((__m512)x, (__m512)splat(limit), _CMP_GT_OQ) != 0;
#elif defined(__AVX512F__)
    return _mm512_cmp_pd_mask((__m512d)x, (__m512d)splat(limit), _CMP_GT_OQ) != 0;
#elif defined(__AVX2__) && FASTNN_REAL == 32
    return _mm256_movemask_ps((__m256)(x > limit)) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_pd((__m256d)(x > limit)) != 0;
#elif defined(X86) && FASTNN_REAL == 32
    return _mm_movemask_ps((__m128)(x > limit)) != 0;
#elif defined(X86)
    return _mm_movemask_pd((__m128d)(x > limit)) != 0;
#else
    const ivec above = x > limit;
    bits any = 0;
    for (int l = 0; l < LANES; l++) any |= above[l];
    return any != 0;
#endif
}

/* Clamp finite d to +-most, so that its square is finite: an infinite mean of squares would freeze
 * the parameter for good. An infinite d stays. */
INLINE vec with_finite_square(vec d, real most) {
    const vec size = abs_vec(d);
    if (!any_above(size, most)) return d;
    return choose((size > most) & (size <= REAL_MAX), copy_sign(splat(most), d), d);
}

INLINE vec adam_change(int64_t part, real *m, real *v, vec d, const rates *s) {
    d = with_finite_square(d, ROOT_OF_MAX);
    const vec mean = run_mean(m, part, s->keep1, s->take1, d);
    const vec square = run_mean(v, part, s->keep2, s->take2, d * d);
    return mean / (sqrt_vec(square) * s->unbias2 + s->eps);
}

/* Centered if c is given: the variance v - c^2, at least 4 ulp of v, since for steady gradients the
 * difference is rounding error. NaN propagates. With momentum if m is given. */
INLINE vec rmsprop_change(int64_t part, real *m, real *v, real *c, vec d, const rates *s) {
    d = with_finite_square(d, ROOT_OF_MAX);
    vec square = run_mean(v, part, s->keep2, s->take2, d * d);
    if (c) {
        const vec mean = run_mean(c, part, s->keep2, s->take2, d);
        const vec variance = square - mean * mean, least = 4 * REAL_EPSILON * square;
        square = choose(variance < least, least, variance);
    }
    d /= sqrt_vec(square) + s->eps;
    return m ? run_mean(m, part, s->keep1, s->take1, d) : d;
}

/* The sum never shrinks. It has room for 4,096 of the largest squares and then saturates. */
INLINE vec adagrad_change(int64_t part, real *v, vec d, const rates *s) {
    d = with_finite_square(d, ROOT_OF_MAX / 64);
    const vec before = get(v, part);
    vec sum = before + d * d;
    if (any_above(sum, REAL_MAX)) {
        const ivec finite = (before <= REAL_MAX) & (abs_vec(d) <= REAL_MAX);
        sum = choose(finite, at_most(sum, REAL_MAX), sum);
    }
    put(v, part, sum);
    return d / (sqrt_vec(sum) + s->eps);
}

INLINE void update_vec(int rule, int64_t part, real *p, const real *g, real *m, real *v, real *c,
                       const rates *s) {
    const vec w = get(p, part);
    if (rule == FASTNN_AVERAGE) {
        put(p, part, w + s->take1 * (get(g, part) - w));
        return;
    }
    const vec d = s->grad_scale * get(g, part) + s->l2 * w;
    const vec change = rule == FASTNN_ADAM      ? adam_change(part, m, v, d, s)
                       : rule == FASTNN_RMSPROP ? rmsprop_change(part, m, v, c, d, s)
                       : rule == FASTNN_ADAGRAD ? adagrad_change(part, v, d, s)
                                                : sgd_change(rule, part, m, d, s);
    put(p, part, w - (s->shrink * w + s->lr * change));
}

#define AT(x, i) ((x) ? (x) + (i) : (x))

/* `rule` is a constant here, so each rule gets its own loop. Whole vectors of p are aligned, with a
 * partial one at either end (docs/tuning.md, "Row kernels"). */
INLINE void sweep(int rule, int64_t n, real *p, const real *g, real *m, real *v, real *c, rates s) {
    const int64_t head = (int64_t)(-(uintptr_t)p % VBYTES / sizeof(real));
    for (int64_t i = 0, part = head < n ? head : n;; part = n - i) {
        if (part) update_vec(rule, part, p + i, g + i, AT(m, i), AT(v, i), AT(c, i), &s);
        for (i += part; n - i >= LANES; i += LANES)
            update_vec(rule, 0, p + i, g + i, AT(m, i), AT(v, i), AT(c, i), &s);
        if (i == n) return;
    }
}

static void update_run(int64_t n, real *p, const real *g, real *m, real *v, real *c,
                       const struct fastnn_step *step) {
    const rates s = {
        splat((real)step->grad_scale), splat((real)step->l2),    splat((real)step->shrink),
        splat((real)step->lr),         splat((real)step->keep1), splat((real)step->take1),
        splat((real)step->keep2),      splat((real)step->take2), splat((real)step->unbias2),
        splat((real)step->eps),
    };
    switch (step->rule) {
    case FASTNN_SGD: sweep(FASTNN_SGD, n, p, g, NULL, NULL, NULL, s); break;
    case FASTNN_MOMENTUM: sweep(FASTNN_MOMENTUM, n, p, g, m, NULL, NULL, s); break;
    case FASTNN_NESTEROV: sweep(FASTNN_NESTEROV, n, p, g, m, NULL, NULL, s); break;
    case FASTNN_ADAM: sweep(FASTNN_ADAM, n, p, g, m, v, NULL, s); break;
    case FASTNN_RMSPROP: sweep(FASTNN_RMSPROP, n, p, g, m, v, c, s); break;
    case FASTNN_ADAGRAD: sweep(FASTNN_ADAGRAD, n, p, g, NULL, v, NULL, s); break;
    case FASTNN_AVERAGE: sweep(FASTNN_AVERAGE, n, p, g, NULL, NULL, NULL, s); break;
    }
}

#undef AT
#endif
