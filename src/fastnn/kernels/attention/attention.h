/* attention.h: the micro-kernels of softmax attention.
 *
 * One tile is a few queries against one block of keys, for one head of one example:
 *
 *     S = alpha Q K^T + mask      m = max_j S      P = 2^(S - m)      l = sum_j P      O = P V
 *
 * alpha is scale log2(e), so the exponentials are powers of two. The m, l and O of blocks of keys
 * are joined one after the other: softmax in one pass (Milakov and Gimelshein 2018), as in FlashAttention (Dao et
 * al. 2022). K^T and V come in panels of 1 to NV vectors of columns, as pack_panels writes them.
 * Query i of the tile attends to the first limit[i] keys of the block. Keys beyond the limit are
 * neither read nor computed, except up to the edge of a GEMM tile.
 */
#ifndef FASTNN_ATTENTION_H
#define FASTNN_ATTENTION_H

#include <float.h>

#include "gemm.h"
#include "gemv.h"
#include "leaves.h"
#include "pack.h"
#include "vecmath.h"

enum { ROW_TILES = FASTNN_ATTENTION_TILES }; /* maximum number of GEMM tiles in a tile of queries */

/* Pack B (k x n) into panels, each k-major; the last one is padded with zeros to whole vectors. */
static void pack_panels(int64_t n, int64_t k, const real *b, int64_t rsb, int64_t csb, real *out) {
    for (int64_t j = 0, width; j < n; j += width) {
        width = panel_width(whole_vectors(n) - j);
        pack_b(smaller(width, n - j), k, b + j * csb, rsb, csb, out + j * k);
    }
}

/* Rows are divided into tiles of at most MR, as evenly as possible. */
INLINE int64_t tiles_of(int64_t rows) { return (rows + MR - 1) / MR; }
INLINE int64_t tile_row_start(int64_t tile, int64_t rows) {
    const int64_t tiles = tiles_of(rows);
    return tile * (rows / tiles) + smaller(tile, rows % tiles);
}

/* The largest limit in each GEMM tile. */
INLINE void tile_limits(int64_t rows, const int64_t *limit, int64_t most[ROW_TILES]) {
    for (int64_t t = 0; t < tiles_of(rows); t++) {
        most[t] = 0;
        for (int64_t i = tile_row_start(t, rows); i < tile_row_start(t + 1, rows); i++)
            most[t] = most[t] > limit[i] ? most[t] : limit[i];
    }
}

/* S := alpha Q K^T, whole vectors of each row. K (d x keys) is packed in panels. */
static void attention_scores(int64_t rows, int64_t keys, int64_t d, real alpha, const real *q,
                             int64_t ldq, const real *k, const int64_t *limit, real *s,
                             int64_t lds) {
    int64_t most[ROW_TILES];
    tile_limits(rows, limit, most);
    for (int64_t j = 0, width; j < keys; j += width) {
        width = panel_width(whole_vectors(keys) - j);
        for (int64_t t = 0; t < tiles_of(rows); t++) {
            const int64_t i = tile_row_start(t, rows),
                          columns = smaller(width, whole_vectors(most[t]) - j);
            if (columns > 0)
                tile_of_width(tile_row_start(t + 1, rows) - i, columns, d, alpha, 0, q + i * ldq,
                              ldq, 1, k + j * d, width, 0, s + i * lds + j, lds, NULL, 0);
        }
    }
}

/* C := beta C + A B, B (k x n) in panels. Row tile t uses only its first most[t] columns of A. */
INLINE void rows_times_panels(int64_t rows, int64_t n, int64_t k, const real *a, int64_t lda,
                              const int64_t most[ROW_TILES], const real *b, real beta, real *c,
                              int64_t ldc) {
    for (int64_t j = 0, width; j < n; j += width) {
        width = panel_width(whole_vectors(n) - j);
        for (int64_t t = 0; t < tiles_of(rows); t++) {
            const int64_t i = tile_row_start(t, rows);
            if (most[t] > 0 || beta != 1)
                tile_of_width(tile_row_start(t + 1, rows) - i, smaller(width, n - j), most[t], 1, 0,
                              a + i * lda, lda, 1, b + j * k, width, beta, c + i * ldc + j, ldc,
                              NULL, 0);
        }
    }
}

/* As rows_times_panels, but skip zero weights, since 0 * NaN is NaN. For blocks of B that contain
 * NaN or Inf, which may belong to masked keys. */
static void rows_times_panels_but_zeros(int64_t rows, int64_t n, int64_t k, const real *a,
                                        int64_t lda, const int64_t *limit, const real *b, real beta,
                                        real *c, int64_t ldc) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0, width; j < n; j += width) {
            width = panel_width(whole_vectors(n) - j);
            for (int64_t x = j; x < smaller(n, j + width); x++) {
                real sum = 0;
                for (int64_t p = 0; p < limit[i]; p++)
                    if (a[i * lda + p] != 0) sum += a[i * lda + p] * b[j * k + p * width + x - j];
                c[i * ldc + x] = beta == 0 ? sum : sum + beta * c[i * ldc + x];
            }
        }
}

