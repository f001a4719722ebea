"""The functions of include/fastnn.h, which other extensions cimport from here.

Made by tools/api_module.py from the header, which has their contracts.
"""
from libc.stdint cimport int64_t, intptr_t, uint64_t

cdef const char *strerror(int status) noexcept nogil
cdef int set_thread_limit(int n) noexcept nogil
cdef int max_threads() noexcept nogil
cdef int gemm_f32(
    int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t rsa, int64_t csa,
    const float *b, int64_t rsb, int64_t csb, float beta, float *c, int64_t rsc, int64_t csc,
    const float *bias, int activation, float *preact
) noexcept nogil
cdef int gemm_f64(
    int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t rsa, int64_t csa,
    const double *b, int64_t rsb, int64_t csb, double beta, double *c, int64_t rsc, int64_t csc,
    const double *bias, int activation, double *preact
) noexcept nogil
cdef int linear_backward_f32(
    int64_t n, int64_t n_in, int64_t n_out, const float *dy, const float *x, int64_t rsx,
    int64_t csx, const float *w, int64_t rsw, int64_t csw, const float *saved, int activation,
    float *dw, float *db, float *dx
) noexcept nogil
cdef int linear_backward_f64(
    int64_t n, int64_t n_in, int64_t n_out, const double *dy, const double *x, int64_t rsx,
    int64_t csx, const double *w, int64_t rsw, int64_t csw, const double *saved, int activation,
    double *dw, double *db, double *dx
) noexcept nogil
cdef int activation_f32(
    int kind, int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy
) noexcept nogil
cdef int activation_f64(
    int kind, int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy
) noexcept nogil
cdef int activation_backward_f32(
    int kind, int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *saved,
    int64_t ldsaved, float *dx, int64_t lddx
) noexcept nogil
cdef int activation_backward_f64(
    int kind, int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *saved,
    int64_t ldsaved, double *dx, int64_t lddx
) noexcept nogil
cdef int softmax_f32(
    int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy
) noexcept nogil
cdef int softmax_f64(
    int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy
) noexcept nogil
cdef int softmax_backward_f32(
    int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
    float *dx, int64_t lddx
) noexcept nogil
cdef int softmax_backward_f64(
    int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
    double *dx, int64_t lddx
) noexcept nogil
cdef int log_softmax_f32(
    int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy
) noexcept nogil
cdef int log_softmax_f64(
    int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy
) noexcept nogil
cdef int log_softmax_backward_f32(
    int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
    float *dx, int64_t lddx
) noexcept nogil
cdef int log_softmax_backward_f64(
    int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
    double *dx, int64_t lddx
) noexcept nogil
cdef int masked_softmax_f32(
    int64_t rows, int64_t cols, const float *x, int64_t ldx, const int64_t *lengths,
    int64_t rows_per_length, float *y, int64_t ldy
) noexcept nogil
cdef int masked_softmax_f64(
    int64_t rows, int64_t cols, const double *x, int64_t ldx, const int64_t *lengths,
    int64_t rows_per_length, double *y, int64_t ldy
) noexcept nogil
cdef int masked_softmax_backward_f32(
    int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
    const int64_t *lengths, int64_t rows_per_length, float *dx, int64_t lddx
) noexcept nogil
cdef int masked_softmax_backward_f64(
    int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
    const int64_t *lengths, int64_t rows_per_length, double *dx, int64_t lddx
) noexcept nogil
cdef int cross_entropy_f32(
    int64_t rows, int64_t cols, const float *logits, int64_t ldlogits, const int64_t *targets,
    float *dlogits, int64_t lddlogits, double *loss
) noexcept nogil
cdef int cross_entropy_f64(
    int64_t rows, int64_t cols, const double *logits, int64_t ldlogits, const int64_t *targets,
    double *dlogits, int64_t lddlogits, double *loss
) noexcept nogil
cdef int mse_f32(
    int64_t n, const float *pred, const float *target, float *dpred, double *loss
) noexcept nogil
cdef int mse_f64(
    int64_t n, const double *pred, const double *target, double *dpred, double *loss
) noexcept nogil
cdef int weighted_cross_entropy_f32(
    int64_t rows, int64_t cols, const float *logits, int64_t ldlogits, const int64_t *labels,
    int64_t ignore, const float *probs, int64_t ldprobs, const float *class_weight,
    const float *sample_weight, double smoothing, int mean, float *dlogits, int64_t lddlogits,
    float *losses, double *loss
) noexcept nogil
cdef int weighted_cross_entropy_f64(
    int64_t rows, int64_t cols, const double *logits, int64_t ldlogits, const int64_t *labels,
    int64_t ignore, const double *probs, int64_t ldprobs, const double *class_weight,
    const double *sample_weight, double smoothing, int mean, double *dlogits, int64_t lddlogits,
    double *losses, double *loss
) noexcept nogil
cdef int loss_f32(
    int kind, int64_t n, const float *pred, const float *target, const float *weight,
    int64_t per_weight, const float *positive, int64_t columns, float delta, int mean, float *dpred,
    float *losses, double *loss
) noexcept nogil
cdef int loss_f64(
    int kind, int64_t n, const double *pred, const double *target, const double *weight,
    int64_t per_weight, const double *positive, int64_t columns, double delta, int mean,
    double *dpred, double *losses, double *loss
) noexcept nogil
cdef int frobenius_norm_f32(int64_t n, const float *x, double *norm) noexcept nogil
cdef int frobenius_norm_f64(int64_t n, const double *x, double *norm) noexcept nogil
cdef int squared_norm_f32(int64_t n, const float *x, double *square) noexcept nogil
cdef int squared_norm_f64(int64_t n, const double *x, double *square) noexcept nogil
cdef int scale_f32(int64_t n, double factor, float *x) noexcept nogil
cdef int scale_f64(int64_t n, double factor, double *x) noexcept nogil
cdef int prelu_f32(
    int shared, int64_t rows, int64_t cols, const float *x, int64_t ldx, const float *a, float *y,
    int64_t ldy
) noexcept nogil
cdef int prelu_f64(
    int shared, int64_t rows, int64_t cols, const double *x, int64_t ldx, const double *a,
    double *y, int64_t ldy
) noexcept nogil
cdef int prelu_backward_f32(
    int shared, int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *x,
    int64_t ldx, const float *a, float *dx, int64_t lddx, float *da
) noexcept nogil
cdef int prelu_backward_f64(
    int shared, int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *x,
    int64_t ldx, const double *a, double *dx, int64_t lddx, double *da
) noexcept nogil
cdef int dropout_f32(
    int64_t rows, int64_t cols, const float *x, int64_t ldx, const float *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, float *y, int64_t ldy
) noexcept nogil
cdef int dropout_f64(
    int64_t rows, int64_t cols, const double *x, int64_t ldx, const double *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, double *y, int64_t ldy
) noexcept nogil
cdef int layer_norm_f32(
    int rms, int64_t rows, int64_t cols, const float *x, int64_t ldx, const float *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, const float *weight,
    const float *bias, double eps, float *h, int64_t ldh, float *y, int64_t ldy, float *stats
) noexcept nogil
cdef int layer_norm_f64(
    int rms, int64_t rows, int64_t cols, const double *x, int64_t ldx, const double *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, const double *weight,
    const double *bias, double eps, double *h, int64_t ldh, double *y, int64_t ldy, double *stats
) noexcept nogil
cdef int layer_norm_backward_f32(
    int rms, int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *h, int64_t ldh,
    const float *stats, const float *weight, const float *dh_in, int64_t lddh_in, double p,
    uint64_t seed, uint64_t step, float *dh, int64_t lddh, float *dx, int64_t lddx, float *dweight,
    float *dbias
) noexcept nogil
cdef int layer_norm_backward_f64(
    int rms, int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *h,
    int64_t ldh, const double *stats, const double *weight, const double *dh_in, int64_t lddh_in,
    double p, uint64_t seed, uint64_t step, double *dh, int64_t lddh, double *dx, int64_t lddx,
    double *dweight, double *dbias
) noexcept nogil
cdef int attention_f32(
    const int64_t *sizes, const float *q, const int64_t *q_strides, const float *k,
    const int64_t *k_strides, const float *v, const int64_t *v_strides, float *out,
    const int64_t *out_strides, float *lse, double scale, int causal, const int64_t *lengths,
    const int64_t *lengths_strides, int mask_kind, const void *mask, const int64_t *mask_strides,
    double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil
cdef int attention_f64(
    const int64_t *sizes, const double *q, const int64_t *q_strides, const double *k,
    const int64_t *k_strides, const double *v, const int64_t *v_strides, double *out,
    const int64_t *out_strides, double *lse, double scale, int causal, const int64_t *lengths,
    const int64_t *lengths_strides, int mask_kind, const void *mask, const int64_t *mask_strides,
    double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil
cdef int attention_backward_f32(
    const int64_t *sizes, const float *dout, const float *q, const int64_t *q_strides,
    const float *k, const int64_t *k_strides, const float *v, const int64_t *v_strides,
    const float *out, const int64_t *out_strides, const float *lse, float *dq, float *dk, float *dv,
    double scale, int causal, const int64_t *lengths, const int64_t *lengths_strides, int mask_kind,
    const void *mask, const int64_t *mask_strides, double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil
cdef int attention_backward_f64(
    const int64_t *sizes, const double *dout, const double *q, const int64_t *q_strides,
    const double *k, const int64_t *k_strides, const double *v, const int64_t *v_strides,
    const double *out, const int64_t *out_strides, const double *lse, double *dq, double *dk,
    double *dv, double scale, int causal, const int64_t *lengths, const int64_t *lengths_strides,
    int mask_kind, const void *mask, const int64_t *mask_strides, double dropout_p, uint64_t seed,
    uint64_t step
) noexcept nogil
cdef int embedding_f32(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, const float *table,
    int64_t ldtable, double scale, float *y, int64_t ldy
) noexcept nogil
cdef int embedding_f64(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, const double *table,
    int64_t ldtable, double scale, double *y, int64_t ldy
) noexcept nogil
cdef int embedding_backward_f32(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, int64_t skipped, const float *dy,
    int64_t lddy, double scale, float *dtable, int64_t lddtable
) noexcept nogil
cdef int embedding_backward_f64(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, int64_t skipped,
    const double *dy, int64_t lddy, double scale, double *dtable, int64_t lddtable
) noexcept nogil
cdef int sgd_f32(
    int64_t n, float *p, const float *g, float *m, double lr, double momentum, int nesterov,
    double weight_decay, double grad_scale
) noexcept nogil
cdef int sgd_f64(
    int64_t n, double *p, const double *g, double *m, double lr, double momentum, int nesterov,
    double weight_decay, double grad_scale
) noexcept nogil
cdef int adam_f32(
    int64_t n, float *p, const float *g, float *m, float *v, int64_t step, double lr, double beta1,
    double beta2, double eps, double weight_decay, int decoupled, double grad_scale
) noexcept nogil
cdef int adam_f64(
    int64_t n, double *p, const double *g, double *m, double *v, int64_t step, double lr,
    double beta1, double beta2, double eps, double weight_decay, int decoupled, double grad_scale
) noexcept nogil
cdef int rmsprop_f32(
    int64_t n, float *p, const float *g, float *v, float *m, float *c, double lr, double alpha,
    double eps, double momentum, double weight_decay, double grad_scale
) noexcept nogil
cdef int rmsprop_f64(
    int64_t n, double *p, const double *g, double *v, double *m, double *c, double lr, double alpha,
    double eps, double momentum, double weight_decay, double grad_scale
) noexcept nogil
cdef int adagrad_f32(
    int64_t n, float *p, const float *g, float *v, int64_t step, double lr, double lr_decay,
    double eps, double weight_decay, double grad_scale
) noexcept nogil
cdef int adagrad_f64(
    int64_t n, double *p, const double *g, double *v, int64_t step, double lr, double lr_decay,
    double eps, double weight_decay, double grad_scale
) noexcept nogil
cdef int ema_f32(int64_t n, float *average, const float *p, double decay) noexcept nogil
cdef int ema_f64(int64_t n, double *average, const double *p, double decay) noexcept nogil
cdef int plan_run_f32(const void *plan, const float *x, float *y, int64_t rows) noexcept nogil
cdef int plan_run_f64(const void *plan, const double *x, double *y, int64_t rows) noexcept nogil
cdef int plan_info(const void *plan, int *bits, int64_t *n_in, int64_t *n_out) noexcept nogil
cdef int plan_retain(const void *plan) noexcept nogil
cdef int plan_release(const void *plan) noexcept nogil
cdef double plan_integrand(int n, double *x, void *plan) noexcept nogil
cdef int plan_filter(double *window, intptr_t n, double *result, void *plan) noexcept nogil
cdef int rotary_table_f32(int64_t positions, int64_t d, double base, float *table) noexcept nogil
cdef int rotary_table_f64(int64_t positions, int64_t d, double base, double *table) noexcept nogil
cdef int rotary_f32(
    const int64_t *sizes, const float *x, const int64_t *x_strides, const float *table,
    int64_t positions, const int64_t *starts, int64_t starts_stride, int inverse, float *y,
    const int64_t *y_strides
) noexcept nogil
cdef int rotary_f64(
    const int64_t *sizes, const double *x, const int64_t *x_strides, const double *table,
    int64_t positions, const int64_t *starts, int64_t starts_stride, int inverse, double *y,
    const int64_t *y_strides
) noexcept nogil
cdef int plan_step_f32(
    const void *plan, void *state, const int64_t *ids, int64_t n, const int64_t *lengths,
    float *logits
) noexcept nogil
cdef int plan_step_f64(
    const void *plan, void *state, const int64_t *ids, int64_t n, const int64_t *lengths,
    double *logits
) noexcept nogil
cdef int plan_encode_f32(
    const void *plan, const float *x, int64_t batch, int64_t n, const int64_t *lengths, float *y
) noexcept nogil
cdef int plan_encode_f64(
    const void *plan, const double *x, int64_t batch, int64_t n, const int64_t *lengths, double *y
) noexcept nogil
cdef void *plan_new_state(const void *plan, int64_t batch, int64_t max_len) noexcept nogil
cdef int state_release(void *state) noexcept nogil
cdef int state_truncate(void *state, int64_t length) noexcept nogil
