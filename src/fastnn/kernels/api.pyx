"""The functions of include/fastnn.h, which other extensions cimport from here.

Made by tools/api_module.py from the header, which has their contracts.
"""
from libc.stdint cimport int64_t, intptr_t, uint64_t

from ._capi cimport strerror as strerror_
from .attention.arrays cimport attention_backward_real
from .attention.arrays cimport attention_real
from .attention.rotary cimport rotary_real
from .attention.rotary cimport rotary_table_real
from .embedding.arrays cimport embedding_backward_real
from .embedding.arrays cimport embedding_real
from .gemm.linear cimport linear_backward_real
from .gemm.paths cimport gemm_real
from .ground.threads cimport max_threads as max_threads_
from .ground.threads cimport set_thread_limit as set_thread_limit_
from .loss.cross_entropy cimport cross_entropy_real
from .loss.cross_entropy cimport weighted_cross_entropy_real
from .loss.elementwise cimport loss_real
from .loss.elementwise cimport mse_real
from .norm.frobenius cimport frobenius_norm_real
from .norm.frobenius cimport squared_norm_real
from .program.plan_run cimport plan_filter as plan_filter_
from .program.plan_run cimport plan_info as plan_info_
from .program.plan_run cimport plan_integrand as plan_integrand_
from .program.plan_run cimport plan_release as plan_release_
from .program.plan_run cimport plan_retain as plan_retain_
from .program.plan_run cimport plan_run_f32 as plan_run_f32_
from .program.plan_run cimport plan_run_f64 as plan_run_f64_
from .program.transformer_run cimport plan_encode_f32 as plan_encode_f32_
from .program.transformer_run cimport plan_encode_f64 as plan_encode_f64_
from .program.transformer_run cimport plan_new_state as plan_new_state_
from .program.transformer_run cimport plan_step_f32 as plan_step_f32_
from .program.transformer_run cimport plan_step_f64 as plan_step_f64_
from .program.transformer_run cimport state_release as state_release_
from .program.transformer_run cimport state_truncate as state_truncate_
from .rowwise.activation cimport activation_backward_real
from .rowwise.activation cimport activation_real
from .rowwise.dropout cimport dropout_real
from .rowwise.norms cimport layer_norm_backward_real
from .rowwise.norms cimport layer_norm_real
from .rowwise.prelu cimport prelu_backward_real
from .rowwise.prelu cimport prelu_real
from .rowwise.softmax cimport log_softmax_backward_real
from .rowwise.softmax cimport log_softmax_real
from .rowwise.softmax cimport masked_softmax_backward_real
from .rowwise.softmax cimport masked_softmax_real
from .rowwise.softmax cimport softmax_backward_real
from .rowwise.softmax cimport softmax_real
from .update.arrays cimport adagrad_real
from .update.arrays cimport adam_real
from .update.arrays cimport ema_real
from .update.arrays cimport rmsprop_real
from .update.arrays cimport scale_real
from .update.arrays cimport sgd_real


cdef const char *strerror(int status) noexcept nogil:
    return strerror_(status)


cdef int set_thread_limit(int n) noexcept nogil:
    return set_thread_limit_(n)


cdef int max_threads() noexcept nogil:
    return max_threads_()


cdef int gemm_f32(
    int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t rsa, int64_t csa,
    const float *b, int64_t rsb, int64_t csb, float beta, float *c, int64_t rsc, int64_t csc,
    const float *bias, int activation, float *preact
) noexcept nogil:
    return gemm_real(
        m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc, bias, activation, preact
    )


cdef int gemm_f64(
    int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t rsa, int64_t csa,
    const double *b, int64_t rsb, int64_t csb, double beta, double *c, int64_t rsc, int64_t csc,
    const double *bias, int activation, double *preact
) noexcept nogil:
    return gemm_real(
        m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc, bias, activation, preact
    )


cdef int linear_backward_f32(
    int64_t n, int64_t n_in, int64_t n_out, const float *dy, const float *x, int64_t rsx,
    int64_t csx, const float *w, int64_t rsw, int64_t csw, const float *saved, int activation,
    float *dw, float *db, float *dx
) noexcept nogil:
    return linear_backward_real(
        n, n_in, n_out, dy, x, rsx, csx, w, rsw, csw, saved, activation, dw, db, dx
    )


