/* gemm.h: the micro-kernel of C := act(alpha A B + beta C + bias), one tile of C.
 *
 * c_ij is one chain of multiply-adds over p = 0..k-1, whatever tile it falls in: a row has the same
 * bits whatever rows come with it. A is a packed panel (then csa is MR and rsa is not read) or rows
 * in place with any strides. B is a packed panel or rows in place, ldb elements apart, and has whole
 * vectors: columns past n are computed and dropped. beta == 0 never reads C. bias is n values along
 * the columns, or NULL. preact, NULL or with the strides of C, receives the pre-activation.
 */
#ifndef FASTNN_GEMM_H
#define FASTNN_GEMM_H

#include "activation.h"
#include "tile.h"

enum {
    /* Minimum k for prefetching C: a line arrives within that many steps, 12 cycles each. */
    PREFETCH_FROM = 128,
    /* Prefetch distance of B in steps of k, for a tile of one row. */
    ROWS_AHEAD = 16
};

/* acc += A B; ELEMENT is A(i, p) after `a` has advanced p steps of csa. */
#define ACCUMULATE(rows, ELEMENT)               \
    for (int64_t p = 0; p < k; p++) {           \
        vec bv[NV];                             \
        UNROLL for (int j = 0; j < nv; j++)     \
            bv[j] = load(b + j * LANES);        \
        UNROLL for (int i = 0; i < rows; i++) { \
            const vec av = splat(ELEMENT);      \
            UNROLL for (int j = 0; j < nv; j++) \
                acc[i][j] += av * bv[j];        \
        }                                       \
        b += ldb;                               \
        a += csa;                               \
    }

/* Compute one vector of C from its accumulator. */
INLINE vec finished(vec v, real alpha, real beta, vec c, const real *bias, vec bias_values,
                    int relu) {
    /* FMA barrier: which product is fused must not depend on the copy of this code. */
    v = rounded(v * alpha);
    if (beta != 0) v += beta * c;
    if (bias) v += bias_values;
    return relu ? relu_vec(v) : v;
}

/* Store the first m rows and n columns of an edge tile. The accumulators are in memory, so one copy
 * serves all heights; inlined copies would be a third of the code of all tiles. */
static __attribute__((noinline)) void finish_edge(const vec *acc, int64_t nv, int64_t m, int64_t n,
                                                  real alpha, real beta, real *c, int64_t ldc,
                                                  const real *bias, int relu) {
    for (int64_t j = 0; j < nv; j++) {
        /* columns of this vector, 1..LANES */
        const int64_t count = n - j * LANES < LANES ? n - j * LANES : LANES;
        const vec bias_values = bias ? load_part(bias + j * LANES, count, 0) : (vec){0};
        for (int64_t i = 0; i < m; i++) {
            real *cij = c + i * ldc + j * LANES;
            store_part(cij, count,
                       finished(acc[i * nv + j], alpha, beta,
                                beta != 0 ? load_part(cij, count, 0) : (vec){0}, bias, bias_values,
                                relu));
        }
    }
}

/* Store the first m rows and n columns of acc to C (unit column stride). A whole tile takes the
 * loop without conditions. */
INLINE void finish(const int rows, const int nv, vec acc[][NV], int64_t m, int64_t n, real alpha,
                   real beta, real *c, int64_t ldc, const real *bias, int relu) {
    if (m == rows && n == nv * LANES) {
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int j = 0; j < nv; j++) {
                real *cij = c + i * ldc + j * LANES;
                store(cij, finished(acc[i][j], alpha, beta, beta != 0 ? load(cij) : (vec){0}, bias,
                                    bias ? load(bias + j * LANES) : (vec){0}, relu));
            }
        }
        return;
    }
    /* A copy: passing the address of acc would keep it out of registers. */
    vec copy[TALL * NV];
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < nv; j++)
            copy[i * nv + j] = acc[i][j];
    }
    finish_edge(copy, nv, m, n, alpha, beta, c, ldc, bias, relu);
}

/* Prefetch the cache lines of C that the tile will store to. */
INLINE void prefetch_tile(const int rows, const int nv, int64_t k, const real *c, int64_t ldc) {
    if (k < PREFETCH_FROM) return;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < nv * VBYTES; j += 64)
            __builtin_prefetch((const char *)(c + i * ldc) + j, 1);
        /* an unaligned row ends one cache line later */
        __builtin_prefetch((const char *)(c + i * ldc) + nv * VBYTES - 1, 1);
    }
}

