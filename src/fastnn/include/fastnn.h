/* fastnn.h: call fastnn's kernels, and models trained with it, from C and C++.
 *
 *     #include <Python.h>
 *     #include "fastnn.h"
 *     ...
 *     if (import_fastnn() < 0) return NULL;   once, in PyInit_..., before any other call
 *     ...
 *     int status = fastnn_softmax_f32(rows, cols, x, cols, y, cols);
 *     if (status != FASTNN_OK) puts(fastnn_strerror(status));
 *
 * There is nothing to link: import_fastnn() fetches a table of functions from a capsule. Without
 * Python.h a file gets the types alone. docs/embedding.md has the rules on versions, threads,
 * memory and errors; each function's contract is the comment above it. In general:
 *
 * - Sizes and strides are int64_t (int in blas_...) and count elements, not bytes. `ld...` is the
 *   distance between rows. _f32 is float, _f64 double.
 * - Functions do not need the GIL, keep no pointers, and return FASTNN_OK or another status.
 * - After FASTNN_BAD_ARGUMENT and FASTNN_WRONG_TYPE nothing was written; after FASTNN_NO_MEMORY
 *   outputs may hold anything.
 * - An output must not overlap any other argument unless its contract allows it. An overlap that
 *   a function detects is FASTNN_BAD_ARGUMENT; others give wrong results.
 *
 * kernels/api.pyx, the table, fastnn.capi's signatures, the docs and the tests are generated from
 * this header. To add a function NAME_f32 and NAME_f64: write a fused NAME_real in a .pxd of
 * fastnn.kernels, and add here a slot at the END of the table, its short name below, and a new
 * FASTNN_API_VERSION.
 */
#ifndef FASTNN_H
#define FASTNN_H

#include <stddef.h>
#include <stdint.h>

#include "fastnn_activations.h"

/* The ABI is the layout and meaning of the table; code compiled for another ABI is refused. The API
 * counts the additions to its end. */
#define FASTNN_ABI_VERSION 1
#define FASTNN_API_VERSION 3

/* The lowest API that the including code needs. Define it lower to run with an older fastnn too,
 * and test FASTNN_HAS before calling later functions. */
#ifndef FASTNN_API_NEEDED
#define FASTNN_API_NEEDED FASTNN_API_VERSION
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* A negative size, a missing pointer, an unknown code, a label out of range, an overlap. */
    FASTNN_OK = 0,
    FASTNN_NO_MEMORY = 1,
    FASTNN_BAD_ARGUMENT = 2,
    FASTNN_WRONG_TYPE = 3 /* a plan of the other real type or of another kind */
};

/* Activations: FASTNN_RELU = 1, FASTNN_GELU (exact, with erf) = 2, FASTNN_GELU_TANH = 3 and so on,
 * one for each row of fastnn_activations.h. */
#define FASTNN_CODE(NAME, name, code, ...) FASTNN_##NAME = code,
enum { FASTNN_ACTIVATIONS(FASTNN_CODE) FASTNN_NONE = 0 };
#undef FASTNN_CODE

/* Elementwise losses. */
enum { FASTNN_MSE = 0, FASTNN_L1 = 1, FASTNN_HUBER = 2, FASTNN_BCE = 3 };

/* Kinds of attention mask. */
enum { FASTNN_NO_MASK = 0, FASTNN_BOOLEAN_MASK = 1, FASTNN_ADDITIVE_MASK = 2 };

/* A frozen model; see plan_run_f32. */
typedef struct fastnn_plan fastnn_plan;
/* The tokens that a frozen language model has read, as a KV cache; see plan_step_f32. */
typedef struct fastnn_state fastnn_state;

