/* attention_backward.h: the micro-kernels of the backward pass of attention.
 *
 * For one tile, with P recomputed and delta_i = sum_c dO_ic O_ic:
 *
 *     dV += P^T dO                  dP = dO V^T     dS = scale P (dP - delta)
 *     dK += dS^T Q                  dQ += dS K
 *
 * attention_scores computes S = Q K^T and dP, attention_values computes dQ; this file adds dS and
 * the products with a transposed tile.
 */
#ifndef FASTNN_ATTENTION_BACKWARD_H
#define FASTNN_ATTENTION_BACKWARD_H

#include "attention.h"

/* delta_i = sum_c dO_ic O_ic. */
static void attention_delta(int64_t rows, int64_t dv, const real *dout, int64_t lddout,
                            const real *out, int64_t ldout, real *delta) {
    for (int64_t i = 0; i < rows; i++) {
        vec sum = {0};
        int64_t j = 0;
        for (; j + LANES <= dv; j += LANES)
            sum += load(dout + i * lddout + j) * load(out + i * ldout + j);
        if (j < dv)
            sum += load_part(dout + i * lddout + j, dv - j, 0) *
                   load_part(out + i * ldout + j, dv - j, 0);
        delta[i] = sum_lanes(sum);
    }
}

/* Overwrite dP with dS = scale P (dP - delta), in whole vectors up to `stop`. dS is 0 where P is 0,
 * whatever dP holds: that key is masked. */
static void attention_dscores(int64_t rows, int64_t stop, real scale, const real *p,
                              const real *delta, real *dp, int64_t lds) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i * lds; j < i * lds + stop; j += LANES) {
            const vec weight = load(p + j);
            store(dp + j,
                  choose(weight == 0, (vec){0}, scale * weight * (load(dp + j) - delta[i])));
        }
}

/* Y += P^T X with P (rows x keys) and X (rows x n) in panels. For each GEMM tile of keys, skip the
 * leading rows that attend to none of them, as causal masks have. If X is not finite, skip zero
 * weights. */
static void attention_transposed(int64_t rows, int64_t keys, int64_t n, const real *p, int64_t ldp,
                                 const int64_t *limit, const real *x, int finite, real *y,
                                 int64_t ldy) {
    for (int64_t j = 0, width; j < n; j += width) {
        width = panel_width(whole_vectors(n) - j);
        if (finite) {
            for (int64_t t = 0, first = 0; t < tiles_of(keys); t++) {
                const int64_t key = tile_row_start(t, keys);
                while (first < rows && limit[first] <= key) first++;
                tile_of_width(tile_row_start(t + 1, keys) - key, smaller(width, n - j),
                              rows - first, 1, 0, p + key + first * ldp, 1, ldp,
                              x + j * rows + first * width, width, 1, y + key * ldy + j, ldy, NULL,
                              0);
            }
            continue;
        }
        for (int64_t key = 0; key < keys; key++)
            for (int64_t i = 0; i < rows; i++)
                if (p[i * ldp + key] != 0)
                    for (int64_t c = j; c < smaller(n, j + width); c++)
                        y[key * ldy + c] += p[i * ldp + key] * x[j * rows + i * width + c - j];
    }
}

#endif
