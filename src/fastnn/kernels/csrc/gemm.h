/* gemm.h: packing and the micro-kernel of C := act(alpha A B + beta C + bias).
 *
 * Packed A is panels of MR rows, each stored k-major: a[p * MR + i]. Packed B is panels of NR columns: b[p * width + j], where width is NR, and in the last
 * panel of a narrow B as many whole vectors as its columns need. Both are padded with zeros, so the loop over k has no branch.
 *
 * Registers: MR * NV accumulators must outnumber FMA ports x latency (2 x 4) and leave room for NV vectors of B and one broadcast of A:
 *   AVX-512 (32)   MR x NV = 8 x 3: 24 + 3 + 1
 *   AVX2 (16)      6 x 2: 12 + 2 + 1
 *   SSE2 (16)      4 x 2:  8 + 2 + 1 and a product
 *   NEON (32)      8 x 3: 24 + 3 + 1
 * Every element of C is one chain of fused multiply-adds over p = 0..k-1, whatever the tile it falls in, so the bits do not depend on the split of the work.
 */
#ifndef FASTNN_GEMM_H
#define FASTNN_GEMM_H

#include "vec.h"

#ifndef MR
#if defined(__AVX512F__) || defined(__aarch64__)
#define MR 8
#define NV 3
#elif defined(__AVX2__)
#define MR 6
#define NV 2
#else
#define MR 4
#define NV 2
#endif
#endif
#define NR (NV * LANES)

/* One panel: out[p * width + i] = x[i * si + p * sp] for i < w, and 0 for w <= i < width. The strides are constants where a caller knows them. */
INLINE void pack_panel(int w, int width, int64_t k, const real *x, int64_t si, int64_t sp, real *out) {
    if (w == width && si == 1) {
        for (int64_t p = 0; p < k; p++) memcpy(out + p * width, x + p * sp, (size_t)width * sizeof(real));
        return;
    }
    if (w < width) memset(out, 0, (size_t)(k * width) * sizeof(real));
    for (int i = 0; i < w; i++)
        for (int64_t p = 0; p < k; p++) out[p * width + i] = x[i * si + p * sp];
}

static void pack_a(int64_t m, int64_t k, const real *a, int64_t rsa, int64_t csa, real *out) {
    for (int64_t i = 0; i < m; i += MR) {
        const int w = m - i < MR ? (int)(m - i) : MR;
        pack_panel(w, MR, k, a + i * rsa, rsa, csa, out + i * k);
    }
}

static void pack_b(int64_t k, int64_t n, const real *b, int64_t rsb, int64_t csb, real *out) {
    for (int64_t j = 0; j < n; j += NR) {
        const int w = n - j < NR ? (int)(n - j) : NR;
        const int width = (w + LANES - 1) / LANES * LANES;
        pack_panel(w, width, k, b + j * csb, csb, rsb, out + j * k);
    }
}

/* The product of one panel of A and nv vectors of one panel of B, then the store. c has unit column stride and room for MR x nv vectors. */
INLINE void tile(const int nv, int64_t k, real alpha, const real *restrict a, const real *restrict b, real beta, real *c, int64_t ldc, const real *bias,
                 int activation) {
    vec acc[MR][NV];
    UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = (vec){0};
    for (int64_t p = 0; p < k; p++) {
        vec bv[NV];
        UNROLL for (int j = 0; j < nv; j++) bv[j] = load(b + j * LANES);
        UNROLL for (int i = 0; i < MR; i++) {
            const vec av = splat(a[i]);
            UNROLL for (int j = 0; j < nv; j++) acc[i][j] += av * bv[j];
        }
        a += MR;
        b += nv * LANES;
    }
    UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < nv; j++) {
        real *cij = c + i * ldc + j * LANES;
        vec v = alpha * acc[i][j];
        if (beta != 0) v += beta * load(cij);
        if (bias) v += load(bias + j * LANES);
        if (activation == FASTNN_ACT_RELU) v = relu_vec(v);
        store(cij, v);
    }
}

static void tile_of_width(int nv, int64_t k, real alpha, const real *a, const real *b, real beta, real *c, int64_t ldc, const real *bias, int activation) {
    switch (nv) { /* the trip counts of tile() become constants */
    case 1: tile(1, k, alpha, a, b, beta, c, ldc, bias, activation); break;
#if NV >= 3
    case 2: tile(2, k, alpha, a, b, beta, c, ldc, bias, activation); break;
#endif
#if NV >= 4
    case 3: tile(3, k, alpha, a, b, beta, c, ldc, bias, activation); break;
#endif
    default: tile(NV, k, alpha, a, b, beta, c, ldc, bias, activation);
    }
}

/* C (m x n, m <= MR, n <= NR, any strides) from packed panels. beta == 0 never reads C; bias (n values or NULL) goes along the columns.
 * A tile that is cut by the edge of C goes through a tile on the stack: there is one loop over k and no scalar tail. */
static void gemm_tile(int64_t m, int64_t n, int64_t k, real alpha, const real *a, const real *b, real beta, real *c, int64_t rsc, int64_t csc,
                      const real *bias, int activation) {
    const int nv = (int)((n + LANES - 1) / LANES);
    const int width = nv * LANES;
    if (m == MR && n == width && csc == 1) {
        tile_of_width(nv, k, alpha, a, b, beta, c, rsc, bias, activation);
        return;
    }
    real edge[MR * NR], edge_bias[NR] = {0};
    if (beta != 0) {
        memset(edge, 0, sizeof edge);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) edge[i * width + j] = c[i * rsc + j * csc];
    }
    if (bias)
        memcpy(edge_bias, bias, (size_t)n * sizeof(real));
    tile_of_width(nv, k, alpha, a, b, beta, edge, width, bias ? edge_bias : NULL, activation);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) c[i * rsc + j * csc] = edge[i * width + j];
}

#endif