typedef struct fastnn_api {
    uint32_t abi_version;
    uint32_t api_version;
    uint64_t size;       /* of the whole table in bytes */
    const char *version; /* of fastnn, such as "1.2.3" */
    const char *isa;     /* instruction set in use: "baseline", "avx2", "avx512" */

    /* ---- API 1 ---- */

    /* Return the meaning of a status in English; never NULL. */
    const char *(*strerror)(int status);
    /* Limit kernels called by this thread to n threads; 0: the limit of the process; below 0: no
     * change. Returns the previous limit, for restoring it. Use 1 in each of your own threads. */
    int (*set_thread_limit)(int n);
    /* Return the number of threads that a large kernel would use if this thread called it now. */
    int (*max_threads)(void);

    /* c := act(alpha a b + beta c + bias) with c (m x n), a (m x k) and b (k x n). Row strides rs
     * and column strides cs may be negative or zero, but not zero for c. bias is NULL or n values.
     * preact, NULL or with the strides of c, receives the pre-activation. If beta == 0, c is not
     * read. */
    int (*gemm_f32)(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t rsa,
                    int64_t csa, const float *b, int64_t rsb, int64_t csb, float beta, float *c,
                    int64_t rsc, int64_t csc, const float *bias, int activation, float *preact);
    int (*gemm_f64)(int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t rsa,
                    int64_t csa, const double *b, int64_t rsb, int64_t csb, double beta, double *c,
                    int64_t rsc, int64_t csc, const double *bias, int activation, double *preact);

    /* Backward of y = act(x w + b) with x (n x n_in) and w (n_in x n_out): dw += x^T dz, db += the
     * sum of the rows of dz, dx = dz w^T, where dz = dy act'. All arrays but x and w are
     * contiguous; db and dx may be NULL. saved (n x n_out) is y if fastnn_activations.h says
     * OUTPUT, the pre-activation if it says INPUT, and NULL for FASTNN_NONE. */
    int (*linear_backward_f32)(int64_t n, int64_t n_in, int64_t n_out, const float *dy,
                               const float *x, int64_t rsx, int64_t csx, const float *w,
                               int64_t rsw, int64_t csw, const float *saved, int activation,
                               float *dw, float *db, float *dx);
    int (*linear_backward_f64)(int64_t n, int64_t n_in, int64_t n_out, const double *dy,
                               const double *x, int64_t rsx, int64_t csx, const double *w,
                               int64_t rsw, int64_t csw, const double *saved, int activation,
                               double *dw, double *db, double *dx);

    /* y = act(x) elementwise; kind is any activation but FASTNN_NONE. y may be x. */
    int (*activation_f32)(int kind, int64_t rows, int64_t cols, const float *x, int64_t ldx,
                          float *y, int64_t ldy);
    int (*activation_f64)(int kind, int64_t rows, int64_t cols, const double *x, int64_t ldx,
                          double *y, int64_t ldy);
    /* dx = dy act'(x), with saved as in linear_backward_f32. dx may be dy or saved. */
    int (*activation_backward_f32)(int kind, int64_t rows, int64_t cols, const float *dy,
                                   int64_t lddy, const float *saved, int64_t ldsaved, float *dx,
                                   int64_t lddx);
    int (*activation_backward_f64)(int kind, int64_t rows, int64_t cols, const double *dy,
                                   int64_t lddy, const double *saved, int64_t ldsaved, double *dx,
                                   int64_t lddx);

    /* y = softmax(x), row by row. y may be x. */
    int (*softmax_f32)(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y,
                       int64_t ldy);
    int (*softmax_f64)(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y,
                       int64_t ldy);
    /* dx = y (dy - sum of dy y), row by row, with the output y of softmax. dx may be dy or y. */
    int (*softmax_backward_f32)(int64_t rows, int64_t cols, const float *dy, int64_t lddy,
                                const float *y, int64_t ldy, float *dx, int64_t lddx);
    int (*softmax_backward_f64)(int64_t rows, int64_t cols, const double *dy, int64_t lddy,
                                const double *y, int64_t ldy, double *dx, int64_t lddx);
    /* y = log softmax(x), row by row. y may be x. */
    int (*log_softmax_f32)(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y,
                           int64_t ldy);
    int (*log_softmax_f64)(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y,
                           int64_t ldy);
    /* dx = dy - exp(y) (sum of dy), row by row, with the output y of log_softmax. dx may be dy or
     * y. */
    int (*log_softmax_backward_f32)(int64_t rows, int64_t cols, const float *dy, int64_t lddy,
                                    const float *y, int64_t ldy, float *dx, int64_t lddx);
    int (*log_softmax_backward_f64)(int64_t rows, int64_t cols, const double *dy, int64_t lddy,
                                    const double *y, int64_t ldy, double *dx, int64_t lddx);
    /* Softmax of the first lengths[i / rows_per_length] elements of row i; the rest of y is 0. 0 <=
     * lengths[...] <= cols; NULL: all columns. y may be x. */
    int (*masked_softmax_f32)(int64_t rows, int64_t cols, const float *x, int64_t ldx,
                              const int64_t *lengths, int64_t rows_per_length, float *y,
                              int64_t ldy);
    int (*masked_softmax_f64)(int64_t rows, int64_t cols, const double *x, int64_t ldx,
                              const int64_t *lengths, int64_t rows_per_length, double *y,
                              int64_t ldy);
    /* Backward of masked_softmax. dx may be dy or y. */
    int (*masked_softmax_backward_f32)(int64_t rows, int64_t cols, const float *dy, int64_t lddy,
                                       const float *y, int64_t ldy, const int64_t *lengths,
                                       int64_t rows_per_length, float *dx, int64_t lddx);
    int (*masked_softmax_backward_f64)(int64_t rows, int64_t cols, const double *dy, int64_t lddy,
                                       const double *y, int64_t ldy, const int64_t *lengths,
                                       int64_t rows_per_length, double *dx, int64_t lddx);

    /* loss = the mean over the rows of -log softmax(logits)[target], and its gradient dlogits,
     * which may be logits. 0 <= target < cols. */
    int (*cross_entropy_f32)(int64_t rows, int64_t cols, const float *logits, int64_t ldlogits,
                             const int64_t *targets, float *dlogits, int64_t lddlogits,
                             double *loss);
    int (*cross_entropy_f64)(int64_t rows, int64_t cols, const double *logits, int64_t ldlogits,
                             const int64_t *targets, double *dlogits, int64_t lddlogits,
                             double *loss);
    /* loss = the mean of (pred - target)^2, and its gradient dpred, which may be pred or target. */
    int (*mse_f32)(int64_t n, const float *pred, const float *target, float *dpred, double *loss);
    int (*mse_f64)(int64_t n, const double *pred, const double *target, double *dpred,
                   double *loss);
    /* Cross entropy with options. The targets are labels or, if labels is NULL, the rows of probs.
     * Rows whose label equals ignore are left out. class_weight (cols), sample_weight (rows) and
     * losses (rows), which receives the loss of each row, may be NULL. 0 <= smoothing <= 1. loss is
     * the weighted mean, or the sum if mean is 0. */
    int (*weighted_cross_entropy_f32)(int64_t rows, int64_t cols, const float *logits,
                                      int64_t ldlogits, const int64_t *labels, int64_t ignore,
                                      const float *probs, int64_t ldprobs,
                                      const float *class_weight, const float *sample_weight,
                                      double smoothing, int mean, float *dlogits, int64_t lddlogits,
                                      float *losses, double *loss);
    int (*weighted_cross_entropy_f64)(int64_t rows, int64_t cols, const double *logits,
                                      int64_t ldlogits, const int64_t *labels, int64_t ignore,
                                      const double *probs, int64_t ldprobs,
                                      const double *class_weight, const double *sample_weight,
                                      double smoothing, int mean, double *dlogits,
                                      int64_t lddlogits, double *losses, double *loss);
    /* An elementwise loss; kind is FASTNN_MSE, _L1, _HUBER or _BCE (pred are logits). Element i has
     * weight weight[i / per_weight], and in BCE its positive term has weight positive[i % columns];
     * both may be NULL. delta is Huber's. losses, which receives the loss of each element, may be
     * NULL; dpred may be pred or target. loss is the weighted mean, or the sum if mean is 0. */
    int (*loss_f32)(int kind, int64_t n, const float *pred, const float *target,
                    const float *weight, int64_t per_weight, const float *positive, int64_t columns,
                    float delta, int mean, float *dpred, float *losses, double *loss);
    int (*loss_f64)(int kind, int64_t n, const double *pred, const double *target,
                    const double *weight, int64_t per_weight, const double *positive,
                    int64_t columns, double delta, int mean, double *dpred, double *losses,
                    double *loss);

    /* norm = sqrt(sum of x^2), in double, without intermediate overflow. */
    int (*frobenius_norm_f32)(int64_t n, const float *x, double *norm);
    int (*frobenius_norm_f64)(int64_t n, const double *x, double *norm);
    /* square = the sum of x^2, in double. */
    int (*squared_norm_f32)(int64_t n, const float *x, double *square);
    int (*squared_norm_f64)(int64_t n, const double *x, double *square);
    /* x := factor x. */
    int (*scale_f32)(int64_t n, double factor, float *x);
    int (*scale_f64)(int64_t n, double factor, double *x);
    /* y = x where x > 0, else a x. a is one slope if shared, otherwise cols slopes. y may be x. */
    int (*prelu_f32)(int shared, int64_t rows, int64_t cols, const float *x, int64_t ldx,
                     const float *a, float *y, int64_t ldy);
    int (*prelu_f64)(int shared, int64_t rows, int64_t cols, const double *x, int64_t ldx,
                     const double *a, double *y, int64_t ldy);
    /* Backward of prelu; da += the gradient of a, unless da is NULL. x may be the output if every
     * slope is positive. dx may be dy or x. */
    int (*prelu_backward_f32)(int shared, int64_t rows, int64_t cols, const float *dy, int64_t lddy,
                              const float *x, int64_t ldx, const float *a, float *dx, int64_t lddx,
                              float *da);
    int (*prelu_backward_f64)(int shared, int64_t rows, int64_t cols, const double *dy,
                              int64_t lddy, const double *x, int64_t ldx, const double *a,
                              double *dx, int64_t lddx, double *da);
    /* y = residual + dropout(x), or dropout(x) if residual is NULL: elements are 0 with probability
     * p, otherwise x / (1 - p). Which ones are dropped depends on seed, step and the element's
     * index i cols + j alone; backward is dropout of dy. y may be x or residual. */
    int (*dropout_f32)(int64_t rows, int64_t cols, const float *x, int64_t ldx,
                       const float *residual, int64_t ldresidual, double p, uint64_t seed,
                       uint64_t step, float *y, int64_t ldy);
    int (*dropout_f64)(int64_t rows, int64_t cols, const double *x, int64_t ldx,
                       const double *residual, int64_t ldresidual, double p, uint64_t seed,
                       uint64_t step, double *y, int64_t ldy);
    /* h = residual + dropout(x), y = (h - mean h) / sqrt(var h + eps) * weight + bias, row by row;
     * if rms, y = h / sqrt(mean h^2 + eps) * weight + bias. residual, weight, bias (cols) and h may
     * be NULL. If residual is NULL and p = 0, h is x and is not written. stats (rows x 3), which
     * backward reads, may be NULL. h and y may be x or residual, but not each other. */
    int (*layer_norm_f32)(int rms, int64_t rows, int64_t cols, const float *x, int64_t ldx,
                          const float *residual, int64_t ldresidual, double p, uint64_t seed,
                          uint64_t step, const float *weight, const float *bias, double eps,
                          float *h, int64_t ldh, float *y, int64_t ldy, float *stats);
    int (*layer_norm_f64)(int rms, int64_t rows, int64_t cols, const double *x, int64_t ldx,
                          const double *residual, int64_t ldresidual, double p, uint64_t seed,
                          uint64_t step, const double *weight, const double *bias, double eps,
                          double *h, int64_t ldh, double *y, int64_t ldy, double *stats);
    /* Backward of layer_norm. dh = the gradient of h through y, plus dh_in unless it is NULL; dx =
     * the gradient of x through dropout, not written if p = 0; dweight (cols) and dbias (cols) are
     * added to, unless NULL. dh may be dy or dh_in. */
    int (*layer_norm_backward_f32)(int rms, int64_t rows, int64_t cols, const float *dy,
                                   int64_t lddy, const float *h, int64_t ldh, const float *stats,
                                   const float *weight, const float *dh_in, int64_t lddh_in,
                                   double p, uint64_t seed, uint64_t step, float *dh, int64_t lddh,
                                   float *dx, int64_t lddx, float *dweight, float *dbias);
    int (*layer_norm_backward_f64)(int rms, int64_t rows, int64_t cols, const double *dy,
                                   int64_t lddy, const double *h, int64_t ldh, const double *stats,
                                   const double *weight, const double *dh_in, int64_t lddh_in,
                                   double p, uint64_t seed, uint64_t step, double *dh, int64_t lddh,
                                   double *dx, int64_t lddx, double *dweight, double *dbias);
    /* Softmax attention, out = softmax(scale q k^T + mask) v. sizes are batch, heads, kv_heads,
     * n_queries, n_keys, d, dv; heads is a multiple of kv_heads. Strides are along batch, head and
     * position; the last axes are contiguous. causal: the last query attends to all keys, the one
     * before it to one key less, and so on. lengths (number of keys to attend to, 0..n_keys), with
     * strides along batch and query, may be NULL. mask_kind is FASTNN_NO_MASK, FASTNN_BOOLEAN_MASK
     * (bytes; nonzero: attend) or FASTNN_ADDITIVE_MASK (reals; only -inf hides a key); the strides
     * of the mask along batch, head, query and key may be 0. lse (batch x heads x n_queries), the
     * log-sum-exp of the scores, is needed for backward and may be NULL. scale is finite. Weights
     * are dropped as in dropout_f32. */
    int (*attention_f32)(const int64_t *sizes, const float *q, const int64_t *q_strides,
                         const float *k, const int64_t *k_strides, const float *v,
                         const int64_t *v_strides, float *out, const int64_t *out_strides,
                         float *lse, double scale, int causal, const int64_t *lengths,
                         const int64_t *lengths_strides, int mask_kind, const void *mask,
                         const int64_t *mask_strides, double dropout_p, uint64_t seed,
                         uint64_t step);
    int (*attention_f64)(const int64_t *sizes, const double *q, const int64_t *q_strides,
                         const double *k, const int64_t *k_strides, const double *v,
                         const int64_t *v_strides, double *out, const int64_t *out_strides,
                         double *lse, double scale, int causal, const int64_t *lengths,
                         const int64_t *lengths_strides, int mask_kind, const void *mask,
                         const int64_t *mask_strides, double dropout_p, uint64_t seed,
                         uint64_t step);
    /* Backward of attention; out and lse are the results of forward, the other arguments those
     * given to it. dq, dk and dv are overwritten and have the strides of q, k and v; dout has those
     * of out. If the lse of a row exceeds 16 in size, it is not exact enough to restore the
     * weights; the scores are then computed a second time, and the gradients stay accurate. */
    int (*attention_backward_f32)(const int64_t *sizes, const float *dout, const float *q,
                                  const int64_t *q_strides, const float *k,
                                  const int64_t *k_strides, const float *v,
                                  const int64_t *v_strides, const float *out,
                                  const int64_t *out_strides, const float *lse, float *dq,
                                  float *dk, float *dv, double scale, int causal,
                                  const int64_t *lengths, const int64_t *lengths_strides,
                                  int mask_kind, const void *mask, const int64_t *mask_strides,
                                  double dropout_p, uint64_t seed, uint64_t step);
    int (*attention_backward_f64)(const int64_t *sizes, const double *dout, const double *q,
                                  const int64_t *q_strides, const double *k,
                                  const int64_t *k_strides, const double *v,
                                  const int64_t *v_strides, const double *out,
                                  const int64_t *out_strides, const double *lse, double *dq,
                                  double *dk, double *dv, double scale, int causal,
                                  const int64_t *lengths, const int64_t *lengths_strides,
                                  int mask_kind, const void *mask, const int64_t *mask_strides,
                                  double dropout_p, uint64_t seed, uint64_t step);
    /* y_i = scale table[ids_i] for `count` ids of rows of the table. */
    int (*embedding_f32)(int64_t count, int64_t rows, int64_t cols, const int64_t *ids,
                         const float *table, int64_t ldtable, double scale, float *y, int64_t ldy);
    int (*embedding_f64)(int64_t count, int64_t rows, int64_t cols, const int64_t *ids,
                         const double *table, int64_t ldtable, double scale, double *y,
                         int64_t ldy);
    /* dtable[ids_i] += scale dy_i, except for ids equal to skipped (-1: none). */
    int (*embedding_backward_f32)(int64_t count, int64_t rows, int64_t cols, const int64_t *ids,
                                  int64_t skipped, const float *dy, int64_t lddy, double scale,
                                  float *dtable, int64_t lddtable);
    int (*embedding_backward_f64)(int64_t count, int64_t rows, int64_t cols, const int64_t *ids,
                                  int64_t skipped, const double *dy, int64_t lddy, double scale,
                                  double *dtable, int64_t lddtable);

    /* One step of SGD for parameters p with gradients g: d = grad_scale g + weight_decay p; m =
     * momentum m + d; p -= lr m or, if nesterov, p -= lr (d + momentum m). m may be NULL if
     * momentum is 0. Here and below, arrays may be divided anywhere and updated in parts. */
    int (*sgd_f32)(int64_t n, float *p, const float *g, float *m, double lr, double momentum,
                   int nesterov, double weight_decay, double grad_scale);
    int (*sgd_f64)(int64_t n, double *p, const double *g, double *m, double lr, double momentum,
                   int nesterov, double weight_decay, double grad_scale);
    /* Adam, or AdamW if decoupled. step counts from 1; m and v are zero before the first step. */
    int (*adam_f32)(int64_t n, float *p, const float *g, float *m, float *v, int64_t step,
                    double lr, double beta1, double beta2, double eps, double weight_decay,
                    int decoupled, double grad_scale);
    int (*adam_f64)(int64_t n, double *p, const double *g, double *m, double *v, int64_t step,
                    double lr, double beta1, double beta2, double eps, double weight_decay,
                    int decoupled, double grad_scale);
    /* RMSprop; m is NULL if momentum is 0, c is NULL if not centered. */
    int (*rmsprop_f32)(int64_t n, float *p, const float *g, float *v, float *m, float *c, double lr,
                       double alpha, double eps, double momentum, double weight_decay,
                       double grad_scale);
    int (*rmsprop_f64)(int64_t n, double *p, const double *g, double *v, double *m, double *c,
                       double lr, double alpha, double eps, double momentum, double weight_decay,
                       double grad_scale);
    /* Adagrad; step counts from 1. */
    int (*adagrad_f32)(int64_t n, float *p, const float *g, float *v, int64_t step, double lr,
                       double lr_decay, double eps, double weight_decay, double grad_scale);
    int (*adagrad_f64)(int64_t n, double *p, const double *g, double *v, int64_t step, double lr,
                       double lr_decay, double eps, double weight_decay, double grad_scale);
    /* average := decay average + (1 - decay) p. */
    int (*ema_f32)(int64_t n, float *average, const float *p, double decay);
    int (*ema_f64)(int64_t n, double *average, const double *p, double decay);

    /* y = the model's output for `rows` rows of x. Both are C-contiguous and must not overlap. Any
     * number of threads may run one plan at the same time. */
    int (*plan_run_f32)(const fastnn_plan *plan, const float *x, float *y, int64_t rows);
    int (*plan_run_f64)(const fastnn_plan *plan, const double *x, double *y, int64_t rows);
    /* Report the real type of a plan (bits = 32 or 64) and the columns of x and y. Each output may
     * be NULL. */
    int (*plan_info)(const fastnn_plan *plan, int *bits, int64_t *n_in, int64_t *n_out);
    /* Keep a plan alive beyond its Python object; call release once for each retain. */
    int (*plan_retain)(const fastnn_plan *plan);
    int (*plan_release)(const fastnn_plan *plan);
    /* A float64 plan with one output as a function of n values for scipy.integrate; NaN if the plan
     * does not have n inputs. */
    double (*plan_integrand)(int n, double *x, void *plan);
    /* The same plan as a function of a window for scipy.ndimage.generic_filter; 0 on error,
     * otherwise 1. */
    int (*plan_filter)(double *window, intptr_t n, double *result, void *plan);

    /* ---- API 2 ---- */

    /* The table (positions x d, d even) for rotary: in the row of position p, d/2 cosines of p
     * base^(-2i/d), then d/2 sines. */
    int (*rotary_table_f32)(int64_t positions, int64_t d, double base, float *table);
    int (*rotary_table_f64)(int64_t positions, int64_t d, double base, double *table);
    /* Rotary position embedding: rotate the pairs (x_i, x_(i+d/2)) by the angles of their position;
     * inverse rotates back, which is backward. sizes are batch, heads, positions, d. Strides are
     * along batch, head and position; the last axes are contiguous. starts has the first position
     * of each row of the batch; its stride may be 0, and NULL means 0. The table must have rows for
     * all positions. y may be x with the same strides. */
    int (*rotary_f32)(const int64_t *sizes, const float *x, const int64_t *x_strides,
                      const float *table, int64_t positions, const int64_t *starts,
                      int64_t starts_stride, int inverse, float *y, const int64_t *y_strides);
    int (*rotary_f64)(const int64_t *sizes, const double *x, const int64_t *x_strides,
                      const double *table, int64_t positions, const int64_t *starts,
                      int64_t starts_stride, int inverse, double *y, const int64_t *y_strides);

    /* One step of a frozen language model (TransformerLM.freeze() in Python). ids (batch x n) are
     * appended to the state, row b contributing its first lengths[b] ids, 1..n (NULL: all n);
     * logits (batch x vocabulary) are for the token after each row's last. Any number of threads
     * may run one plan, each with its own state. An invalid id or a full state is
     * FASTNN_BAD_ARGUMENT. After an error the state is unchanged. */
    int (*plan_step_f32)(const fastnn_plan *plan, fastnn_state *state, const int64_t *ids,
                         int64_t n, const int64_t *lengths, float *logits);
    int (*plan_step_f64)(const fastnn_plan *plan, fastnn_state *state, const int64_t *ids,
                         int64_t n, const int64_t *lengths, double *logits);
    /* y = a frozen encoder (TransformerEncoder.freeze() in Python) applied to x (batch x n x d),
     * both C-contiguous; y may be x. The first lengths[b] positions of row b, 0..n, may be attended
     * to; NULL: all. */
    int (*plan_encode_f32)(const fastnn_plan *plan, const float *x, int64_t batch, int64_t n,
                           const int64_t *lengths, float *y);
    int (*plan_encode_f64)(const fastnn_plan *plan, const double *x, int64_t batch, int64_t n,
                           const int64_t *lengths, double *y);
    /* Create an empty state for `batch` sequences of at most max_len positions; it keeps the plan
     * alive, and is freed by state_release. NULL if the plan is not a language model's, max_len
     * exceeds the plan's, or there is no memory. */
    fastnn_state *(*plan_new_state)(const fastnn_plan *plan, int64_t batch, int64_t max_len);
    int (*state_release)(fastnn_state *state);
    /* Keep only the first `length` positions of each sequence. */
    int (*state_truncate)(fastnn_state *state, int64_t length);

    /* ---- API 3 ---- */

    /* BLAS: the arguments of cblas_sgemm without the order, which is row-major, and with 0 or 1 for
     * NoTrans and Trans: c := alpha op(a) op(b) + beta c with c (m x n) and op(a) (m x k). If beta
     * == 0, c is not read; if alpha == 0, a and b are not. */
    int (*blas_gemm_f32)(int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a,
                         int lda, const float *b, int ldb, float beta, float *c, int ldc);
    int (*blas_gemm_f64)(int trans_a, int trans_b, int m, int n, int k, double alpha,
                         const double *a, int lda, const double *b, int ldb, double beta, double *c,
                         int ldc);
    /* y := alpha op(a) x + beta y with a (m x n), row-major. Here and below, element i of a vector
     * x of n elements is x[i incx], or x[(i - n + 1) incx] if incx < 0; incx may be 0, incy not. */
    int (*blas_gemv_f32)(int trans_a, int m, int n, float alpha, const float *a, int lda,
                         const float *x, int incx, float beta, float *y, int incy);
    int (*blas_gemv_f64)(int trans_a, int m, int n, double alpha, const double *a, int lda,
                         const double *x, int incx, double beta, double *y, int incy);
    /* y += alpha x. If alpha == 0, x is not read. */
    int (*blas_axpy_f32)(int n, float alpha, const float *x, int incx, float *y, int incy);
    int (*blas_axpy_f64)(int n, double alpha, const double *x, int incx, double *y, int incy);
    /* x := alpha x; incx is not 0. */
    int (*blas_scal_f32)(int n, float alpha, float *x, int incx);
    int (*blas_scal_f64)(int n, double alpha, double *x, int incx);
    /* result = the sum of x_i y_i, with nested sums as in a matrix product. */
    int (*blas_dot_f32)(int n, const float *x, int incx, const float *y, int incy, float *result);
    int (*blas_dot_f64)(int n, const double *x, int incx, const double *y, int incy,
                        double *result);
} fastnn_api;

