/* pack.h: pack operands in the order in which the micro-kernel reads them.
 *
 * A panel of A is MR rows, k-major: out[p * MR + i]. A panel of B is 1 to NV vectors of columns,
 * k-major: out[p * width + j]. Both are padded with zeros to their width, so the loop over k has no
 * branch. Runs along the panel are copied; runs along k are transposed in registers, in squares.
 */
#ifndef FASTNN_PACK_H
#define FASTNN_PACK_H

#include "tile.h"

#if MR == 8 && VBYTES == 64 && FASTNN_REAL == 32
/* A panel of A is half a vector wide: squares of whole vectors would need twice the shuffles. */
#define SQUARE 8
#else
#define SQUARE LANES
#endif
typedef real squarevec __attribute__((vector_size(SQUARE * sizeof(real))));
typedef bits isquarevec __attribute__((vector_size(SQUARE * sizeof(real))));

/* One butterfly step of an in-register transpose: swap lane bit s with row bit s. */
#if defined(__clang__)
#define EXCHANGE(V, I, L, a, b, s)                                                            \
    do {                                                                                      \
        V lo, hi;                                                                             \
        for (int l = 0; l < L; l++)                                                           \
            lo[l] = l & (s) ? (b)[l ^ (s)] : (a)[l], hi[l] = l & (s) ? (b)[l] : (a)[l | (s)]; \
        a = lo, b = hi;                                                                       \
    } while (0)
#else
#define EXCHANGE(V, I, L, a, b, s)                                                              \
    do {                                                                                        \
        I from_lo, from_hi;                                                                     \
        UNROLL for (int l = 0; l < L; l++)                                                      \
            from_lo[l] = l & (s) ? L + (l ^ (s)) : l, from_hi[l] = l & (s) ? L + l : (l | (s)); \
        const V lo = __builtin_shuffle(a, b, from_lo), hi = __builtin_shuffle(a, b, from_hi);   \
        a = lo, b = hi;                                                                         \
    } while (0)
#endif

/* One stage per bit of the lane number, written out: the shuffle masks are constants only if the
 * loops are fully unrolled. */
#define TRANSPOSE_STAGE(V, I, L, r, s)                                \
    if (s < L) {                                                      \
        UNROLL for (int i = 0; i < L; i++)                            \
            if (!(i & s)) EXCHANGE(V, I, L, r[i], r[(i | s) % L], s); \
    }
#define TRANSPOSE(V, I, L, r)       \
    TRANSPOSE_STAGE(V, I, L, r, 1); \
    TRANSPOSE_STAGE(V, I, L, r, 2); \
    TRANSPOSE_STAGE(V, I, L, r, 4); \
    TRANSPOSE_STAGE(V, I, L, r, 8)

/* out[p * width + i] = x[i * si + p], i < w <= SQUARE, p < SQUARE; zero for w <= i < SQUARE. */
INLINE void transpose_square(int w, const real *x, int64_t si, real *out, int64_t width,
                             int lanes) {
    squarevec r[SQUARE];
    UNROLL for (int i = 0; i < SQUARE; i++) {
        r[i] = (squarevec){0};
        if (i < w) memcpy(&r[i], x + i * si, sizeof r[i]);
    }
    TRANSPOSE(squarevec, isquarevec, SQUARE, r);
    UNROLL for (int p = 0; p < SQUARE; p++)
        memcpy(out + p * width, &r[p], (size_t)lanes * sizeof(real));
}

/* Pack one panel: out[p * width + i] = x[i * si + p * sp] for i < w, 0 for w <= i < width. */
INLINE void pack_panel(const int width, int w, int64_t k, const real *x, int64_t si, int64_t sp,
                       real *out) {
    if (si == 1 && w == width) {
        for (int64_t p = 0; p < k; p++)
            memcpy(out + p * width, x + p * sp, (size_t)width * sizeof(real));
        return;
    }
    if (si == 1 && width % LANES == 0 && width - w < LANES) { /* the last vector is partial */
        for (int64_t p = 0; p < k; p++, x += sp, out += width) {
            UNROLL for (int i = 0; i < width - LANES; i += LANES)
                store(out + i, load(x + i));
            store(out + width - LANES, load_part(x + width - LANES, w - (width - LANES), 0));
        }
        return;
    }
    int64_t done = 0;
    if (sp == 1) {
        done = k / SQUARE * SQUARE;
        for (int i = 0; i < width; i += SQUARE) {
            /* AVX2: panels of A are 6 wide, squares 8 or 4. */
            const int lanes = width - i < SQUARE ? width - i : SQUARE;
            const int rows = w - i < 0 ? 0 : w - i < lanes ? w - i : lanes;
            if (rows == SQUARE)
                for (int64_t p = 0; p < done; p += SQUARE)
                    transpose_square(SQUARE, x + i * si + p, si, out + p * width + i, width, lanes);
            else
                for (int64_t p = 0; p < done; p += SQUARE)
                    transpose_square(rows, x + i * si + p, si, out + p * width + i, width, lanes);
        }
    }
    for (int64_t p = done; p < k; p++)
        for (int i = 0; i < width; i++) out[p * width + i] = i < w ? x[i * si + p * sp] : 0;
}

/* Panels of a transposed A that are filled side by side. Whole cache lines of A^T are read, and
 * panels a multiple of a page apart do not evict each other from the L1 cache (docs/tuning.md). */
enum { PACK_PANELS = 8 };

static void pack_a(int64_t m, int64_t k, const real *a, int64_t rsa, int64_t csa, real *out) {
    int64_t i = 0;
    for (; rsa == 1 && i + PACK_PANELS * MR <= m; i += PACK_PANELS * MR)
        for (int64_t p = 0; p < k; p++) {
            UNROLL for (int j = 0; j < PACK_PANELS; j++)
                memcpy(out + (i + j * MR) * k + p * MR, a + i + j * MR + p * csa,
                       MR * sizeof(real));
        }
    for (; i < m; i += MR)
        pack_panel(MR, m - i < MR ? (int)(m - i) : MR, k, a + i * rsa, rsa, csa, out + i * k);
}

/* Pack a panel of n <= NR columns. */
static void pack_b(int64_t n, int64_t k, const real *b, int64_t rsb, int64_t csb, real *out) {
    switch ((n + LANES - 1) / LANES) {
    case 1: pack_panel(LANES, (int)n, k, b, csb, rsb, out); break;
    case 2: pack_panel(2 * LANES, (int)n, k, b, csb, rsb, out); break;
#if NV > 2
    case 3: pack_panel(3 * LANES, (int)n, k, b, csb, rsb, out); break;
#endif
    }
}

#endif
