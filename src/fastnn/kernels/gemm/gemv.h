/* gemv.h: one row times a matrix, or a few rows times a matrix whose columns are contiguous. The
 * matrix is read once, in place, at the speed of memory.
 *
 * Every sum is the chain of multiply-adds over p = 0..k-1 that gemm.h computes, so a row has the
 * same bits whatever kernel it goes through.
 */
#ifndef FASTNN_GEMV_H
#define FASTNN_GEMV_H

#include "activation.h"
#include "gemm.h"
#include "vec.h"

enum {
    /* Rows per pass over y. */
    GEMV_ROWS = 8,
    /* Reals of a cache line. */
    CACHE_LINE = 64 / (int)sizeof(real)
};

/* y += sum over rows of x_r b_r for the first n < LANES columns. */
INLINE void add_part(const int rows, int64_t n, const real *x, const real *b, int64_t ldb,
                     real *restrict y) {
    vec v = load_part(y, n, 0);
    UNROLL for (int r = 0; r < rows; r++)
        v += x[r] * load_part(b + r * ldb, n, 0);
    store_part(y, n, v);
}

/* y += sum over `rows` <= GEMV_ROWS rows of x_r b_r. Loads of b are aligned if all its rows can
 * be: a load that crosses a cache line costs two. A column has the same sum wherever the vectors
 * begin. */
INLINE void add_rows(const int rows, int64_t n, const real *x, const real *b, int64_t ldb,
                     real *restrict y) {
    int64_t j = ldb % LANES ? 0 : -(int64_t)((uintptr_t)b / sizeof(real)) & (LANES - 1);
    if (j > n) j = n;
    if (j > 0) add_part(rows, j, x, b, ldb, y);
    for (; j + LANES <= n; j += LANES) {
        vec v = load(y + j);
        UNROLL for (int r = 0; r < rows; r++)
            v += x[r] * load(b + r * ldb + j);
        store(y + j, v);
    }
    if (j < n) add_part(rows, n - j, x, b + j, ldb, y + j);
}

/* y_j = sum_p x_p b_pj with contiguous rows of b. y (n) stays in the L1 cache while b streams
 * by. */
static void gemv_rows(int64_t k, int64_t n, const real *x, const real *b, int64_t ldb, real *y) {
    memset(y, 0, (size_t)n * sizeof(real));
    int64_t p = 0;
    for (; p + GEMV_ROWS <= k; p += GEMV_ROWS) add_rows(GEMV_ROWS, n, x + p, b + p * ldb, ldb, y);
    for (; p < k; p++) add_rows(1, n, x + p, b + p * ldb, ldb, y);
}

/* y = x B for `count` packed panels of nv vectors, side by side: their chains hide the latency of
 * FMA. */
INLINE void gemv_side_by_side(const int count, const int nv, int64_t k, const real *x,
                              const real *b, real *y) {
    const int64_t ldb = nv * LANES;
    vec acc[4][NV];
    UNROLL for (int c = 0; c < count; c++) {
        UNROLL for (int j = 0; j < nv; j++)
            acc[c][j] = (vec){0};
    }
    for (int64_t p = 0; p < k; p++, b += ldb) {
        const vec xv = splat(x[p]);
        UNROLL for (int c = 0; c < count; c++) {
            UNROLL for (int j = 0; j < nv * VBYTES; j += 64)
                __builtin_prefetch((const char *)(b + c * k * ldb + ROWS_AHEAD * ldb) + j);
            UNROLL for (int j = 0; j < nv; j++)
                acc[c][j] += xv * load(b + c * k * ldb + j * LANES);
        }
    }
    UNROLL for (int c = 0; c < count; c++) {
        UNROLL for (int j = 0; j < nv; j++)
            store(y + c * ldb + j * LANES, acc[c][j]);
    }
}

/* y = x B for the first n columns of a packed B, whole panels of the `left` columns from b to the
 * end of its block. y has room for whole vectors. */