/* The pointer to the table. By default each file that includes this has its own. To share one
 * between the files of a library, #define FASTNN_UNIQUE_SYMBOL to a name of yours in all of them,
 * and FASTNN_NO_IMPORT in all but the one that calls import_fastnn(). */
#if defined(__GNUC__)
#define FASTNN_LOCAL __attribute__((visibility("hidden"), unused))
#define FASTNN_STATIC static __attribute__((unused))
#else
#define FASTNN_LOCAL
#define FASTNN_STATIC static
#endif
#if !defined(FASTNN_UNIQUE_SYMBOL)
FASTNN_STATIC const fastnn_api *fastnn_table = NULL;
#elif defined(FASTNN_NO_IMPORT)
#define fastnn_table FASTNN_UNIQUE_SYMBOL
extern FASTNN_LOCAL const fastnn_api *fastnn_table;
#else
#define fastnn_table FASTNN_UNIQUE_SYMBOL
extern FASTNN_LOCAL const fastnn_api *fastnn_table;
const fastnn_api *fastnn_table = NULL;
#endif

/* True if the running fastnn has a slot, as in FASTNN_HAS(gemm_f32). */
#define FASTNN_HAS(slot) (offsetof(fastnn_api, slot) < fastnn_table->size)

#define fastnn_strerror fastnn_table->strerror
#define fastnn_set_thread_limit fastnn_table->set_thread_limit
#define fastnn_max_threads fastnn_table->max_threads
#define fastnn_gemm_f32 fastnn_table->gemm_f32
#define fastnn_gemm_f64 fastnn_table->gemm_f64
#define fastnn_linear_backward_f32 fastnn_table->linear_backward_f32
#define fastnn_linear_backward_f64 fastnn_table->linear_backward_f64
#define fastnn_activation_f32 fastnn_table->activation_f32
#define fastnn_activation_f64 fastnn_table->activation_f64
#define fastnn_activation_backward_f32 fastnn_table->activation_backward_f32
#define fastnn_activation_backward_f64 fastnn_table->activation_backward_f64
#define fastnn_softmax_f32 fastnn_table->softmax_f32
#define fastnn_softmax_f64 fastnn_table->softmax_f64
#define fastnn_softmax_backward_f32 fastnn_table->softmax_backward_f32
#define fastnn_softmax_backward_f64 fastnn_table->softmax_backward_f64
#define fastnn_log_softmax_f32 fastnn_table->log_softmax_f32
#define fastnn_log_softmax_f64 fastnn_table->log_softmax_f64
#define fastnn_log_softmax_backward_f32 fastnn_table->log_softmax_backward_f32
#define fastnn_log_softmax_backward_f64 fastnn_table->log_softmax_backward_f64
#define fastnn_masked_softmax_f32 fastnn_table->masked_softmax_f32
#define fastnn_masked_softmax_f64 fastnn_table->masked_softmax_f64
#define fastnn_masked_softmax_backward_f32 fastnn_table->masked_softmax_backward_f32
#define fastnn_masked_softmax_backward_f64 fastnn_table->masked_softmax_backward_f64
#define fastnn_cross_entropy_f32 fastnn_table->cross_entropy_f32
#define fastnn_cross_entropy_f64 fastnn_table->cross_entropy_f64
#define fastnn_mse_f32 fastnn_table->mse_f32
#define fastnn_mse_f64 fastnn_table->mse_f64
#define fastnn_weighted_cross_entropy_f32 fastnn_table->weighted_cross_entropy_f32
#define fastnn_weighted_cross_entropy_f64 fastnn_table->weighted_cross_entropy_f64
#define fastnn_loss_f32 fastnn_table->loss_f32
#define fastnn_loss_f64 fastnn_table->loss_f64
#define fastnn_frobenius_norm_f32 fastnn_table->frobenius_norm_f32
#define fastnn_frobenius_norm_f64 fastnn_table->frobenius_norm_f64
#define fastnn_squared_norm_f32 fastnn_table->squared_norm_f32
#define fastnn_squared_norm_f64 fastnn_table->squared_norm_f64
#define fastnn_scale_f32 fastnn_table->scale_f32
#define fastnn_scale_f64 fastnn_table->scale_f64
#define fastnn_prelu_f32 fastnn_table->prelu_f32
#define fastnn_prelu_f64 fastnn_table->prelu_f64
#define fastnn_prelu_backward_f32 fastnn_table->prelu_backward_f32
#define fastnn_prelu_backward_f64 fastnn_table->prelu_backward_f64
#define fastnn_dropout_f32 fastnn_table->dropout_f32
#define fastnn_dropout_f64 fastnn_table->dropout_f64
#define fastnn_layer_norm_f32 fastnn_table->layer_norm_f32
#define fastnn_layer_norm_f64 fastnn_table->layer_norm_f64
#define fastnn_layer_norm_backward_f32 fastnn_table->layer_norm_backward_f32
#define fastnn_layer_norm_backward_f64 fastnn_table->layer_norm_backward_f64
#define fastnn_attention_f32 fastnn_table->attention_f32
#define fastnn_attention_f64 fastnn_table->attention_f64
#define fastnn_attention_backward_f32 fastnn_table->attention_backward_f32
#define fastnn_attention_backward_f64 fastnn_table->attention_backward_f64
#define fastnn_embedding_f32 fastnn_table->embedding_f32
#define fastnn_embedding_f64 fastnn_table->embedding_f64
#define fastnn_embedding_backward_f32 fastnn_table->embedding_backward_f32
#define fastnn_embedding_backward_f64 fastnn_table->embedding_backward_f64
#define fastnn_sgd_f32 fastnn_table->sgd_f32
#define fastnn_sgd_f64 fastnn_table->sgd_f64
#define fastnn_adam_f32 fastnn_table->adam_f32
#define fastnn_adam_f64 fastnn_table->adam_f64
#define fastnn_rmsprop_f32 fastnn_table->rmsprop_f32
#define fastnn_rmsprop_f64 fastnn_table->rmsprop_f64
#define fastnn_adagrad_f32 fastnn_table->adagrad_f32
#define fastnn_adagrad_f64 fastnn_table->adagrad_f64
#define fastnn_ema_f32 fastnn_table->ema_f32
#define fastnn_ema_f64 fastnn_table->ema_f64
#define fastnn_plan_run_f32 fastnn_table->plan_run_f32
#define fastnn_plan_run_f64 fastnn_table->plan_run_f64
#define fastnn_plan_info fastnn_table->plan_info
#define fastnn_plan_retain fastnn_table->plan_retain
#define fastnn_plan_release fastnn_table->plan_release
#define fastnn_plan_integrand fastnn_table->plan_integrand
#define fastnn_plan_filter fastnn_table->plan_filter
#define fastnn_rotary_table_f32 fastnn_table->rotary_table_f32
#define fastnn_rotary_table_f64 fastnn_table->rotary_table_f64
#define fastnn_rotary_f32 fastnn_table->rotary_f32
#define fastnn_rotary_f64 fastnn_table->rotary_f64
#define fastnn_plan_step_f32 fastnn_table->plan_step_f32
#define fastnn_plan_step_f64 fastnn_table->plan_step_f64
#define fastnn_plan_encode_f32 fastnn_table->plan_encode_f32
#define fastnn_plan_encode_f64 fastnn_table->plan_encode_f64
#define fastnn_plan_new_state fastnn_table->plan_new_state
#define fastnn_state_release fastnn_table->state_release
#define fastnn_state_truncate fastnn_table->state_truncate
#define fastnn_blas_gemm_f32 fastnn_table->blas_gemm_f32
#define fastnn_blas_gemm_f64 fastnn_table->blas_gemm_f64
#define fastnn_blas_gemv_f32 fastnn_table->blas_gemv_f32
#define fastnn_blas_gemv_f64 fastnn_table->blas_gemv_f64
#define fastnn_blas_axpy_f32 fastnn_table->blas_axpy_f32
#define fastnn_blas_axpy_f64 fastnn_table->blas_axpy_f64
#define fastnn_blas_scal_f32 fastnn_table->blas_scal_f32
#define fastnn_blas_scal_f64 fastnn_table->blas_scal_f64
#define fastnn_blas_dot_f32 fastnn_table->blas_dot_f32
#define fastnn_blas_dot_f64 fastnn_table->blas_dot_f64
/* Models are float32 by default. */
#define fastnn_plan_run fastnn_plan_run_f32
#define fastnn_plan_step fastnn_plan_step_f32
#define fastnn_plan_encode fastnn_plan_encode_f32