INLINE void tile_packed(const int nv, int64_t m, int64_t n, int64_t k, real alpha,
                        const real *restrict a, const real *restrict b, int64_t ldb, real beta,
                        real *c, int64_t ldc, const real *bias, int relu) {
    enum { csa = MR };
    vec acc[MR][NV];
    prefetch_tile(MR, nv, k, c, ldc);
    UNROLL for (int i = 0; i < MR; i++) {
        UNROLL for (int j = 0; j < nv; j++)
            acc[i][j] = (vec){0};
    }
    ACCUMULATE(MR, a[i])
    finish(MR, nv, acc, m, n, alpha, beta, c, ldc, bias, relu);
}

/* Edge tile of `rows` <= MR rows, A read in place: no wasted work, no out-of-bounds reads. */
INLINE void tile_in_place(const int rows, const int nv, int64_t n, int64_t k, real alpha,
                          const real *restrict a, int64_t rsa, int64_t csa, const real *restrict b,
                          int64_t ldb, real beta, real *c, int64_t ldc, const real *bias,
                          int relu) {
    vec acc[MR][NV];
    prefetch_tile(rows, nv, k, c, ldc);
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < nv; j++)
            acc[i][j] = (vec){0};
    }
    ACCUMULATE(rows, a[i * rsa])
    finish(rows, nv, acc, rows, n, alpha, beta, c, ldc, bias, relu);
}

/* More than MR rows in place, one vector wide. One function per height and one opaque base pointer
 * per four rows: the addresses of all rows then stay in registers (docs/tuning.md, "The tile"). */
INLINE void accumulate_tall(const int rows, int64_t k, const real *restrict a, int64_t rsa,
                            int64_t csa, const real *restrict b, int64_t ldb, vec acc[][NV]) {
    const real *four[TALL / 4];
    vec sums[TALL];
    UNROLL for (int i = 0; i < rows; i += 4) {
        four[i / 4] = a + i * rsa;
        __asm__("" : "+r"(four[i / 4]));
    }
    UNROLL for (int i = 0; i < rows; i++)
        sums[i] = (vec){0};
    for (int64_t p = 0; p < k; p++) {
        const vec bv = load(b);
        UNROLL for (int i = 0; i < rows; i++)
            sums[i] += four[i / 4][i % 4 * rsa] * bv;
        b += ldb;
        UNROLL for (int i = 0; i < rows; i += 4)
            four[i / 4] += csa;
    }
    UNROLL for (int i = 0; i < rows; i++)
        acc[i][0] = sums[i];
}
#define TALL_HEIGHTS(H) H(5) H(6) H(7) H(8) H(9) H(10) H(11) H(12) H(13) H(14) H(15) H(16)
#define ACCUMULATE_TALL(rows)                                                                \
    static __attribute__((noinline)) void accumulate_##rows(                                 \
        int64_t k, const real *restrict a, int64_t rsa, int64_t csa, const real *restrict b, \
        int64_t ldb, vec acc[][NV]) {                                                        \
        if (rows > MR && rows <= TALL) accumulate_tall(rows, k, a, rsa, csa, b, ldb, acc);   \
    }
TALL_HEIGHTS(ACCUMULATE_TALL)

static void tile_tall(int64_t m, int64_t n, int64_t k, real alpha, const real *restrict a,
                      int64_t rsa, int64_t csa, const real *restrict b, int64_t ldb, real beta,
                      real *c, int64_t ldc, const real *bias, int relu) {
    vec acc[TALL][NV];
#define ROWS(rows) \
    case rows: accumulate_##rows(k, a, rsa, csa, b, ldb, acc); break;
    switch (m) { TALL_HEIGHTS(ROWS) }
#undef ROWS
    finish(TALL, 1, acc, m, n, alpha, beta, c, ldc, bias, relu);
}

/* One row. B is used once and comes from memory, so it is prefetched. */
INLINE void tile_row(const int nv, int64_t n, int64_t k, real alpha, const real *restrict a,
                     int64_t csa, const real *restrict b, int64_t ldb, real beta, real *c,
                     const real *bias, int relu) {
    vec acc[1][NV];
    UNROLL for (int j = 0; j < nv; j++)
        acc[0][j] = (vec){0};
    for (int64_t p = 0; p < k; p++, a += csa, b += ldb) {
        const vec av = splat(*a);
        UNROLL for (int j = 0; j < nv * VBYTES; j += 64)
            __builtin_prefetch((const char *)(b + ROWS_AHEAD * ldb) + j);
        UNROLL for (int j = 0; j < nv; j++)
            acc[0][j] += av * load(b + j * LANES);
    }
    finish(1, nv, acc, 1, n, alpha, beta, c, 0, bias, relu);
}