static void gemv_panels(int64_t n, int64_t left, int64_t k, const real *x, const real *b, real *y) {
    left = whole_vectors(left);
    for (int64_t j = 0, width, count; j < n; j += count * width) {
        width = panel_width(left - j);
        /* panels of this width from here on */
        count = smaller((n - j + width - 1) / width, 4);
        while (count > 1 && panel_width(left - j - (count - 1) * width) != width) count--;
        count = count == 3 ? 2 : count;
        switch (width / LANES * 8 + count) {
#define PANELS(nv)                                                            \
    case nv * 8 + 1: gemv_side_by_side(1, nv, k, x, b + j * k, y + j); break; \
    case nv * 8 + 2: gemv_side_by_side(2, nv, k, x, b + j * k, y + j); break; \
    case nv * 8 + 4: gemv_side_by_side(4, nv, k, x, b + j * k, y + j); break;
            PANELS(1)
            PANELS(2)
#if NV > 2
            PANELS(3)
#endif
#undef PANELS
        }
    }
}

/* Columns that are contiguous along k are transposed in registers: PIECE steps of k of SIDE columns
 * at a time, in pieces of 16 bytes. Vectors of 32 bytes are as fast as longer ones: most of their
 * shuffles stay within 16 bytes, and more ports execute them (docs/tuning.md). */
enum {
    PIECE = 16 / (int)sizeof(real),
    SIDE_BYTES = VBYTES < 32 ? VBYTES : 32,
    SIDE = SIDE_BYTES / (int)sizeof(real),
    FEW = 4 /* most rows */
};
typedef real sidevec __attribute__((vector_size(SIDE_BYTES)));
typedef bits isidevec __attribute__((vector_size(SIDE_BYTES)));

/* The pieces at a and, in vectors of 32 bytes, at b. */
#ifndef load_pieces
INLINE sidevec load_pieces(const real *a, const real *b) {
    sidevec v;
    memcpy(&v, a, 16);
    if (SIDE > PIECE) memcpy((char *)&v + SIDE_BYTES - 16, b, 16);
    return v;
}
#endif

/* Interleave the lower (half = 0) or upper halves of the pieces of a and b, w reals at a time. */
#define FROM_A(l, w) ((l) % PIECE / (w) % 2 == 0)
#define FROM(l, w, half) \
    ((l) / PIECE * PIECE + (half) * PIECE / 2 + (l) % PIECE / (2 * (w)) * (w) + (l) % (w))
#if defined(__clang__)
#define INTERLEAVE(out, a, b, w, half)                                            \
    do {                                                                          \
        sidevec v_;                                                               \
        for (int l = 0; l < SIDE; l++)                                            \
            v_[l] = FROM_A(l, w) ? (a)[FROM(l, w, half)] : (b)[FROM(l, w, half)]; \
        out = v_;                                                                 \
    } while (0)
#else
#define INTERLEAVE(out, a, b, w, half)                               \
    do {                                                             \
        isidevec from_;                                              \
        UNROLL for (int l = 0; l < SIDE; l++)                        \
            from_[l] = FROM(l, w, half) + (FROM_A(l, w) ? 0 : SIDE); \
        out = __builtin_shuffle(a, b, from_);                        \
    } while (0)
#endif

/* r[p] := element p of each column, from r[i] = the pieces of columns i and i + PIECE. */
INLINE void transpose_pieces(sidevec r[PIECE]) {
#if FASTNN_REAL == 32
    sidevec t[4];
    INTERLEAVE(t[0], r[0], r[1], 1, 0);
    INTERLEAVE(t[1], r[2], r[3], 1, 0);
    INTERLEAVE(t[2], r[0], r[1], 1, 1);
    INTERLEAVE(t[3], r[2], r[3], 1, 1);
    INTERLEAVE(r[0], t[0], t[1], 2, 0);
    INTERLEAVE(r[1], t[0], t[1], 2, 1);
    INTERLEAVE(r[2], t[2], t[3], 2, 0);
    INTERLEAVE(r[3], t[2], t[3], 2, 1);
#else
    const sidevec t = r[0];
    INTERLEAVE(r[0], t, r[1], 1, 0);
    INTERLEAVE(r[1], t, r[1], 1, 1);
#endif
}

/* acc_i += sum over PIECE steps of x_ip b_p for SIDE columns of b: one half of them csb apart from
 * `low` on, the other from `high` on, or, unless it is NULL, at the offsets `from`. */