#if defined(Py_PYTHON_H) && !defined(FASTNN_NO_IMPORT)

/* Fetch the table. Returns 0, or -1 with ImportError set. Needs the GIL; may be called again; not
 * for static initializers. */
FASTNN_STATIC int import_fastnn(void) {
    PyObject *module = PyImport_ImportModule("fastnn.capi");
    PyObject *capsule = module ? PyObject_GetAttrString(module, "_C_API") : NULL;
    const fastnn_api *table =
        capsule ? (const fastnn_api *)PyCapsule_GetPointer(capsule, "fastnn.capi._C_API") : NULL;
    Py_XDECREF(capsule); /* the table lives as long as the process */
    Py_XDECREF(module);
    if (!table) return -1;
    if (table->abi_version != FASTNN_ABI_VERSION) {
        PyErr_Format(PyExc_ImportError,
                     "this module was compiled for ABI %d of fastnn, but the fastnn that is "
                     "installed has ABI %d: compile it again",
                     FASTNN_ABI_VERSION, (int)table->abi_version);
        return -1;
    }
    if (table->api_version < FASTNN_API_NEEDED) {
        PyErr_Format(
            PyExc_ImportError,
            "this module needs API %d of fastnn, but fastnn %s has API %d: install a newer fastnn",
            FASTNN_API_NEEDED, table->version, (int)table->api_version);
        return -1;
    }
    fastnn_table = table;
    return 0;
}

/* Return the plan of a fastnn.Plan, which must outlive its use (or retain it), or NULL with
 * TypeError set. Needs the GIL. */
FASTNN_STATIC const fastnn_plan *fastnn_plan_from_object(PyObject *object) {
    PyObject *capsule = PyObject_GetAttrString(object, "capsule");
    const fastnn_plan *plan =
        capsule ? (const fastnn_plan *)PyCapsule_GetPointer(capsule, "fastnn.plan") : NULL;
    Py_XDECREF(capsule);
    if (!plan)
        PyErr_Format(PyExc_TypeError, "a fastnn.Plan is needed (model.freeze() makes one), not %R",
                     (PyObject *)Py_TYPE(object));
    return plan;
}

#endif

#ifdef __cplusplus
}
#endif

#endif
