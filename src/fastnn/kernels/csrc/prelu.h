/* prelu.h: PReLU and its backward; leaky ReLU is the case of one slope. */
#ifndef FASTNN_PRELU_H
#define FASTNN_PRELU_H

#include "stream.h"
#include "vec.h"

/* PReLU: y = x where x > 0, else a x, with a_j for column j (shared 0), or one for all (shared 1), as leaky ReLU has it. */
INLINE vec slope_at(const int shared, const real *a, int64_t j, int64_t n) {
    return shared ? splat(*a) : n < LANES ? load_part(a + j, n, 0) : load(a + j);
}

INLINE void prelu_rows(const int shared, int64_t m, int64_t n, const real *x, int64_t ldx, const real *a, real *y, int64_t ldy, int past_caches) {
    for (int64_t i = 0; i < m; i++, x += ldx, y += ldy) {
        const int streamed = past_caches && can_stream_rest(y, 1, n, 0);
        for (int64_t j = 0, step; j < n; j += step) {
            step = j == 0 ? until_aligned(y, n) : 0;
            if (step == 0) step = n - j < LANES ? n - j : LANES;
            const vec v = step < LANES ? load_part(x + j, step, 0) : load(x + j);
            const vec result = choose(v > 0, v, v * slope_at(shared, a, j, step));
            if (step < LANES)
                store_part(y + j, step, result);
            else
                store_to(y + j, result, streamed);
        }
    }
}

/* past_caches: y is large and not x (stream.h). */
static void prelu(int shared, int64_t m, int64_t n, const real *x, int64_t ldx, const real *a, real *y, int64_t ldy, int past_caches) {
    if (shared)
        prelu_rows(1, m, n, x, ldx, a, y, ldy, past_caches);
    else
        prelu_rows(0, m, n, x, ldx, a, y, ldy, past_caches);
    if (past_caches) stream_end();
}

/* dx = dy where x > 0, else a dy; what a gets is dy x where x <= 0 or NaN: sums_j for column j, or their total returned where one is for all. dx may
 * be dy or x. A row adds to the total by itself, in parts of at most CHUNK_OF_ROW vectors. sums may be NULL. */
enum { CHUNK_OF_ROW = 256 };
INLINE double prelu_backward_rows(const int shared, const int summed, int64_t m, int64_t n, const real *dy, int64_t lddy, const real *x, int64_t ldx,
                                  const real *a, real *dx, int64_t lddx, real *sums, int past_caches) {
    double total = 0;
    if (summed && !shared) memset(sums, 0, (size_t)n * sizeof(real));
    for (int64_t i = 0; i < m; i++, dy += lddy, x += ldx, dx += lddx) {
        const int streamed = past_caches && (summed && shared ? can_stream(dx, 0) : can_stream_rest(dx, 1, n, 0));
        vec part = {0};
        for (int64_t j = 0, step, count = 0; j < n; j += step) {
            step = j == 0 && !(summed && shared) ? until_aligned(dx, n) : 0; /* a total must not depend on where dx is */
            if (step == 0) step = n - j < LANES ? n - j : LANES;
            const int whole = step == LANES;
            const vec d = whole ? load(dy + j) : load_part(dy + j, step, 0), v = whole ? load(x + j) : load_part(x + j, step, 0);
            const vec result = choose(v > 0, d, d * slope_at(shared, a, j, step)), to_a = choose(v > 0, (vec){0}, d * v);
            if (whole)
                store_to(dx + j, result, streamed);
            else
                store_part(dx + j, step, result);
            if (!summed) continue;
            if (shared) {
                part += to_a;
                if (++count % CHUNK_OF_ROW == 0) total += (double)sum_lanes(part), part = (vec){0};
            } else if (whole)
                store(sums + j, load(sums + j) + to_a);
            else
                store_part(sums + j, step, load_part(sums + j, step, 0) + to_a);
        }
        if (summed && shared) total += (double)sum_lanes(part);
    }
    return total;
}

static double prelu_backward(int shared, int64_t m, int64_t n, const real *dy, int64_t lddy, const real *x, int64_t ldx, const real *a, real *dx,
                             int64_t lddx, int summed, real *sums, int past_caches) {
    double total;
#define ROWS(shared, summed) total = prelu_backward_rows(shared, summed, m, n, dy, lddy, x, ldx, a, dx, lddx, sums, past_caches)
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
