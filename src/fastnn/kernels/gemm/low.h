/* low.h: products with weights of 16 or 8 bits, in float32.
 *
 * Weights lie in strips of STRIP columns. A unit is a 32-bit word of each column of a strip: two
 * rows of bfloat16 or four of int8, the first in the lowest bits. Rows come in blocks (a chain of
 * multiply-adds each), padded with zeros to whole units of four. A row or a few are multiplied as
 * the words are widened in registers; the chains are those of gemm.h on the widened weights.
 */
#ifndef FASTNN_LOW_H
#define FASTNN_LOW_H

#include "activation.h"
#include "tile.h"

#if FASTNN_REAL == 32

enum {
    WIDE = FASTNN_STRIP / LANES, /* vectors of a strip */
    ROOM = LANES == 16 ? 16 : 8, /* accumulators of a few rows */
    FETCHED = 1024               /* prefetch distance in bytes */
};

INLINE i32vec words(const char *p) {
    i32vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE int64_t padded(int64_t k) { return (k + 3) / 4 * 4; }
INLINE int row_bytes(const int format) { return format == FASTNN_BF16 ? 2 : 1; }

/* Row r of a unit as floats. */
INLINE vec widened(const int format, i32vec w, const int r) {
    if (format == FASTNN_BF16) return (vec)(r ? w & (int32_t)0xffff0000 : w << 16);
    return __builtin_convertvector(r < 3 ? w << (24 - 8 * r) >> 24 : w >> 24, vec);
}

/* acc += x w for a unit, of which `left` rows count, of `side` strips, `next` bytes apart. scales
 * are those of int8_g32, `ahead` apart. */
INLINE void unit_rows(const int format, const int rows, const int side, int64_t left, const real *x,
                      int64_t ldx, const char *b, int64_t next, const real *scales, int64_t ahead,
                      vec acc[][4 * WIDE]) {
    const int height = 4 / row_bytes(format);
    UNROLL for (int s = 0; s < side; s++) {
        UNROLL for (int v = 0; v < WIDE; v++) {
            const i32vec w = words(b + s * next + v * VBYTES);
            const vec scale =
                format == FASTNN_INT8_G32 ? load(scales + s * ahead + v * LANES) : (vec){0};
            UNROLL for (int r = 0; r < height; r++) {
                if (r < left) {
                    vec value = widened(format, w, r);
                    /* FMA barrier: the product with the scale is rounded, as when it is stored */
                    if (format == FASTNN_INT8_G32) value = rounded(value * scale);
                    UNROLL for (int i = 0; i < rows; i++)
                        acc[i][s * WIDE + v] += x[i * ldx + r] * value;
                }
            }
        }
    }
}

/* One block of kb rows of k, for `rows` rows of x and `side` strips. */
INLINE void block_rows(const int format, const int rows, const int side, int64_t kb, const real *x,
                       int64_t ldx, const char *b, int64_t next, const real *scales, int64_t ahead,
                       vec acc[][4 * WIDE]) {
    const int height = 4 / row_bytes(format);
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < side * WIDE; j++)
            acc[i][j] = (vec){0};
    }
    for (int64_t p = 0; p < kb; p += height, x += height, b += 4 * FASTNN_STRIP) {
        const real *group = format == FASTNN_INT8_G32 ? scales + p / 32 * FASTNN_STRIP : NULL;
        if (p + height > kb) {
            unit_rows(format, rows, side, kb - p, x, ldx, b, next, group, ahead, acc);
            break;
        }
        UNROLL for (int s = 0; s < side; s++)
            __builtin_prefetch(b + s * next + FETCHED);
        unit_rows(format, rows, side, height, x, ldx, b, next, group, ahead, acc);
    }
}

/* y = x B for `side` strips: the blocks of k are added one after the other, then scaled. */
INLINE void side_rows(const int format, const int rows, const int side, int64_t k, int64_t kc,
                      const real *x, int64_t ldx, const char *b, int64_t next, const real *scales,
                      int64_t ahead, real *y, int64_t ldy) {
    vec acc[4][4 * WIDE];
    for (int64_t p = 0; p == 0 || p < k; p += kc) {
        const int64_t kb = smaller(kc, k - p);
        block_rows(format, rows, side, kb, x + p, ldx, b, next, scales, ahead, acc);
        b += padded(kb) * FASTNN_STRIP * row_bytes(format);
        if (format == FASTNN_INT8_G32) scales += (kb + 31) / 32 * FASTNN_STRIP;
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int j = 0; j < side * WIDE; j++) {
                real *out = y + i * ldy + j * LANES;
                vec v = acc[i][j];
                if (p > 0) v += load(out);
                if (format == FASTNN_INT8 && p + kc >= k)
                    v = rounded(v * load(scales + j / WIDE * ahead + j % WIDE * LANES));
                store(out, v);
            }
        }
    }
}

