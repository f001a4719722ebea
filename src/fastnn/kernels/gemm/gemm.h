/* gemm.h: the micro-kernel of C := act(alpha A B + beta C + bias), one tile of C.
 *
 * The element c_ij is a chain of multiply-adds over p = 0..k-1, whatever the tile it falls in (in a
 * tile of one row: four chains, p mod 4, the rest of k in the first). A is a packed panel (then csa
 * is MR and rsa is not read) or rows in place with any strides; B is a packed panel or rows in
 * place, ldb elements apart, and has whole vectors: columns past n are computed and dropped. beta
 * == 0 never reads C. bias is n values along the columns, or NULL. preact, with the strides of C,
 * or NULL, receives the argument of the activation.
 */
#ifndef FASTNN_GEMM_H
#define FASTNN_GEMM_H

#include "activation.h"
#include "tile.h"

enum {
    PREFETCH_FROM = 128, /* steps of k during which a line can arrive from memory: 12 cycles each */
    ROWS_AHEAD = 16      /* steps of k that the tile of one row asks for B ahead */
};

/* acc += A B, A(i, p) being the expression ELEMENT after p steps of csa. */
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

/* One vector of C from its accumulator. */
INLINE vec finished(vec v, real alpha, real beta, vec c, const real *bias, vec bias_values,
                    int relu) {
    v = rounded(
        v * alpha); /* which of two products is fused must not depend on the copy of this code */
    if (beta != 0) v += beta * c;
    if (bias) v += bias_values;
    return relu ? relu_vec(v) : v;
}

/* The first m rows and n columns of a tile at the edge, its accumulators in memory: one copy for
 * all heights, a third of the code of the tiles otherwise. */
static __attribute__((noinline)) void finish_edge(const vec *acc, int64_t nv, int64_t m, int64_t n,
                                                  real alpha, real beta, real *c, int64_t ldc,
                                                  const real *bias, int relu) {
    for (int64_t j = 0; j < nv; j++) {
        const int64_t count =
            n - j * LANES < LANES ? n - j * LANES : LANES; /* columns of this vector, 1..LANES */
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

/* The first m rows and n columns of acc -> C, unit column stride. A tile that is whole takes the
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
    vec copy[TALL *
             NV]; /* not acc itself: its address in a call would keep it out of the registers */
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < nv; j++)
            copy[i * nv + j] = acc[i][j];
    }
    finish_edge(copy, nv, m, n, alpha, beta, c, ldc, bias, relu);
}

/* The lines of C that the tile will store to, asked for while k runs. */
INLINE void prefetch_tile(const int rows, const int nv, int64_t k, const real *c, int64_t ldc) {
    if (k < PREFETCH_FROM) return;
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < nv * VBYTES; j += 64)
            __builtin_prefetch((const char *)(c + i * ldc) + j, 1);
        __builtin_prefetch((const char *)(c + i * ldc) + nv * VBYTES - 1,
                           1); /* a row that is not aligned ends one line later */
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

/* Rows of A in place, as many as the tile has: nothing is computed to be dropped, and nothing read
 * out of bounds. */
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

/* More than MR rows in place, one vector wide. A function for each height, and a pointer for every
 * four rows that the compiler is kept from deriving from the others: the addresses of all rows then
 * fit the registers, which makes a quarter of the speed. */
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

/* One row: four chains for each vector hide the latency that eight rows would have hidden. B is
 * used once and comes from far away. */
INLINE void tile_row(const int nv, int64_t n, int64_t k, real alpha, const real *restrict a,
                     int64_t csa, const real *restrict b, int64_t ldb, real beta, real *c,
                     const real *bias, int relu) {
    vec acc[4][NV];
    UNROLL for (int u = 0; u < 4; u++) {
        UNROLL for (int j = 0; j < nv; j++)
            acc[u][j] = (vec){0};
    }
    int64_t p = 0;
    for (; p + 4 <= k; p += 4) {
        UNROLL for (int u = 0; u < 4; u++) {
            const vec av = splat(a[(p + u) * csa]);
            UNROLL for (int j = 0; j < nv * VBYTES; j += 64)
                __builtin_prefetch((const char *)(b + (p + u + ROWS_AHEAD) * ldb) + j);
            UNROLL for (int j = 0; j < nv; j++)
                acc[u][j] += av * load(b + (p + u) * ldb + j * LANES);
        }
    }
    for (; p < k; p++) {
        UNROLL for (int j = 0; j < nv; j++)
            acc[0][j] += a[p * csa] * load(b + p * ldb + j * LANES);
    }
    UNROLL for (int j = 0; j < nv; j++)
        acc[0][j] = (acc[0][j] + acc[1][j]) + (acc[2][j] + acc[3][j]);
    finish(1, nv, acc, 1, n, alpha, beta, c, 0, bias, relu);
}

/* In a function of its own: beside it the compiler lays out the loops of higher tiles worse (512
 * cubed with transposed A 416, without it 440 GFLOP/s). */
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

/* Trip counts become constants: a tile of every height and width is compiled. */
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

/* The tile of C, m <= MR rows (TALL where n <= LANES and A is in place) and n <= NR columns, any
 * strides. There is one loop over k and no scalar tail; columns of C that are not contiguous go
 * through a tile on the stack. Activations other than ReLU are a second pass over the tile, which
 * is in the L1 cache then. */
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