/* O := beta O + P V for a block of `keys` keys. */
static void attention_values(int64_t rows, int64_t keys, int64_t dv, const real *p, int64_t ldp,
                             const int64_t *limit, const real *v, int finite, real beta, real *o,
                             int64_t ldo) {
    if (!finite) {
        rows_times_panels_but_zeros(rows, dv, keys, p, ldp, limit, v, beta, o, ldo);
        return;
    }
    int64_t most[ROW_TILES];
    tile_limits(rows, limit, most);
    rows_times_panels(rows, dv, keys, p, ldp, most, v, beta, o, ldo);
}

/* True if x contains neither NaN nor Inf. */
static int all_finite(int64_t n, const real *x) {
    vec sum = {0}; /* zeros, or NaN */
    for (int64_t i = 0; i < n; i += LANES)
        sum += 0 * (n - i < LANES ? load_part(x + i, n - i, 0) : load(x + i));
    return sum_lanes(sum) == 0;
}

/* Bound on finite mask values: log2(e) times the mask stays finite, with room for the scores (0.69
 * < ln 2). */
#define MASK_LARGEST ((real)0.69 * (FASTNN_REAL == 32 ? (real)FLT_MAX : (real)DBL_MAX))

/* Mask one row, in whole vectors. A constant key_stride of 1 lets the compiler vectorize the
 * loops. */
INLINE void mask_row(int kind, int64_t n, real *row, const void *mask, const int64_t key_stride) {
    if (kind == FASTNN_MASK_BOOLEAN) {
        const unsigned char *may = mask;
        for (int64_t j = 0; j < n; j++) row[j] = may[j * key_stride] ? row[j] : (real)-INFINITY;
        return;
    }
    for (int64_t j = 0; j < n; j += LANES) {
        const real *from = (const real *)mask + j * key_stride;
        const vec bias = load_strided(smaller(LANES, n - j), from, key_stride);
        const vec clamped = at_most(at_least(bias, -MASK_LARGEST), MASK_LARGEST);
        /* bias - bias is 0 if bias is finite, otherwise NaN */
        store(row + j, choose(bias - bias == 0, load(row + j) + clamped * LOG2E, bias));
    }
}

/* S := S + mask log2(e), or -inf where the mask is False or -inf, whatever S holds there. A finite
 * mask value never hides a key: even the lowest one gives a finite score. */
static void attention_mask(int kind, int64_t rows, const int64_t *limit, real *s, int64_t lds,
                           const void *mask, int64_t row_stride, int64_t key_stride) {
    const int64_t row_bytes =
        row_stride * (kind == FASTNN_MASK_BOOLEAN ? 1 : (int64_t)sizeof(real));
    for (int64_t i = 0; i < rows; i++) {
        const void *at = (const char *)mask + i * row_bytes;
        if (key_stride == 1)
            mask_row(kind, limit[i], s + i * lds, at, 1);
        else
            mask_row(kind, limit[i], s + i * lds, at, key_stride);
    }
}

/* Lane l of the result is the maximum over the lanes of r[l]. */
#define MAX_STAGE(r, s)                                                  \
    if (s < LANES) {                                                     \
        UNROLL for (int i = 0; i < LANES; i++)                           \
            if (!(i & (2 * s - 1))) {                                    \
                EXCHANGE(vec, ivec, LANES, r[i], r[(i + s) % LANES], s); \
                r[i] = max_vec(r[i], r[(i + s) % LANES]);                \
            }                                                            \
    }
INLINE vec max_each(vec r[LANES]) {
    MAX_STAGE(r, 1)
    MAX_STAGE(r, 2)
    MAX_STAGE(r, 4)
    MAX_STAGE(r, 8)
    return r[0];
}

/* Lane l of the result is the sum of the lanes of r[l]. */
#define SUM_STAGE(r, s)                                                  \
    if (s < LANES) {                                                     \
        UNROLL for (int i = 0; i < LANES; i++)                           \
            if (!(i & (2 * s - 1))) {                                    \
                EXCHANGE(vec, ivec, LANES, r[i], r[(i + s) % LANES], s); \
                r[i] += r[(i + s) % LANES];                              \
            }                                                            \
    }
INLINE vec sum_each(vec r[LANES]) {
    SUM_STAGE(r, 1)
    SUM_STAGE(r, 2)
    SUM_STAGE(r, 4)
    SUM_STAGE(r, 8)
    return r[0];
}

/* Maximum of x per lane, ignoring NaN; -inf for n = 0. */
INLINE vec largest(int64_t n, const real *x) {
    vec m = splat((real)-INFINITY);
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) m = max_vec(load(x + j), m);
    return j < n ? max_vec(load_part(x + j, n - j, (real)-INFINITY), m) : m;
}

/* x_j := factor 2^(x_j - shift) for j < n and 0 from n to `stop`, in whole vectors. Returns the sum
 * per lane. */