#define SIDE_OF(rows) (ROOM / ((rows) * WIDE) > 4 ? 4 : ROOM / ((rows) * WIDE) > 1 ? 2 : 1)
#define LOW_ROWS(name, format, rows)                                                          \
    static __attribute__((noinline)) void name##_##rows(                                      \
        int64_t strips, int64_t k, int64_t kc, const real *x, int64_t ldx, const char *b,     \
        int64_t next, const real *scales, int64_t ahead, real *y, int64_t ldy) {              \
        int64_t s = 0;                                                                        \
        for (; s + SIDE_OF(rows) <= strips; s += SIDE_OF(rows))                               \
            side_rows(format, rows, SIDE_OF(rows), k, kc, x, ldx, b + s * next, next,         \
                      scales + s * ahead, ahead, y + s * FASTNN_STRIP, ldy);                  \
        for (; s < strips && SIDE_OF(rows) > 1; s++)                                          \
            side_rows(format, rows, 1, k, kc, x, ldx, b + s * next, next, scales + s * ahead, \
                      ahead, y + s * FASTNN_STRIP, ldy);                                      \
    }
#define LOW_FEW(name, format) \
    LOW_ROWS(name, format, 1) \
    LOW_ROWS(name, format, 2) LOW_ROWS(name, format, 3) LOW_ROWS(name, format, 4)
LOW_FEW(bf16, FASTNN_BF16)
LOW_FEW(int8, FASTNN_INT8)
LOW_FEW(g32, FASTNN_INT8_G32)

/* Y = X B for m <= 4 rows of X, k columns each, and whole strips of B, `next` bytes apart. Blocks
 * have kc rows. scales, `ahead` from strip to strip, are those of int8. */
static void low_rows(int format, int64_t m, int64_t strips, int64_t k, int64_t kc, const real *x,
                     int64_t ldx, const void *b, int64_t next, const real *scales, int64_t ahead,
                     real *y, int64_t ldy) {
#define CASE(format, name, rows)                                              \
    case format * 8 + rows:                                                   \
        name##_##rows(strips, k, kc, x, ldx, b, next, scales, ahead, y, ldy); \
        break;
#define CASES(format, name) \
    CASE(format, name, 1) CASE(format, name, 2) CASE(format, name, 3) CASE(format, name, 4)
    switch (format * 8 + m) {
        CASES(FASTNN_BF16, bf16)
        CASES(FASTNN_INT8, int8)
        CASES(FASTNN_INT8_G32, g32)
    }
#undef CASES
#undef CASE
}

INLINE void widen_vector(const int format, int64_t kb, const char *b, const real *scales, real *out,
                         int64_t width) {
    const int height = 4 / row_bytes(format);
    for (int64_t p = 0; p < kb; p += height, b += 4 * FASTNN_STRIP) {
        const i32vec w = words(b);
        const vec scale =
            format == FASTNN_INT8_G32 ? load(scales + p / 32 * FASTNN_STRIP) : (vec){0};
        UNROLL for (int r = 0; r < height; r++) {
            vec value = widened(format, w, r);
            if (format == FASTNN_INT8_G32) value = value * scale;
            if (p + r < kb) store(out + (p + r) * width, value);
        }
    }
}

/* Write columns from..from+n-1 of a block of kb rows as a panel of gemm.h, bf16 or int8_g32. b and
 * scales are those of strip 0. */
static void low_widen(int format, int64_t from, int64_t n, int64_t kb, const void *b, int64_t next,
                      const real *scales, int64_t ahead, real *out) {
    const int64_t width = whole_vectors(n);
    for (int64_t j = 0; j < width; j += LANES) {
        const int64_t strip = (from + j) / FASTNN_STRIP, in = (from + j) % FASTNN_STRIP;
        const char *at = (const char *)b + strip * next + 4 * in;
        if (format == FASTNN_BF16)
            widen_vector(FASTNN_BF16, kb, at, NULL, out + j, width);
        else
            widen_vector(FASTNN_INT8_G32, kb, at, scales + strip * ahead + in, out + j, width);
    }
}

/* Called with 1 before a thread's calls of dot_tile and bf16_tile and with 0 after them, for sets
 * that have to configure registers. */
static void dot_state(int on) { (void)on; }

/* C = act(V + bias) for a tile of m rows, n columns, whose sums are FASTNN_DOT_COLUMNS apart.
 *
 * V are the floats `whole`, or the integers `sums` less zero_i times the sum of a column. If there
 * are scales, it is multiplied by scale_i scale_j: one product, rounded, and another one. */
static void low_finish(int64_t m, int64_t n, const int32_t *sums, const real *whole,
                       const real *scale, const int32_t *zero, const real *scales,
                       const int32_t *columns, const real *bias, int activation, real *c,
                       int64_t ldc, real *preact) {
    for (int64_t j = 0; j < n; j += LANES) {
        const int64_t count = smaller(LANES, n - j);
        const vec shift = bias ? load_part(bias + j, count, 0) : (vec){0};
        for (int64_t i = 0; i < m; i++) {
            const int64_t at = i * FASTNN_DOT_COLUMNS + j;
            vec v;
            if (whole)
                v = load(whole + at);
            else
                v = __builtin_convertvector(words((const char *)(sums + at)) -
                                                zero[i] * words((const char *)(columns + j)),
                                            vec);
            if (scales) v = rounded(v * rounded(scale[i] * load(scales + j)));
            if (bias) v += shift;
            if (count == LANES)
                store(c + i * ldc + j, v);
            else
                store_part(c + i * ldc + j, count, v);
        }
    }
    for (int64_t i = 0; preact && i < m; i++)
        memcpy(preact + i * ldc, c + i * ldc, (size_t)n * sizeof(real));
    if (activation != FASTNN_ACT_NONE) activate_block(activation, m, n, c, ldc);
}

#endif
#endif
