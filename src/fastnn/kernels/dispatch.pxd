"""The tables of C leaves, and one wrapper for each leaf that picks the table of the real type at compile time.

`leaves_f32` and `leaves_f64` are set once, when `dispatch` is imported, to the widest instruction set that the CPU has and FASTNN_ISA allows.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

ctypedef fused real:
    float
    double

cdef extern from "leaves.h" nogil:
    enum:
        FASTNN_ACT_NONE
        FASTNN_ACT_RELU
        FASTNN_ACT_GELU
        FASTNN_ACT_GELU_TANH
        FASTNN_ACT_TANH
        FASTNN_ACT_SIGMOID
        FASTNN_ACT_SILU

    enum:
        FASTNN_ATTENTION_TILES
        FASTNN_MASK_NONE
        FASTNN_MASK_BOOLEAN
        FASTNN_MASK_ADDITIVE

    struct fastnn_adam_f32:
        float grad_scale, l2, keep, beta1, beta2, one_minus_beta1, one_minus_beta2, step_size, inv_sqrt_correction2, eps

    struct fastnn_adam_f64:
        double grad_scale, l2, keep, beta1, beta2, one_minus_beta1, one_minus_beta2, step_size, inv_sqrt_correction2, eps

    struct fastnn_leaves_f32:
        int64_t lanes, mr, nr, dot_tile, dot_rows, dot_columns
        void (*pack_a)(int64_t, int64_t, const float*, int64_t, int64_t, float*) noexcept nogil
        void (*pack_b)(int64_t, int64_t, const float*, int64_t, int64_t, float*) noexcept nogil
        void (*gemm_tile)(int64_t, int64_t, int64_t, float, int, const float*, int64_t, int64_t, const float*, int64_t, float,
                          float*, int64_t, int64_t, const float*, int, float*) noexcept nogil
        void (*gemm_dots)(int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, int64_t, float, float*, int64_t, int64_t,
                          const float*, int, float*) noexcept nogil
        void (*pack_columns)(int64_t, int64_t, const float*, int64_t, float*) noexcept nogil
        void (*gemv_rows)(int64_t, int64_t, const float*, const float*, int64_t, float*) noexcept nogil
        void (*gemv_columns)(int64_t, int64_t, const float*, const float*, int64_t, float*) noexcept nogil
        void (*gemv_finish)(int64_t, float, float*, float, float*, int64_t, const float*, int64_t, int, float*) noexcept nogil
        void (*activation)(int, int64_t, int64_t, const float*, int64_t, float*, int64_t) noexcept nogil
        void (*activation_backward)(int, int64_t, int64_t, const float*, int64_t, const float*, int64_t, float*, int64_t, float*) noexcept nogil
        void (*scale)(int64_t, float, float*) noexcept nogil
        void (*add)(int64_t, const float*, float*) noexcept nogil
        double (*mse)(int64_t, const float*, const float*, double, float*) noexcept nogil
        void (*sum_squares)(int64_t, const float*, double, double*, double*) noexcept nogil
        float (*max_abs)(int64_t, const float*) noexcept nogil
        void (*softmax)(int64_t, const float*, float*) noexcept nogil
        void (*softmax_backward)(int64_t, const float*, const float*, float*) noexcept nogil
        double (*cross_entropy)(int64_t, const float*, int64_t, double, float*) noexcept nogil
        void (*pack_panels)(int64_t, int64_t, const float*, int64_t, int64_t, float*) noexcept nogil
        int (*all_finite)(int64_t, const float*) noexcept nogil
        void (*attention_scores)(int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, const int64_t*, float*,
                                 int64_t) noexcept nogil
        void (*attention_mask)(int, int64_t, const int64_t*, float*, int64_t, const void*, int64_t, int64_t) noexcept nogil
        void (*attention_softmax)(int64_t, const int64_t*, float*, int64_t, float*, float*, int64_t, float*, int64_t) noexcept nogil
        void (*attention_values)(int64_t, int64_t, int64_t, const float*, int64_t, const int64_t*, const float*, int, float, float*,
                                 int64_t) noexcept nogil
        void (*attention_finish)(int64_t, int64_t, const float*, const float*, float*, int64_t, float*) noexcept nogil
        void (*attention_probabilities)(int64_t, const int64_t*, int64_t, float*, int64_t, const float*) noexcept nogil
        void (*attention_delta)(int64_t, int64_t, const float*, int64_t, const float*, int64_t, float*) noexcept nogil
        void (*attention_dscores)(int64_t, int64_t, float, const float*, const float*, float*, int64_t) noexcept nogil
        void (*attention_transposed)(int64_t, int64_t, int64_t, const float*, int64_t, const int64_t*, const float*, int, float*,
                                     int64_t) noexcept nogil
        void (*attention_few_scores)(int64_t, int64_t, int64_t, const float*, const float*, int64_t, float*, int64_t) noexcept nogil
        void (*attention_few_values)(int64_t, int64_t, int64_t, const float*, int64_t, const int64_t*, int, const float*, int64_t, float*,
                                     int64_t) noexcept nogil
        void (*additive_scores)(int64_t, int64_t, const float*, const float*, int64_t, const float*, float*) noexcept nogil
        void (*additive_scores_backward)(int64_t, int64_t, const float*, const float*, const float*, int64_t, const float*, float*, float*,
                                         int64_t, float*) noexcept nogil
        void (*philox)(int64_t, uint64_t, uint64_t, uint64_t, uint32_t*) noexcept nogil
        void (*dropout)(int64_t, const float*, const float*, double, uint64_t, uint64_t, uint64_t, float*) noexcept nogil
        void (*sgd)(int64_t, float*, const float*, float*, float, float, int, float, float) noexcept nogil
        void (*adam)(int64_t, float*, const float*, float*, float*, const fastnn_adam_f32*) noexcept nogil

    struct fastnn_leaves_f64:
        int64_t lanes, mr, nr, dot_tile, dot_rows, dot_columns
        void (*pack_a)(int64_t, int64_t, const double*, int64_t, int64_t, double*) noexcept nogil
        void (*pack_b)(int64_t, int64_t, const double*, int64_t, int64_t, double*) noexcept nogil
        void (*gemm_tile)(int64_t, int64_t, int64_t, double, int, const double*, int64_t, int64_t, const double*, int64_t, double,
                          double*, int64_t, int64_t, const double*, int, double*) noexcept nogil
        void (*gemm_dots)(int64_t, int64_t, int64_t, double, const double*, int64_t, const double*, int64_t, double, double*, int64_t, int64_t,
                          const double*, int, double*) noexcept nogil
        void (*pack_columns)(int64_t, int64_t, const double*, int64_t, double*) noexcept nogil
        void (*gemv_rows)(int64_t, int64_t, const double*, const double*, int64_t, double*) noexcept nogil
        void (*gemv_columns)(int64_t, int64_t, const double*, const double*, int64_t, double*) noexcept nogil
        void (*gemv_finish)(int64_t, double, double*, double, double*, int64_t, const double*, int64_t, int, double*) noexcept nogil
        void (*activation)(int, int64_t, int64_t, const double*, int64_t, double*, int64_t) noexcept nogil
        void (*activation_backward)(int, int64_t, int64_t, const double*, int64_t, const double*, int64_t, double*, int64_t, double*) noexcept nogil
        void (*scale)(int64_t, double, double*) noexcept nogil
        void (*add)(int64_t, const double*, double*) noexcept nogil
        double (*mse)(int64_t, const double*, const double*, double, double*) noexcept nogil
        void (*sum_squares)(int64_t, const double*, double, double*, double*) noexcept nogil
        double (*max_abs)(int64_t, const double*) noexcept nogil
        void (*softmax)(int64_t, const double*, double*) noexcept nogil
        void (*softmax_backward)(int64_t, const double*, const double*, double*) noexcept nogil
        double (*cross_entropy)(int64_t, const double*, int64_t, double, double*) noexcept nogil
        void (*pack_panels)(int64_t, int64_t, const double*, int64_t, int64_t, double*) noexcept nogil
        int (*all_finite)(int64_t, const double*) noexcept nogil
        void (*attention_scores)(int64_t, int64_t, int64_t, double, const double*, int64_t, const double*, const int64_t*, double*,
                                 int64_t) noexcept nogil
        void (*attention_mask)(int, int64_t, const int64_t*, double*, int64_t, const void*, int64_t, int64_t) noexcept nogil
        void (*attention_softmax)(int64_t, const int64_t*, double*, int64_t, double*, double*, int64_t, double*, int64_t) noexcept nogil
        void (*attention_values)(int64_t, int64_t, int64_t, const double*, int64_t, const int64_t*, const double*, int, double, double*,
                                 int64_t) noexcept nogil
        void (*attention_finish)(int64_t, int64_t, const double*, const double*, double*, int64_t, double*) noexcept nogil
        void (*attention_probabilities)(int64_t, const int64_t*, int64_t, double*, int64_t, const double*) noexcept nogil
        void (*attention_delta)(int64_t, int64_t, const double*, int64_t, const double*, int64_t, double*) noexcept nogil
        void (*attention_dscores)(int64_t, int64_t, double, const double*, const double*, double*, int64_t) noexcept nogil
        void (*attention_transposed)(int64_t, int64_t, int64_t, const double*, int64_t, const int64_t*, const double*, int, double*,
                                     int64_t) noexcept nogil
        void (*attention_few_scores)(int64_t, int64_t, int64_t, const double*, const double*, int64_t, double*, int64_t) noexcept nogil
        void (*attention_few_values)(int64_t, int64_t, int64_t, const double*, int64_t, const int64_t*, int, const double*, int64_t, double*,
                                     int64_t) noexcept nogil
        void (*additive_scores)(int64_t, int64_t, const double*, const double*, int64_t, const double*, double*) noexcept nogil
        void (*additive_scores_backward)(int64_t, int64_t, const double*, const double*, const double*, int64_t, const double*, double*, double*,
                                         int64_t, double*) noexcept nogil
        void (*philox)(int64_t, uint64_t, uint64_t, uint64_t, uint32_t*) noexcept nogil
        void (*dropout)(int64_t, const double*, const double*, double, uint64_t, uint64_t, uint64_t, double*) noexcept nogil
        void (*sgd)(int64_t, double*, const double*, double*, double, double, int, double, double) noexcept nogil
        void (*adam)(int64_t, double*, const double*, double*, double*, const fastnn_adam_f64*) noexcept nogil

cdef const fastnn_leaves_f32 *leaves_f32
cdef const fastnn_leaves_f64 *leaves_f64


# pack.h, gemm.h, gemv.h, dots.h

cdef inline int64_t tile_rows(const real *_) noexcept nogil:
    return leaves_f32.mr if real is float else leaves_f64.mr

cdef inline int64_t tile_columns(const real *_) noexcept nogil:
    return leaves_f32.nr if real is float else leaves_f64.nr

cdef inline int64_t vector_lanes(const real *_) noexcept nogil:
    return leaves_f32.lanes if real is float else leaves_f64.lanes

cdef inline int64_t dot_tile(const real *_) noexcept nogil:
    return leaves_f32.dot_tile if real is float else leaves_f64.dot_tile

cdef inline int64_t dot_rows(const real *_) noexcept nogil:
    return leaves_f32.dot_rows if real is float else leaves_f64.dot_rows

cdef inline int64_t dot_columns(const real *_) noexcept nogil:
    return leaves_f32.dot_columns if real is float else leaves_f64.dot_columns

cdef inline void pack_a(int64_t m, int64_t k, const real *a, int64_t rsa, int64_t csa, real *out) noexcept nogil:
    if real is float:
        leaves_f32.pack_a(m, k, a, rsa, csa, out)
    else:
        leaves_f64.pack_a(m, k, a, rsa, csa, out)

cdef inline void pack_b(int64_t n, int64_t k, const real *b, int64_t rsb, int64_t csb, real *out) noexcept nogil:
    if real is float:
        leaves_f32.pack_b(n, k, b, rsb, csb, out)
    else:
        leaves_f64.pack_b(n, k, b, rsb, csb, out)

cdef inline void gemm_tile(int64_t m, int64_t n, int64_t k, real alpha, int packed, const real *a, int64_t rsa, int64_t csa, const real *b,
                           int64_t ldb, real beta, real *c, int64_t rsc, int64_t csc, const real *bias, int activation,
                           real *preact) noexcept nogil:
    if real is float:
        leaves_f32.gemm_tile(m, n, k, alpha, packed, a, rsa, csa, b, ldb, beta, c, rsc, csc, bias, activation, preact)
    else:
        leaves_f64.gemm_tile(m, n, k, alpha, packed, a, rsa, csa, b, ldb, beta, c, rsc, csc, bias, activation, preact)

cdef inline void gemm_dots(int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t rsa, const real *b, int64_t csb, real beta,
                           real *c, int64_t rsc, int64_t csc, const real *bias, int activation, real *preact) noexcept nogil:
    if real is float:
        leaves_f32.gemm_dots(m, n, k, alpha, a, rsa, b, csb, beta, c, rsc, csc, bias, activation, preact)
    else:
        leaves_f64.gemm_dots(m, n, k, alpha, a, rsa, b, csb, beta, c, rsc, csc, bias, activation, preact)

cdef inline void pack_columns(int64_t k, int64_t n, const real *b, int64_t rsb, real *out) noexcept nogil:
    if real is float:
        leaves_f32.pack_columns(k, n, b, rsb, out)
    else:
        leaves_f64.pack_columns(k, n, b, rsb, out)

cdef inline void gemv_rows(int64_t k, int64_t n, const real *x, const real *b, int64_t ldb, real *y) noexcept nogil:
    if real is float:
        leaves_f32.gemv_rows(k, n, x, b, ldb, y)
    else:
        leaves_f64.gemv_rows(k, n, x, b, ldb, y)

cdef inline void gemv_columns(int64_t k, int64_t n, const real *x, const real *b, int64_t ldb, real *y) noexcept nogil:
    if real is float:
        leaves_f32.gemv_columns(k, n, x, b, ldb, y)
    else:
        leaves_f64.gemv_columns(k, n, x, b, ldb, y)

cdef inline void gemv_finish(int64_t n, real alpha, real *y, real beta, real *c, int64_t incc, const real *bias, int64_t incbias,
                             int activation, real *preact) noexcept nogil:
    if real is float:
        leaves_f32.gemv_finish(n, alpha, y, beta, c, incc, bias, incbias, activation, preact)
    else:
        leaves_f64.gemv_finish(n, alpha, y, beta, c, incc, bias, incbias, activation, preact)


# activation.h

cdef inline void activation_block(int kind, int64_t m, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy) noexcept nogil:
    if real is float:
        leaves_f32.activation(kind, m, n, x, ldx, y, ldy)
    else:
        leaves_f64.activation(kind, m, n, x, ldx, y, ldy)

cdef inline void activation_backward_block(int kind, int64_t m, int64_t n, const real *dy, int64_t lddy, const real *saved, int64_t ldsaved,
                                           real *dx, int64_t lddx, real *sums) noexcept nogil:
    if real is float:
        leaves_f32.activation_backward(kind, m, n, dy, lddy, saved, ldsaved, dx, lddx, sums)
    else:
        leaves_f64.activation_backward(kind, m, n, dy, lddy, saved, ldsaved, dx, lddx, sums)


# elementwise.h

cdef inline void scale_run(int64_t n, real factor, real *x) noexcept nogil:
    if real is float:
        leaves_f32.scale(n, factor, x)
    else:
        leaves_f64.scale(n, factor, x)

cdef inline void add_run(int64_t n, const real *x, real *y) noexcept nogil:
    if real is float:
        leaves_f32.add(n, x, y)
    else:
        leaves_f64.add(n, x, y)

cdef inline double mse_run(int64_t n, const real *pred, const real *target, double factor, real *dpred) noexcept nogil:
    if real is float:
        return leaves_f32.mse(n, pred, target, factor, dpred)
    else:
        return leaves_f64.mse(n, pred, target, factor, dpred)


# reduce.h

cdef inline void sum_squares_run(int64_t n, const real *x, double factor, double *hi, double *lo) noexcept nogil:
    if real is float:
        leaves_f32.sum_squares(n, x, factor, hi, lo)
    else:
        leaves_f64.sum_squares(n, x, factor, hi, lo)

cdef inline real max_abs_run(int64_t n, const real *x) noexcept nogil:
    if real is float:
        return leaves_f32.max_abs(n, x)
    else:
        return leaves_f64.max_abs(n, x)


# softmax.h

cdef inline void softmax_row(int64_t n, const real *x, real *y) noexcept nogil:
    if real is float:
        leaves_f32.softmax(n, x, y)
    else:
        leaves_f64.softmax(n, x, y)

cdef inline void softmax_backward_row(int64_t n, const real *dy, const real *y, real *dx) noexcept nogil:
    if real is float:
        leaves_f32.softmax_backward(n, dy, y, dx)
    else:
        leaves_f64.softmax_backward(n, dy, y, dx)

cdef inline double cross_entropy_row(int64_t n, const real *logits, int64_t target, double factor, real *dlogits) noexcept nogil:
    if real is float:
        return leaves_f32.cross_entropy(n, logits, target, factor, dlogits)
    else:
        return leaves_f64.cross_entropy(n, logits, target, factor, dlogits)


# attention.h

cdef inline void pack_panels(int64_t n, int64_t k, const real *b, int64_t rsb, int64_t csb, real *out) noexcept nogil:
    if real is float:
        leaves_f32.pack_panels(n, k, b, rsb, csb, out)
    else:
        leaves_f64.pack_panels(n, k, b, rsb, csb, out)

cdef inline bint all_finite(int64_t n, const real *x) noexcept nogil:
    if real is float:
        return leaves_f32.all_finite(n, x)
    else:
        return leaves_f64.all_finite(n, x)

cdef inline void attention_scores(int64_t rows, int64_t keys, int64_t d, real alpha, const real *q, int64_t ldq, const real *k,
                                  const int64_t *limit, real *s, int64_t lds) noexcept nogil:
    if real is float:
        leaves_f32.attention_scores(rows, keys, d, alpha, q, ldq, k, limit, s, lds)
    else:
        leaves_f64.attention_scores(rows, keys, d, alpha, q, ldq, k, limit, s, lds)

cdef inline void attention_mask(int kind, int64_t rows, const int64_t *limit, real *s, int64_t lds, const void *mask, int64_t row_stride,
                                int64_t key_stride) noexcept nogil:
    if real is float:
        leaves_f32.attention_mask(kind, rows, limit, s, lds, mask, row_stride, key_stride)
    else:
        leaves_f64.attention_mask(kind, rows, limit, s, lds, mask, row_stride, key_stride)

cdef inline void attention_softmax(int64_t rows, const int64_t *limit, real *s, int64_t lds, real *m, real *l, int64_t dv, real *o,
                                   int64_t ldo) noexcept nogil:
    if real is float:
        leaves_f32.attention_softmax(rows, limit, s, lds, m, l, dv, o, ldo)
    else:
        leaves_f64.attention_softmax(rows, limit, s, lds, m, l, dv, o, ldo)

cdef inline void attention_values(int64_t rows, int64_t keys, int64_t dv, const real *p, int64_t ldp, const int64_t *limit, const real *v,
                                  bint finite, real beta, real *o, int64_t ldo) noexcept nogil:
    if real is float:
        leaves_f32.attention_values(rows, keys, dv, p, ldp, limit, v, finite, beta, o, ldo)
    else:
        leaves_f64.attention_values(rows, keys, dv, p, ldp, limit, v, finite, beta, o, ldo)

cdef inline void attention_finish(int64_t rows, int64_t dv, const real *m, const real *l, real *o, int64_t ldo, real *lse) noexcept nogil:
    if real is float:
        leaves_f32.attention_finish(rows, dv, m, l, o, ldo, lse)
    else:
        leaves_f64.attention_finish(rows, dv, m, l, o, ldo, lse)

cdef inline void attention_probabilities(int64_t rows, const int64_t *limit, int64_t stop, real *s, int64_t lds, const real *lse) noexcept nogil:
    if real is float:
        leaves_f32.attention_probabilities(rows, limit, stop, s, lds, lse)
    else:
        leaves_f64.attention_probabilities(rows, limit, stop, s, lds, lse)

cdef inline void attention_delta(int64_t rows, int64_t dv, const real *dout, int64_t lddout, const real *out, int64_t ldout,
                                 real *delta) noexcept nogil:
    if real is float:
        leaves_f32.attention_delta(rows, dv, dout, lddout, out, ldout, delta)
    else:
        leaves_f64.attention_delta(rows, dv, dout, lddout, out, ldout, delta)

cdef inline void attention_dscores(int64_t rows, int64_t stop, real scale, const real *p, const real *delta, real *dp, int64_t lds) noexcept nogil:
    if real is float:
        leaves_f32.attention_dscores(rows, stop, scale, p, delta, dp, lds)
    else:
        leaves_f64.attention_dscores(rows, stop, scale, p, delta, dp, lds)

cdef inline void attention_transposed(int64_t rows, int64_t keys, int64_t n, const real *p, int64_t ldp, const int64_t *limit, const real *x,
                                      bint finite, real *y, int64_t ldy) noexcept nogil:
    if real is float:
        leaves_f32.attention_transposed(rows, keys, n, p, ldp, limit, x, finite, y, ldy)
    else:
        leaves_f64.attention_transposed(rows, keys, n, p, ldp, limit, x, finite, y, ldy)
# attention_few.h, additive.h

cdef inline void attention_few_scores(int64_t rows, int64_t keys, int64_t d, const real *q, const real *k, int64_t ldk, real *s,
                                      int64_t lds) noexcept nogil:
    if real is float:
        leaves_f32.attention_few_scores(rows, keys, d, q, k, ldk, s, lds)
    else:
        leaves_f64.attention_few_scores(rows, keys, d, q, k, ldk, s, lds)

cdef inline void attention_few_values(int64_t rows, int64_t keys, int64_t dv, const real *p, int64_t ldp, const int64_t *limit, bint skip,
                                      const real *v, int64_t ldv, real *o, int64_t ldo) noexcept nogil:
    if real is float:
        leaves_f32.attention_few_values(rows, keys, dv, p, ldp, limit, skip, v, ldv, o, ldo)
    else:
        leaves_f64.attention_few_values(rows, keys, dv, p, ldp, limit, skip, v, ldv, o, ldo)

cdef inline void additive_scores(int64_t keys, int64_t n, const real *q, const real *k, int64_t ldk, const real *w, real *s) noexcept nogil:
    if real is float:
        leaves_f32.additive_scores(keys, n, q, k, ldk, w, s)
    else:
        leaves_f64.additive_scores(keys, n, q, k, ldk, w, s)

cdef inline void additive_scores_backward(int64_t keys, int64_t n, const real *ds, const real *q, const real *k, int64_t ldk, const real *w,
                                          real *dq, real *dk, int64_t lddk, real *dw) noexcept nogil:
    if real is float:
        leaves_f32.additive_scores_backward(keys, n, ds, q, k, ldk, w, dq, dk, lddk, dw)
    else:
        leaves_f64.additive_scores_backward(keys, n, ds, q, k, ldk, w, dq, dk, lddk, dw)


# dropout.h

cdef inline void dropout_run(int64_t n, const real *x, const real *residual, double p, uint64_t seed, uint64_t step, uint64_t first,
                             real *y) noexcept nogil:
    if real is float:
        leaves_f32.dropout(n, x, residual, p, seed, step, first, y)
    else:
        leaves_f64.dropout(n, x, residual, p, seed, step, first, y)


# update.h

cdef inline void sgd_run(int64_t n, real *p, const real *g, real *m, real lr, real momentum, int nesterov, real weight_decay,
                         real grad_scale) noexcept nogil:
    if real is float:
        leaves_f32.sgd(n, p, g, m, lr, momentum, nesterov, weight_decay, grad_scale)
    else:
        leaves_f64.sgd(n, p, g, m, lr, momentum, nesterov, weight_decay, grad_scale)
