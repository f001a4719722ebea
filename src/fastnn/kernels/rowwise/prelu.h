/* prelu.h: PReLU and its backward; leaky ReLU is the case of one slope. */
#ifndef FASTNN_PRELU_H
#define FASTNN_PRELU_H

#include "stream.h"
#include "vec.h"

/* PReLU: y = x where x > 0, else a x. a has one slope per column (shared 0) or one for all (shared
 * 1). Below, n is LANES for a whole vector from column j on, and less for a partial one. */
INLINE vec slope_at(const int shared, vec one, const real *a, int64_t j, int64_t n) {
    return shared ? one : load_some(a + j, n, 0);
}

INLINE void prelu_step(const int shared, vec one, int64_t n, const real *x, const real *a, real *y,
                       int64_t j, int streamed) {
    const vec v = rounded(load_some(x + j, n, 0));
    store_some(y + j, n, v * choose(v > 0, splat(1), slope_at(shared, one, a, j, n)), streamed);
}

INLINE void prelu_rows(const int shared, int64_t m, int64_t n, const real *x, int64_t ldx,
                       const real *a, real *y, int64_t ldy, int past_caches) {
    const vec one = shared ? splat(*a) : (vec){0};
    for (int64_t i = 0; i < m; i++, x += ldx, y += ldy) {
        const int streamed = past_caches && can_stream_rest(y, 1, n, 0);
        int64_t j = until_aligned(y, n);
        if (j) prelu_step(shared, one, j, x, a, y, 0, 0);
        for (; j + LANES <= n; j += LANES) {
            if (streamed) fetch_ahead(x + j);
            prelu_step(shared, one, LANES, x, a, y, j, streamed);
        }
        if (j < n) prelu_step(shared, one, n - j, x, a, y, j, 0);
    }
}

/* past_caches: y is large and not x, so use non-temporal stores (stream.h). */
static void prelu_block(int shared, int64_t m, int64_t n, const real *x, int64_t ldx, const real *a,
                        real *y, int64_t ldy, int past_caches) {
    if (shared)
        prelu_rows(1, m, n, x, ldx, a, y, ldy, past_caches);
    else
        prelu_rows(0, m, n, x, ldx, a, y, ldy, past_caches);
    if (past_caches) stream_end();
}

/* dx = dy where x > 0, else a dy. The gradient of a is the sum of dy x where x <= 0 or NaN: sums_j
 * for column j or, if one slope is shared, the total that is returned. dx may be dy or x; sums may
 * be NULL. Each row is added to the total by itself, in parts of at most CHUNK_OF_ROW vectors. */
enum { CHUNK_OF_ROW = 256 };
/* Return the terms of the gradient of a; add them to sums if each column has its own slope. */
INLINE vec prelu_backward_step(const int shared, const int summed, vec one, int64_t n,
                               const real *dy, const real *x, const real *a, real *dx, real *sums,
                               int64_t j, int streamed) {
    const vec d = rounded(load_some(dy + j, n, 0)), v = rounded(load_some(x + j, n, 0)),
              to_a = choose(v > 0, (vec){0}, d * v);
    store_some(dx + j, n, d * choose(v > 0, splat(1), slope_at(shared, one, a, j, n)), streamed);
    if (summed && !shared) store_some(sums + j, n, load_some(sums + j, n, 0) + to_a, 0);
    return to_a;
}

INLINE double prelu_backward_rows(const int shared, const int summed, int64_t m, int64_t n,
                                  const real *dy, int64_t lddy, const real *x, int64_t ldx,
                                  const real *a, real *dx, int64_t lddx, real *sums,
                                  int past_caches) {
    const int totals = summed && shared;
    const vec one = shared ? splat(*a) : (vec){0};
    double total = 0;
    if (summed && !shared) memset(sums, 0, (size_t)n * sizeof(real));
    for (int64_t i = 0; i < m; i++, dy += lddy, x += ldx, dx += lddx) {
        const int streamed =
            past_caches && (totals ? can_stream(dx, 0) : can_stream_rest(dx, 1, n, 0));
        /* no alignment: a total must not depend on the address of dx */
        int64_t j = totals ? 0 : until_aligned(dx, n), count = 0;
        vec part = {0};
        if (j) prelu_backward_step(shared, summed, one, j, dy, x, a, dx, sums, 0, 0);
        for (; j + LANES <= n; j += LANES) {
            if (streamed) fetch_ahead(dy + j), fetch_ahead(x + j);
            const vec to_a =
                prelu_backward_step(shared, summed, one, LANES, dy, x, a, dx, sums, j, streamed);
            if (!totals) continue;
            part += to_a;
            if (++count % CHUNK_OF_ROW == 0) total += (double)sum_lanes(part), part = (vec){0};
        }
        if (j < n)
            part += prelu_backward_step(shared, summed, one, n - j, dy, x, a, dx, sums, j, 0);
        if (totals) total += (double)sum_lanes(part);
    }
    return total;
}

static double prelu_backward_block(int shared, int64_t m, int64_t n, const real *dy, int64_t lddy,
                                   const real *x, int64_t ldx, const real *a, real *dx,
                                   int64_t lddx, int summed, real *sums, int past_caches) {
    double total;
#define ROWS(shared, summed)                                                               \
    total = prelu_backward_rows(shared, summed, m, n, dy, lddy, x, ldx, a, dx, lddx, sums, \
                                past_caches)
    if (!summed && shared)
        ROWS(1, 0);
    else if (!summed)
        ROWS(0, 0);
    else if (shared)
        ROWS(1, 1);
    else
        ROWS(0, 1);
#undef ROWS
    if (past_caches) stream_end();
    return total;
}

#endif
