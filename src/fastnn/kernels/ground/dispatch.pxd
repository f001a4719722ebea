"""The tables of C leaves, and one wrapper for each leaf that picks the table of the real type at compile time.

`leaves_f32` and `leaves_f64` are set once, when `dispatch` is imported, to the widest instruction set that the CPU has and FASTNN_ISA allows.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ..simd.leaves cimport (FASTNN_ACT_NONE, FASTNN_ACT_RELU, FASTNN_ACT_GELU, FASTNN_ACT_GELU_TANH, FASTNN_ACT_TANH, FASTNN_ACT_SIGMOID,
    FASTNN_ACT_SILU, FASTNN_ACT_SOFTPLUS, FASTNN_ACT_LAST, FASTNN_SGD, FASTNN_MOMENTUM, FASTNN_NESTEROV, FASTNN_ADAM, FASTNN_RMSPROP,
    FASTNN_ADAGRAD, FASTNN_AVERAGE, FASTNN_ATTENTION_TILES, FASTNN_MASK_NONE, FASTNN_MASK_BOOLEAN, FASTNN_MASK_ADDITIVE, FASTNN_LOSS_MSE,
    FASTNN_LOSS_L1, FASTNN_LOSS_HUBER, FASTNN_LOSS_BCE, fastnn_step, fastnn_leaves_f32, fastnn_leaves_f64)

ctypedef fused real:
    float
    double

cdef const fastnn_leaves_f32 *leaves_f32
cdef const fastnn_leaves_f64 *leaves_f64


cdef inline const real *shifted(const real *p, int64_t n) noexcept nogil:
    """p + n, where there is a p."""
    if p is NULL:
        return p
    return p + n


# stream.h

cdef enum:
    LARGE = 8 << 20     # bytes of output from which it is stored past the caches

cdef inline bint past_caches(int64_t n, const real *out, const real *x, const real *other) noexcept nogil:
    """Whether n reals of output had better be stored past the caches. In place they had not: their lines are read anyway."""
    return n * <int64_t>sizeof(real) >= LARGE and out is not x and out is not other


# pack.h, gemm.h, gemv.h, dots.h

cdef inline int64_t tile_rows(const real *_) noexcept nogil:
    return leaves_f32.mr if real is float else leaves_f64.mr

cdef inline int64_t tall_rows(const real *_) noexcept nogil:
    return leaves_f32.tall if real is float else leaves_f64.tall

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

cdef inline void gemv_columns(int64_t k, int64_t n, bint one_stream, const real *x, const real *b, int64_t ldb, real *y) noexcept nogil:
    if real is float:
        leaves_f32.gemv_columns(k, n, one_stream, x, b, ldb, y)
    else:
        leaves_f64.gemv_columns(k, n, one_stream, x, b, ldb, y)

cdef inline void gemv_finish(int64_t n, real alpha, real *y, real beta, real *c, int64_t incc, const real *bias, int64_t incbias,
                             int activation, real *preact) noexcept nogil:
    if real is float:
        leaves_f32.gemv_finish(n, alpha, y, beta, c, incc, bias, incbias, activation, preact)
    else:
        leaves_f64.gemv_finish(n, alpha, y, beta, c, incc, bias, incbias, activation, preact)


# activation.h

cdef inline void activation_block(int kind, int64_t m, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.activation(kind, m, n, x, ldx, y, ldy, past_caches)
    else:
        leaves_f64.activation(kind, m, n, x, ldx, y, ldy, past_caches)

cdef inline void activation_backward_block(int kind, int64_t m, int64_t n, const real *dy, int64_t lddy, const real *saved, int64_t ldsaved,
                                           real *dx, int64_t lddx, real *sums, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.activation_backward(kind, m, n, dy, lddy, saved, ldsaved, dx, lddx, sums, past_caches)
    else:
        leaves_f64.activation_backward(kind, m, n, dy, lddy, saved, ldsaved, dx, lddx, sums, past_caches)


# prelu.h

cdef inline void prelu_block(int shared, int64_t m, int64_t n, const real *x, int64_t ldx, const real *a, real *y, int64_t ldy, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.prelu(shared, m, n, x, ldx, a, y, ldy, past_caches)
    else:
        leaves_f64.prelu(shared, m, n, x, ldx, a, y, ldy, past_caches)

cdef inline double prelu_backward_block(int shared, int64_t m, int64_t n, const real *dy, int64_t lddy, const real *x, int64_t ldx, const real *a,
                                        real *dx, int64_t lddx, int summed, real *sums, bint past_caches) noexcept nogil:
    if real is float:
        return leaves_f32.prelu_backward(shared, m, n, dy, lddy, x, ldx, a, dx, lddx, summed, sums, past_caches)
    else:
        return leaves_f64.prelu_backward(shared, m, n, dy, lddy, x, ldx, a, dx, lddx, summed, sums, past_caches)


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


# reduce.h

cdef inline void sum_squares_block(int64_t m, int64_t n, const real *x, int64_t ld, double factor, double *hi, double *lo) noexcept nogil:
    if real is float:
        leaves_f32.sum_squares(m, n, x, ld, factor, hi, lo)
    else:
        leaves_f64.sum_squares(m, n, x, ld, factor, hi, lo)

cdef inline real max_abs_block(int64_t m, int64_t n, const real *x, int64_t ld) noexcept nogil:
    if real is float:
        return leaves_f32.max_abs(m, n, x, ld)
    else:
        return leaves_f64.max_abs(m, n, x, ld)


# softmax.h

cdef inline void softmax_block(int64_t m, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.softmax(m, n, x, ldx, y, ldy, past_caches)
    else:
        leaves_f64.softmax(m, n, x, ldx, y, ldy, past_caches)

cdef inline void softmax_backward_block(int64_t m, int64_t n, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx,
                                        int64_t lddx, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.softmax_backward(m, n, dy, lddy, y, ldy, dx, lddx, past_caches)
    else:
        leaves_f64.softmax_backward(m, n, dy, lddy, y, ldy, dx, lddx, past_caches)

cdef inline void log_softmax_block(int64_t m, int64_t n, const real *x, int64_t ldx, real *y, int64_t ldy, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.log_softmax(m, n, x, ldx, y, ldy, past_caches)
    else:
        leaves_f64.log_softmax(m, n, x, ldx, y, ldy, past_caches)

cdef inline void log_softmax_backward_block(int64_t m, int64_t n, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx,
                                            int64_t lddx, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.log_softmax_backward(m, n, dy, lddy, y, ldy, dx, lddx, past_caches)
    else:
        leaves_f64.log_softmax_backward(m, n, dy, lddy, y, ldy, dx, lddx, past_caches)


# loss.h

cdef inline void cross_entropy_block(int64_t m, int64_t n, const real *logits, int64_t ldlogits, const int64_t *targets, const double *weights,
                                     double scale, real *dlogits, int64_t lddlogits, double *losses, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.cross_entropy(m, n, logits, ldlogits, targets, weights, scale, dlogits, lddlogits, losses, past_caches)
    else:
        leaves_f64.cross_entropy(m, n, logits, ldlogits, targets, weights, scale, dlogits, lddlogits, losses, past_caches)

cdef inline double cross_entropy_soft_row(int64_t n, const real *logits, const real *q, int64_t label, const real *weight, double keep, double smooth,
                                          double scale, real *dlogits) noexcept nogil:
    if real is float:
        return leaves_f32.cross_entropy_soft(n, logits, q, label, weight, keep, smooth, scale, dlogits)
    else:
        return leaves_f64.cross_entropy_soft(n, logits, q, label, weight, keep, smooth, scale, dlogits)

cdef inline double loss_run(int kind, int64_t n, const real *x, const real *t, const real *weight, const real *positive, real delta, real factor,
                            real *dx, real *losses, bint past_caches) noexcept nogil:
    if real is float:
        return leaves_f32.loss(kind, n, x, t, weight, positive, delta, factor, dx, losses, past_caches)
    else:
        return leaves_f64.loss(kind, n, x, t, weight, positive, delta, factor, dx, losses, past_caches)


# embedding.h

cdef inline void gather_rows(int64_t m, int64_t n, const int64_t *ids, const real *table, int64_t ldtable, real scale, real *out,
                             int64_t ldout, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.gather(m, n, ids, table, ldtable, scale, out, ldout, past_caches)
    else:
        leaves_f64.gather(m, n, ids, table, ldtable, scale, out, ldout, past_caches)

cdef inline void scatter_add_rows(int64_t m, int64_t n, const int64_t *ids, int64_t skipped, const real *dy, int64_t lddy, real scale, real *table,
                                  int64_t ldtable) noexcept nogil:
    if real is float:
        leaves_f32.scatter_add(m, n, ids, skipped, dy, lddy, scale, table, ldtable)
    else:
        leaves_f64.scatter_add(m, n, ids, skipped, dy, lddy, scale, table, ldtable)

cdef inline int64_t first_outside(int64_t m, const int64_t *ids, int64_t rows) noexcept nogil:
    return leaves_f32.first_outside(m, ids, rows)


# layernorm.h

cdef inline void norm_block(int rms, int64_t m, int64_t n, const real *x, int64_t ldx, double eps, const real *weight, const real *bias, real *stats,
                            real *y, int64_t ldy, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.norm(rms, m, n, x, ldx, eps, weight, bias, stats, y, ldy, past_caches)
    else:
        leaves_f64.norm(rms, m, n, x, ldx, eps, weight, bias, stats, y, ldy, past_caches)

cdef inline void norm_backward_block(int rms, int64_t m, int64_t n, const real *dy, int64_t lddy, const real *x, int64_t ldx, const real *stats,
                                     const real *weight, const real *dh, int64_t lddh, real *dx, int64_t lddx, real *dweight,
                                     real *dbias, bint past_caches) noexcept nogil:
    if real is float:
        leaves_f32.norm_backward(rms, m, n, dy, lddy, x, ldx, stats, weight, dh, lddh, dx, lddx, dweight, dbias, past_caches)
    else:
        leaves_f64.norm_backward(rms, m, n, dy, lddy, x, ldx, stats, weight, dh, lddh, dx, lddx, dweight, dbias, past_caches)


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

cdef inline void attention_probabilities(int64_t rows, const int64_t *limit, int64_t stop, real *s,
                                         int64_t lds, const real *shift,
                                         const real *factor) noexcept nogil:
    if real is float:
        leaves_f32.attention_probabilities(rows, limit, stop, s, lds, shift, factor)
    else:
        leaves_f64.attention_probabilities(rows, limit, stop, s, lds, shift, factor)

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

cdef inline void update_run(int64_t n, real *p, const real *g, real *m, real *v, real *c, const fastnn_step *step) noexcept nogil:
    if real is float:
        leaves_f32.update(n, p, g, m, v, c, step)
    else:
        leaves_f64.update(n, p, g, m, v, c, step)


# rotary.h

cdef inline void rotary_rows(int64_t rows, int64_t half, const real *x, int64_t ldx, const real *table, int inverse, real *y, int64_t ldy) noexcept nogil:
    if real is float:
        leaves_f32.rotary(rows, half, x, ldx, table, inverse, y, ldy)
    else:
        leaves_f64.rotary(rows, half, x, ldx, table, inverse, y, ldy)