INLINE vec powers(int64_t n, int64_t stop, real shift, const real factor, real *x) {
    vec sum = {0};
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        const vec p = factor * exp2_vec(load(x + j) - shift);
        store(x + j, p);
        sum += p;
    }
    if (j < n) {
        const vec p = factor * exp2_vec(load_part(x + j, n - j, (real)-INFINITY) - shift);
        store(x + j, p);
        sum += p;
        j += LANES;
    }
    for (; j < stop; j += LANES) store(x + j, (vec){0});
    return sum;
}

INLINE void scale_row(int64_t n, real factor, real *x) {
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) store(x + j, factor * load(x + j));
    if (j < n) store_part(x + j, n - j, factor * load_part(x + j, n - j, 0));
}

/* attention_softmax for at most LANES rows. Lane r of a vector belongs to row r, which saves a
 * horizontal sum per row. */
INLINE void tile_softmax_group(int64_t rows, const int64_t *limit, const int64_t *stop, real *s,
                               int64_t lds, real *m, real *l) {
    vec of_row[LANES];
    real shifts[LANES];
    for (int64_t r = 0; r < LANES; r++) of_row[r] = largest(r < rows ? limit[r] : 0, s + r * lds);
    const vec now = max_each(of_row);
    const vec shift = choose(now == (real)-INFINITY, (vec){0}, now);
    store(shifts, shift);
    for (int64_t r = 0; r < LANES; r++)
        of_row[r] = r < rows ? powers(limit[r], stop[r], shifts[r], 1, s + r * lds) : (vec){0};
    const vec sums = sum_each(of_row);
    if (rows < LANES) {
        store_part(l, rows, sums);
        store_part(m, rows, now);
    } else {
        store(l, sums);
        store(m, now);
    }
}

/* S becomes P; m and l are those of the block. In a row of nothing but -inf, m is -inf and P and l
 * are 0. */
static void attention_softmax(int64_t rows, const int64_t *limit, real *s, int64_t lds, real *m,
                              real *l) {
    int64_t most[ROW_TILES], stop[ROW_TILES * MR];
    tile_limits(rows, limit, most);
    for (int64_t t = 0; t < tiles_of(rows); t++)
        for (int64_t i = tile_row_start(t, rows); i < tile_row_start(t + 1, rows); i++)
            stop[i] = most[t];
    for (int64_t i = 0; i < rows; i += LANES)
        tile_softmax_group(smaller(LANES, rows - i), limit + i, stop + i, s + i * lds, lds, m + i,
                           l + i);
}

/* Add a block's m, l and O to those of the blocks before it; m = -inf and l = 0 if there was no
 * key. A block's weights are powers of two relative to its own largest score, so blocks may be
 * computed in any order and are joined in one. */
static void attention_join(int64_t rows, int64_t dv, const real *m_new, const real *l_new,
                           const real *o_new, int64_t ldnew, real *m, real *l, real *o,
                           int64_t ldo) {
    for (int64_t i = 0; i < rows; i++, o += ldo, o_new += ldnew) {
        if (m_new[i] == (real)-INFINITY && l_new[i] == 0) continue;
        const real top = m[i] > m_new[i] ? m[i] : m_new[i];
        const vec shift = splat(top == (real)-INFINITY ? 0 : top);
        const vec before = exp2_vec(splat(m[i]) - shift), now = exp2_vec(splat(m_new[i]) - shift);
        l[i] = (rounded(splat(l[i]) * before) + splat(l_new[i]) * now)[0];
        m[i] = top;
        for (int64_t j = 0; j < dv; j += LANES) {
            const int64_t count = smaller(LANES, dv - j);
            const vec v = rounded(load_strided(count, o + j, 1) * before) +
                          load_strided(count, o_new + j, 1) * now;
            if (count == LANES)
                store(o + j, v);
            else
                store_part(o + j, count, v);
        }
    }
}

/* O := O / l and, unless it is NULL, lse = log sum_j exp(score_j). Rows without a key give 0 and
 * -inf. */
static void attention_finish(int64_t rows, int64_t dv, const real *m, const real *l, real *o,
                             int64_t ldo, real *lse) {
    for (int64_t i = 0; i < rows; i++) {
        real *row = o + i * ldo;
        int64_t j = 0;
        for (; j + LANES <= dv; j += LANES)
            store(row + j, l[i] == 0 ? (vec){0} : load(row + j) / l[i]);
        if (j < dv)
            store_part(row + j, dv - j,
                       l[i] == 0 ? (vec){0} : load_part(row + j, dv - j, 0) / l[i]);
        if (lse)
            lse[i] = l[i] == 0 ? (real)-INFINITY : (real)((double)m[i] * M_LN2 + log((double)l[i]));
    }
}

/* S becomes P = factor 2^(S - shift), and 0 from the limit to `stop`. */
static void attention_probabilities(int64_t rows, const int64_t *limit, int64_t stop, real *s,
                                    int64_t lds, const real *shift, const real *factor) {
    for (int64_t i = 0; i < rows; i++)
        if (factor[i] == 1)
            (void)powers(limit[i], stop, shift[i], 1, s + i * lds);
        else
            (void)powers(limit[i], stop, shift[i], factor[i], s + i * lds);
}

#endif