/* Not inlined: next to it the compiler lays out the loops of taller tiles worse (docs/tuning.md,
 * "The tile"). */
static __attribute__((noinline)) void tile_of_one_row(int nv, int64_t n, int64_t k, real alpha,
                                                      const real *restrict a, int64_t csa,
                                                      const real *restrict b, int64_t ldb,
                                                      real beta, real *c, const real *bias,
                                                      int relu) {
    switch (nv) {
    case 1: tile_row(1, n, k, alpha, a, csa, b, ldb, beta, c, bias, relu); break;
    case 2: tile_row(2, n, k, alpha, a, csa, b, ldb, beta, c, bias, relu); break;
#if NV > 2
    case 3: tile_row(3, n, k, alpha, a, csa, b, ldb, beta, c, bias, relu); break;
#endif
    }
}

INLINE void tile(const int nv, int64_t m, int64_t n, int64_t k, real alpha, int packed,
                 const real *a, int64_t rsa, int64_t csa, const real *b, int64_t ldb, real beta,
                 real *c, int64_t ldc, const real *bias, int relu) {
    if (packed) {
        tile_packed(nv, m, n, k, alpha, a, b, ldb, beta, c, ldc, bias, relu);
        return;
    }
#define ROWS(rows)                                                                               \
    case rows:                                                                                   \
        if (rows <= MR) {                                                                        \
            tile_in_place(rows, nv, n, k, alpha, a, rsa, csa, b, ldb, beta, c, ldc, bias, relu); \
            break;                                                                               \
        }                                                                                        \
        __attribute__((fallthrough));
    switch (m) {
    case 1:
        tile_of_one_row(nv, n, k, alpha, a, csa, b, ldb, beta, c, bias, relu);
        break;
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
        ROWS(7)
        ROWS(8)
    default:
        if (nv == 1) tile_tall(m, n, k, alpha, a, rsa, csa, b, ldb, beta, c, ldc, bias, relu);
    }
#undef ROWS
}

/* Make the trip counts constants: one copy of the tile per height and width. */
static void tile_of_width(int64_t m, int64_t n, int64_t k, real alpha, int packed, const real *a,
                          int64_t rsa, int64_t csa, const real *b, int64_t ldb, real beta, real *c,
                          int64_t ldc, const real *bias, int relu) {
    switch ((n + LANES - 1) / LANES) {
    case 1: tile(1, m, n, k, alpha, packed, a, rsa, csa, b, ldb, beta, c, ldc, bias, relu); break;
    case 2: tile(2, m, n, k, alpha, packed, a, rsa, csa, b, ldb, beta, c, ldc, bias, relu); break;
#if NV > 2
    case 3: tile(3, m, n, k, alpha, packed, a, rsa, csa, b, ldb, beta, c, ldc, bias, relu); break;
#endif
    }
}

static void copy_tile(int64_t m, int64_t n, const real *x, int64_t rsx, int64_t csx, real *y,
                      int64_t rsy, int64_t csy) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * rsy + j * csy] = x[i * rsx + j * csx];
}

/* Compute a tile of C with any strides: m <= MR rows (TALL if n <= LANES and A is in place), n <=
 * NR columns. There is one loop over k and no scalar tail. If columns of C are not contiguous, the
 * tile is computed on the stack and copied. Activations other than ReLU take a second pass over the
 * tile, which is in the L1 cache by then. */
static void gemm_tile(int64_t m, int64_t n, int64_t k, real alpha, int packed, const real *a,
                      int64_t rsa, int64_t csa, const real *b, int64_t ldb, real beta, real *c,
                      int64_t rsc, int64_t csc, const real *bias, int activation, real *preact) {
    const int relu = activation == FASTNN_ACT_RELU && !preact;
    if (csc == 1) {
        tile_of_width(m, n, k, alpha, packed, a, rsa, csa, b, ldb, beta, c, rsc, bias, relu);
        if (preact) copy_tile(m, n, c, rsc, 1, preact, rsc, 1);
        if (!relu && activation != FASTNN_ACT_NONE) activate_block(activation, m, n, c, rsc);
        return;
    }
    real copy[TALL * NR];
    if (beta != 0) copy_tile(m, n, c, rsc, csc, copy, NR, 1);
    gemm_tile(m, n, k, alpha, packed, a, rsa, csa, b, ldb, beta, copy, NR, 1, bias,
              preact ? FASTNN_ACT_NONE : activation, NULL);
    if (preact) {
        copy_tile(m, n, copy, NR, 1, preact, rsc, csc);
        activate_block(activation, m, n, copy, NR);
    }
    copy_tile(m, n, copy, NR, 1, c, rsc, csc);
}

#endif