cdef int linear_backward_f64(
    int64_t n, int64_t n_in, int64_t n_out, const double *dy, const double *x, int64_t rsx,
    int64_t csx, const double *w, int64_t rsw, int64_t csw, const double *saved, int activation,
    double *dw, double *db, double *dx
) noexcept nogil:
    return linear_backward_real(
        n, n_in, n_out, dy, x, rsx, csx, w, rsw, csw, saved, activation, dw, db, dx
    )


cdef int activation_f32(
    int kind, int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy
) noexcept nogil:
    return activation_real(kind, rows, cols, x, ldx, y, ldy)


cdef int activation_f64(
    int kind, int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy
) noexcept nogil:
    return activation_real(kind, rows, cols, x, ldx, y, ldy)


cdef int activation_backward_f32(
    int kind, int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *saved,
    int64_t ldsaved, float *dx, int64_t lddx
) noexcept nogil:
    return activation_backward_real(kind, rows, cols, dy, lddy, saved, ldsaved, dx, lddx)


cdef int activation_backward_f64(
    int kind, int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *saved,
    int64_t ldsaved, double *dx, int64_t lddx
) noexcept nogil:
    return activation_backward_real(kind, rows, cols, dy, lddy, saved, ldsaved, dx, lddx)


cdef int softmax_f32(
    int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy
) noexcept nogil:
    return softmax_real(rows, cols, x, ldx, y, ldy)


cdef int softmax_f64(
    int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy
) noexcept nogil:
    return softmax_real(rows, cols, x, ldx, y, ldy)