INLINE void few_step(const int rows, const real *x, int64_t ldx, const real *low, const real *high,
                     int64_t csb, const int64_t *from, sidevec *acc) {
    sidevec r[PIECE];
    UNROLL for (int i = 0; i < PIECE; i++)
        r[i] = from ? load_pieces(low + from[i], low + from[(i + PIECE) % SIDE])
                    : load_pieces(low + i * csb, high + i * csb);
    transpose_pieces(r);
    UNROLL for (int p = 0; p < PIECE; p++) {
        UNROLL for (int i = 0; i < rows; i++)
            acc[i] += x[i * ldx + p] * r[p];
    }
}

/* A pointer that the compiler does not derive others from: it would keep the addresses of all
 * columns of all groups, and there are not that many registers. */
INLINE const real *opaque(const real *p) {
    __asm__("" : "+r"(p));
    return p;
}

/* y_ij = sum_p x_ip b_pj for `groups` times SIDE columns of b, of which only `columns` are stored.
 * A group reads whole cache lines of its columns, so that columns a multiple of a page apart do not
 * evict each other. `ahead` is the distance to the block that is prefetched meanwhile, column after
 * column, or 0. */
INLINE void few_block(const int rows, const int groups, int64_t k, const real *x, int64_t ldx,
                      const real *b, int64_t csb, const int64_t *from, int64_t ahead, real *y,
                      int64_t ldy, int64_t columns) {
    sidevec acc[4][2 * FEW];
    const real *next = b + ahead;
    int64_t p = 0, at = 0;
    UNROLL for (int g = 0; g < groups; g++) {
        UNROLL for (int i = 0; i < rows; i++)
            acc[g][i] = (sidevec){0};
    }
    for (; p + CACHE_LINE <= k; p += CACHE_LINE, b += CACHE_LINE) {
        const real *low = b;
        UNROLL for (int g = 0; g < groups; g++) {
            low = opaque(low);
            const real *high = opaque(low + PIECE * csb);
            for (int c = 0; ahead && c < SIDE; c++, at += CACHE_LINE) {
                if (at >= k) at = 0, next += csb;
                __builtin_prefetch(next + at, 0, 2);
            }
            UNROLL for (int q = 0; q < CACHE_LINE; q += PIECE)
                few_step(rows, x + p + q, ldx, from ? b + q : low + q, high + q, csb,
                         from ? from + g * SIDE : NULL, acc[g]);
            low = high + (SIDE - PIECE) * csb;
        }
    }
    for (; p + PIECE <= k; p += PIECE, b += PIECE) {
        const real *low = b;
        UNROLL for (int g = 0; g < groups; g++, low += SIDE * csb) {
            low = opaque(low);
            few_step(rows, x + p, ldx, from ? b : low, low + PIECE * csb, csb,
                     from ? from + g * SIDE : NULL, acc[g]);
        }
    }
    for (; p < k; p++, b++) {
        UNROLL for (int g = 0; g < groups; g++) {
            real lanes[SIDE];
            sidevec v;
            for (int c = 0; c < SIDE; c++) {
                const int column = g * SIDE + c;
                lanes[c] = b[from ? from[column] : column * csb];
            }
            memcpy(&v, lanes, sizeof v);
            UNROLL for (int i = 0; i < rows; i++)
                acc[g][i] += x[i * ldx + p] * v;
        }
    }
    UNROLL for (int g = 0; g < groups; g++) {
        UNROLL for (int i = 0; i < rows; i++) {
            if (columns >= (g + 1) * SIDE)
                memcpy(y + i * ldy + g * SIDE, &acc[g][i], sizeof acc[g][i]);
            else
                for (int64_t c = g * SIDE; c < columns; c++)
                    y[i * ldy + c] = acc[g][i][c - g * SIDE];
        }
    }
}