cdef int softmax_backward_f32(
    int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
    float *dx, int64_t lddx
) noexcept nogil:
    return softmax_backward_real(rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int softmax_backward_f64(
    int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
    double *dx, int64_t lddx
) noexcept nogil:
    return softmax_backward_real(rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int log_softmax_f32(
    int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy
) noexcept nogil:
    return log_softmax_real(rows, cols, x, ldx, y, ldy)


cdef int log_softmax_f64(
    int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy
) noexcept nogil:
    return log_softmax_real(rows, cols, x, ldx, y, ldy)


cdef int log_softmax_backward_f32(
    int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
    float *dx, int64_t lddx
) noexcept nogil:
    return log_softmax_backward_real(rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int log_softmax_backward_f64(
    int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
    double *dx, int64_t lddx
) noexcept nogil:
    return log_softmax_backward_real(rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int masked_softmax_f32(
    int64_t rows, int64_t cols, const float *x, int64_t ldx, const int64_t *lengths,
    int64_t rows_per_length, float *y, int64_t ldy
) noexcept nogil:
    return masked_softmax_real(rows, cols, x, ldx, lengths, rows_per_length, y, ldy)


cdef int masked_softmax_f64(
    int64_t rows, int64_t cols, const double *x, int64_t ldx, const int64_t *lengths,
    int64_t rows_per_length, double *y, int64_t ldy
) noexcept nogil:
    return masked_softmax_real(rows, cols, x, ldx, lengths, rows_per_length, y, ldy)


cdef int masked_softmax_backward_f32(
    int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
    const int64_t *lengths, int64_t rows_per_length, float *dx, int64_t lddx
) noexcept nogil:
    return masked_softmax_backward_real(
        rows, cols, dy, lddy, y, ldy, lengths, rows_per_length, dx, lddx
    )


cdef int masked_softmax_backward_f64(
    int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
    const int64_t *lengths, int64_t rows_per_length, double *dx, int64_t lddx
) noexcept nogil:
    return masked_softmax_backward_real(
        rows, cols, dy, lddy, y, ldy, lengths, rows_per_length, dx, lddx
    )


cdef int cross_entropy_f32(
    int64_t rows, int64_t cols, const float *logits, int64_t ldlogits, const int64_t *targets,
    float *dlogits, int64_t lddlogits, double *loss
) noexcept nogil:
    return cross_entropy_real(rows, cols, logits, ldlogits, targets, dlogits, lddlogits, loss)


cdef int cross_entropy_f64(
    int64_t rows, int64_t cols, const double *logits, int64_t ldlogits, const int64_t *targets,
    double *dlogits, int64_t lddlogits, double *loss
) noexcept nogil:
    return cross_entropy_real(rows, cols, logits, ldlogits, targets, dlogits, lddlogits, loss)


cdef int mse_f32(
    int64_t n, const float *pred, const float *target, float *dpred, double *loss
) noexcept nogil:
    return mse_real(n, pred, target, dpred, loss)


cdef int mse_f64(
    int64_t n, const double *pred, const double *target, double *dpred, double *loss
) noexcept nogil:
    return mse_real(n, pred, target, dpred, loss)


cdef int weighted_cross_entropy_f32(
    int64_t rows, int64_t cols, const float *logits, int64_t ldlogits, const int64_t *labels,
    int64_t ignore, const float *probs, int64_t ldprobs, const float *class_weight,
    const float *sample_weight, double smoothing, int mean, float *dlogits, int64_t lddlogits,
    float *losses, double *loss
) noexcept nogil:
    return weighted_cross_entropy_real(
        rows, cols, logits, ldlogits, labels, ignore, probs, ldprobs, class_weight, sample_weight,
        smoothing, mean, dlogits, lddlogits, losses, loss
    )


cdef int weighted_cross_entropy_f64(
    int64_t rows, int64_t cols, const double *logits, int64_t ldlogits, const int64_t *labels,
    int64_t ignore, const double *probs, int64_t ldprobs, const double *class_weight,
    const double *sample_weight, double smoothing, int mean, double *dlogits, int64_t lddlogits,
    double *losses, double *loss
) noexcept nogil:
    return weighted_cross_entropy_real(
        rows, cols, logits, ldlogits, labels, ignore, probs, ldprobs, class_weight, sample_weight,
        smoothing, mean, dlogits, lddlogits, losses, loss
    )


cdef int loss_f32(
    int kind, int64_t n, const float *pred, const float *target, const float *weight,
    int64_t per_weight, const float *positive, int64_t columns, float delta, int mean, float *dpred,
    float *losses, double *loss
) noexcept nogil:
    return loss_real(
        kind, n, pred, target, weight, per_weight, positive, columns, delta, mean, dpred, losses,
        loss
    )


cdef int loss_f64(
    int kind, int64_t n, const double *pred, const double *target, const double *weight,
    int64_t per_weight, const double *positive, int64_t columns, double delta, int mean,
    double *dpred, double *losses, double *loss
) noexcept nogil:
    return loss_real(
        kind, n, pred, target, weight, per_weight, positive, columns, delta, mean, dpred, losses,
        loss
    )


cdef int frobenius_norm_f32(int64_t n, const float *x, double *norm) noexcept nogil:
    return frobenius_norm_real(n, x, norm)


cdef int frobenius_norm_f64(int64_t n, const double *x, double *norm) noexcept nogil:
    return frobenius_norm_real(n, x, norm)


cdef int squared_norm_f32(int64_t n, const float *x, double *square) noexcept nogil:
    return squared_norm_real(n, x, square)


cdef int squared_norm_f64(int64_t n, const double *x, double *square) noexcept nogil:
    return squared_norm_real(n, x, square)


cdef int scale_f32(int64_t n, double factor, float *x) noexcept nogil:
    return scale_real(n, factor, x)


cdef int scale_f64(int64_t n, double factor, double *x) noexcept nogil:
    return scale_real(n, factor, x)


cdef int prelu_f32(
    int shared, int64_t rows, int64_t cols, const float *x, int64_t ldx, const float *a, float *y,
    int64_t ldy
) noexcept nogil:
    return prelu_real(shared, rows, cols, x, ldx, a, y, ldy)


cdef int prelu_f64(
    int shared, int64_t rows, int64_t cols, const double *x, int64_t ldx, const double *a,
    double *y, int64_t ldy
) noexcept nogil:
    return prelu_real(shared, rows, cols, x, ldx, a, y, ldy)


cdef int prelu_backward_f32(
    int shared, int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *x,
    int64_t ldx, const float *a, float *dx, int64_t lddx, float *da
) noexcept nogil:
    return prelu_backward_real(shared, rows, cols, dy, lddy, x, ldx, a, dx, lddx, da)


cdef int prelu_backward_f64(
    int shared, int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *x,
    int64_t ldx, const double *a, double *dx, int64_t lddx, double *da
) noexcept nogil:
    return prelu_backward_real(shared, rows, cols, dy, lddy, x, ldx, a, dx, lddx, da)


cdef int dropout_f32(
    int64_t rows, int64_t cols, const float *x, int64_t ldx, const float *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, float *y, int64_t ldy
) noexcept nogil:
    return dropout_real(rows, cols, x, ldx, residual, ldresidual, p, seed, step, y, ldy)


cdef int dropout_f64(
    int64_t rows, int64_t cols, const double *x, int64_t ldx, const double *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, double *y, int64_t ldy
) noexcept nogil:
    return dropout_real(rows, cols, x, ldx, residual, ldresidual, p, seed, step, y, ldy)


cdef int layer_norm_f32(
    int rms, int64_t rows, int64_t cols, const float *x, int64_t ldx, const float *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, const float *weight,
    const float *bias, double eps, float *h, int64_t ldh, float *y, int64_t ldy, float *stats
) noexcept nogil:
    return layer_norm_real(
        rms, rows, cols, x, ldx, residual, ldresidual, p, seed, step, weight, bias, eps, h, ldh, y,
        ldy, stats
    )


cdef int layer_norm_f64(
    int rms, int64_t rows, int64_t cols, const double *x, int64_t ldx, const double *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, const double *weight,
    const double *bias, double eps, double *h, int64_t ldh, double *y, int64_t ldy, double *stats
) noexcept nogil:
    return layer_norm_real(
        rms, rows, cols, x, ldx, residual, ldresidual, p, seed, step, weight, bias, eps, h, ldh, y,
        ldy, stats
    )


cdef int layer_norm_backward_f32(
    int rms, int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *h, int64_t ldh,
    const float *stats, const float *weight, const float *dh_in, int64_t lddh_in, double p,
    uint64_t seed, uint64_t step, float *dh, int64_t lddh, float *dx, int64_t lddx, float *dweight,
    float *dbias
) noexcept nogil:
    return layer_norm_backward_real(
        rms, rows, cols, dy, lddy, h, ldh, stats, weight, dh_in, lddh_in, p, seed, step, dh, lddh,
        dx, lddx, dweight, dbias
    )


cdef int layer_norm_backward_f64(
    int rms, int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *h,
    int64_t ldh, const double *stats, const double *weight, const double *dh_in, int64_t lddh_in,
    double p, uint64_t seed, uint64_t step, double *dh, int64_t lddh, double *dx, int64_t lddx,
    double *dweight, double *dbias
) noexcept nogil:
    return layer_norm_backward_real(
        rms, rows, cols, dy, lddy, h, ldh, stats, weight, dh_in, lddh_in, p, seed, step, dh, lddh,
        dx, lddx, dweight, dbias
    )


cdef int attention_f32(
    const int64_t *sizes, const float *q, const int64_t *q_strides, const float *k,
    const int64_t *k_strides, const float *v, const int64_t *v_strides, float *out,
    const int64_t *out_strides, float *lse, double scale, int causal, const int64_t *lengths,
    const int64_t *lengths_strides, int mask_kind, const void *mask, const int64_t *mask_strides,
    double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil:
    return attention_real(
        sizes, q, q_strides, k, k_strides, v, v_strides, out, out_strides, lse, scale, causal,
        lengths, lengths_strides, mask_kind, mask, mask_strides, dropout_p, seed, step
    )


cdef int attention_f64(
    const int64_t *sizes, const double *q, const int64_t *q_strides, const double *k,
    const int64_t *k_strides, const double *v, const int64_t *v_strides, double *out,
    const int64_t *out_strides, double *lse, double scale, int causal, const int64_t *lengths,
    const int64_t *lengths_strides, int mask_kind, const void *mask, const int64_t *mask_strides,
    double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil:
    return attention_real(
        sizes, q, q_strides, k, k_strides, v, v_strides, out, out_strides, lse, scale, causal,
        lengths, lengths_strides, mask_kind, mask, mask_strides, dropout_p, seed, step
    )


cdef int attention_backward_f32(
    const int64_t *sizes, const float *dout, const float *q, const int64_t *q_strides,
    const float *k, const int64_t *k_strides, const float *v, const int64_t *v_strides,
    const float *out, const int64_t *out_strides, const float *lse, float *dq, float *dk, float *dv,
    double scale, int causal, const int64_t *lengths, const int64_t *lengths_strides, int mask_kind,
    const void *mask, const int64_t *mask_strides, double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil:
    return attention_backward_real(
        sizes, dout, q, q_strides, k, k_strides, v, v_strides, out, out_strides, lse, dq, dk, dv,
        scale, causal, lengths, lengths_strides, mask_kind, mask, mask_strides, dropout_p, seed,
        step
    )


cdef int attention_backward_f64(
    const int64_t *sizes, const double *dout, const double *q, const int64_t *q_strides,
    const double *k, const int64_t *k_strides, const double *v, const int64_t *v_strides,
    const double *out, const int64_t *out_strides, const double *lse, double *dq, double *dk,
    double *dv, double scale, int causal, const int64_t *lengths, const int64_t *lengths_strides,
    int mask_kind, const void *mask, const int64_t *mask_strides, double dropout_p, uint64_t seed,
    uint64_t step
) noexcept nogil:
    return attention_backward_real(
        sizes, dout, q, q_strides, k, k_strides, v, v_strides, out, out_strides, lse, dq, dk, dv,
        scale, causal, lengths, lengths_strides, mask_kind, mask, mask_strides, dropout_p, seed,
        step
    )


cdef int embedding_f32(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, const float *table,
    int64_t ldtable, double scale, float *y, int64_t ldy
) noexcept nogil:
    return embedding_real(count, rows, cols, ids, table, ldtable, scale, y, ldy)


cdef int embedding_f64(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, const double *table,
    int64_t ldtable, double scale, double *y, int64_t ldy
) noexcept nogil:
    return embedding_real(count, rows, cols, ids, table, ldtable, scale, y, ldy)


cdef int embedding_backward_f32(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, int64_t skipped, const float *dy,
    int64_t lddy, double scale, float *dtable, int64_t lddtable
) noexcept nogil:
    return embedding_backward_real(
        count, rows, cols, ids, skipped, dy, lddy, scale, dtable, lddtable
    )


cdef int embedding_backward_f64(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, int64_t skipped,
    const double *dy, int64_t lddy, double scale, double *dtable, int64_t lddtable
) noexcept nogil:
    return embedding_backward_real(
        count, rows, cols, ids, skipped, dy, lddy, scale, dtable, lddtable
    )


cdef int sgd_f32(
    int64_t n, float *p, const float *g, float *m, double lr, double momentum, int nesterov,
    double weight_decay, double grad_scale
) noexcept nogil:
    return sgd_real(n, p, g, m, lr, momentum, nesterov, weight_decay, grad_scale)


cdef int sgd_f64(
    int64_t n, double *p, const double *g, double *m, double lr, double momentum, int nesterov,
    double weight_decay, double grad_scale
) noexcept nogil:
    return sgd_real(n, p, g, m, lr, momentum, nesterov, weight_decay, grad_scale)


cdef int adam_f32(
    int64_t n, float *p, const float *g, float *m, float *v, int64_t step, double lr, double beta1,
    double beta2, double eps, double weight_decay, int decoupled, double grad_scale
) noexcept nogil:
    return adam_real(
        n, p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled, grad_scale
    )


cdef int adam_f64(
    int64_t n, double *p, const double *g, double *m, double *v, int64_t step, double lr,
    double beta1, double beta2, double eps, double weight_decay, int decoupled, double grad_scale
) noexcept nogil:
    return adam_real(
        n, p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled, grad_scale
    )


cdef int rmsprop_f32(
    int64_t n, float *p, const float *g, float *v, float *m, float *c, double lr, double alpha,
    double eps, double momentum, double weight_decay, double grad_scale
) noexcept nogil:
    return rmsprop_real(n, p, g, v, m, c, lr, alpha, eps, momentum, weight_decay, grad_scale)


cdef int rmsprop_f64(
    int64_t n, double *p, const double *g, double *v, double *m, double *c, double lr, double alpha,
    double eps, double momentum, double weight_decay, double grad_scale
) noexcept nogil:
    return rmsprop_real(n, p, g, v, m, c, lr, alpha, eps, momentum, weight_decay, grad_scale)


cdef int adagrad_f32(
    int64_t n, float *p, const float *g, float *v, int64_t step, double lr, double lr_decay,
    double eps, double weight_decay, double grad_scale
) noexcept nogil:
    return adagrad_real(n, p, g, v, step, lr, lr_decay, eps, weight_decay, grad_scale)


cdef int adagrad_f64(
    int64_t n, double *p, const double *g, double *v, int64_t step, double lr, double lr_decay,
    double eps, double weight_decay, double grad_scale
) noexcept nogil:
    return adagrad_real(n, p, g, v, step, lr, lr_decay, eps, weight_decay, grad_scale)


cdef int ema_f32(int64_t n, float *average, const float *p, double decay) noexcept nogil:
    return ema_real(n, average, p, decay)


cdef int ema_f64(int64_t n, double *average, const double *p, double decay) noexcept nogil:
    return ema_real(n, average, p, decay)


cdef int plan_run_f32(const void *plan, const float *x, float *y, int64_t rows) noexcept nogil:
    return plan_run_f32_(plan, x, y, rows)


cdef int plan_run_f64(const void *plan, const double *x, double *y, int64_t rows) noexcept nogil:
    return plan_run_f64_(plan, x, y, rows)


cdef int plan_info(const void *plan, int *bits, int64_t *n_in, int64_t *n_out) noexcept nogil:
    return plan_info_(plan, bits, n_in, n_out)


cdef int plan_retain(const void *plan) noexcept nogil:
    return plan_retain_(plan)


cdef int plan_release(const void *plan) noexcept nogil:
    return plan_release_(plan)


cdef double plan_integrand(int n, double *x, void *plan) noexcept nogil:
    return plan_integrand_(n, x, plan)


cdef int plan_filter(double *window, intptr_t n, double *result, void *plan) noexcept nogil:
    return plan_filter_(window, n, result, plan)


cdef int rotary_table_f32(int64_t positions, int64_t d, double base, float *table) noexcept nogil:
    return rotary_table_real(positions, d, base, table)


cdef int rotary_table_f64(int64_t positions, int64_t d, double base, double *table) noexcept nogil:
    return rotary_table_real(positions, d, base, table)


cdef int rotary_f32(
    const int64_t *sizes, const float *x, const int64_t *x_strides, const float *table,
    int64_t positions, const int64_t *starts, int64_t starts_stride, int inverse, float *y,
    const int64_t *y_strides
) noexcept nogil:
    return rotary_real(
        sizes, x, x_strides, table, positions, starts, starts_stride, inverse, y, y_strides
    )


cdef int rotary_f64(
    const int64_t *sizes, const double *x, const int64_t *x_strides, const double *table,
    int64_t positions, const int64_t *starts, int64_t starts_stride, int inverse, double *y,
    const int64_t *y_strides
) noexcept nogil:
    return rotary_real(
        sizes, x, x_strides, table, positions, starts, starts_stride, inverse, y, y_strides
    )


cdef int plan_step_f32(
    const void *plan, void *state, const int64_t *ids, int64_t n, const int64_t *lengths,
    float *logits
) noexcept nogil:
    return plan_step_f32_(plan, state, ids, n, lengths, logits)


cdef int plan_step_f64(
    const void *plan, void *state, const int64_t *ids, int64_t n, const int64_t *lengths,
    double *logits
) noexcept nogil:
    return plan_step_f64_(plan, state, ids, n, lengths, logits)


cdef int plan_encode_f32(
    const void *plan, const float *x, int64_t batch, int64_t n, const int64_t *lengths, float *y
) noexcept nogil:
    return plan_encode_f32_(plan, x, batch, n, lengths, y)


cdef int plan_encode_f64(
    const void *plan, const double *x, int64_t batch, int64_t n, const int64_t *lengths, double *y
) noexcept nogil:
    return plan_encode_f64_(plan, x, batch, n, lengths, y)


cdef void *plan_new_state(const void *plan, int64_t batch, int64_t max_len) noexcept nogil:
    return plan_new_state_(plan, batch, max_len)


cdef int state_release(void *state) noexcept nogil:
    return state_release_(state)


cdef int state_truncate(void *state, int64_t length) noexcept nogil:
    return state_truncate_(state, length)