/* A last block of up to 2 SIDE columns, by the offsets of the columns: beyond the last, its own. */
INLINE void few_tail(const int rows, int64_t n, int64_t k, const real *x, int64_t ldx,
                     const real *b, int64_t csb, real *y, int64_t ldy) {
    int64_t from[2 * SIDE];
    for (int c = 0; c < 2 * SIDE; c++) from[c] = smaller(c, n - 1) * csb;
    if (n > SIDE && rows <= FEW)
        few_block(rows, 2, k, x, ldx, b, csb, from, 0, y, ldy, n);
    else if (n > 0)
        few_block(rows, 1, k, x, ldx, b, csb, from, 0, y, ldy, n);
}

INLINE void few_rows(const int rows, int64_t n, int64_t k, const real *x, int64_t ldx,
                     const real *b, int64_t csb, int64_t ahead, real *y, int64_t ldy) {
    enum { GROUPS = 4 };
    const int groups = rows == 1 ? GROUPS : GROUPS / 2, width = groups * SIDE;
    int64_t j = 0;
    for (; j + width <= n; j += width)
        few_block(rows, groups, k, x, ldx, b + j * csb, csb, NULL, ahead ? width * csb : 0, y + j,
                  ldy, width);
    for (; j < n; j += 2 * SIDE)
        few_tail(rows, smaller(2 * SIDE, n - j), k, x, ldx, b + j * csb, csb, y + j, ldy);
}

/* Y = X B for m <= 2 FEW rows of X and columns of B that are contiguous along k, prefetched if
 * `ahead`. More than FEW rows hide the latency of FMA with one group of columns. */
static void gemv_few(int64_t m, int64_t n, int64_t k, const real *x, int64_t ldx, const real *b,
                     int64_t csb, int ahead, real *y, int64_t ldy) {
    if (m > FEW && n > SIDE) {
        gemv_few(FEW, n, k, x, ldx, b, csb, ahead, y, ldy);
        gemv_few(m - FEW, n, k, x + FEW * ldx, ldx, b, csb, ahead, y + FEW * ldy, ldy);
        return;
    }
    switch (m) {
    case 1: few_rows(1, n, k, x, ldx, b, csb, ahead, y, ldy); break;
    case 2: few_rows(2, n, k, x, ldx, b, csb, ahead, y, ldy); break;
    case 3: few_rows(3, n, k, x, ldx, b, csb, ahead, y, ldy); break;
    case 4: few_rows(4, n, k, x, ldx, b, csb, ahead, y, ldy); break;
    case 5: few_tail(5, n, k, x, ldx, b, csb, y, ldy); break;
    case 6: few_tail(6, n, k, x, ldx, b, csb, y, ldy); break;
    case 7: few_tail(7, n, k, x, ldx, b, csb, y, ldy); break;
    case 8: few_tail(8, n, k, x, ldx, b, csb, y, ldy); break;
    }
}

/* Load `count` <= LANES elements that are `stride` apart; the other lanes are 0. */
INLINE vec load_strided(int64_t count, const real *x, const int64_t stride) {
    real lanes[LANES] = {0};
    if (stride == 1) return count == LANES ? load(x) : load_part(x, count, 0);
    for (int64_t r = 0; r < count; r++) lanes[r] = x[r * stride];
    return load(lanes);
}

/* c_j = act(alpha y_j + beta c_j + bias_j), rounded as the last store of a tile is. Overwrites
 * y. */
static void gemv_finish(int64_t n, real alpha, real *y, real beta, real *c, int64_t incc,
                        const real *bias, int64_t incbias, int activation, real *preact) {
    real *out = incc == 1 ? c : y;
    for (int64_t j = 0; j < n; j += LANES) {
        const int64_t count = smaller(LANES, n - j);
        const vec v =
            finished(load_strided(count, y + j, 1), alpha, beta,
                     beta != 0 ? load_strided(count, c + j * incc, incc) : (vec){0}, bias,
                     bias ? load_strided(count, bias + j * incbias, incbias) : (vec){0}, 0);
        if (count == LANES)
            store(out + j, v);
        else
            store_part(out + j, count, v);
    }
    if (preact)
        for (int64_t j = 0; j < n; j++) preact[j * incc] = out[j];
    if (activation != FASTNN_ACT_NONE) activate_block(activation, 1, n, out, n);
    if (out != c)
        for (int64_t j = 0; j < n; j++) c[j * incc] = out[j];
}

#endif
