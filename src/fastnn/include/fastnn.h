/* fastnn.h: call fastnn's kernels, and models trained with it, from C and C++.
 *
 *     #include <Python.h>
 *     #include "fastnn.h"
 *     ...
 *     if (import_fastnn() < 0) return NULL;                  once, in PyInit_..., before anything
 * else is called
 *     ...
 *     int status = fastnn_softmax_f32(rows, cols, x, cols, y, cols);
 *     if (status != FASTNN_OK) puts(fastnn_strerror(status));
 *
 * Nothing is linked: import_fastnn() fetches one table of functions from a capsule. A file that is
 * compiled without Python.h has the types alone. docs/embedding.md has the rules on versions,
 * threads, memory and errors; each function's contract stands above it here. In general:
 *
 * - Sizes and strides are int64_t and count elements, not bytes. `ld...` is the distance from a row
 * to the next. _f32 is float, _f64 double.
 * - A function needs no GIL, keeps no pointer, and returns FASTNN_OK or another status.
 * FASTNN_BAD_ARGUMENT and FASTNN_WRONG_TYPE mean that nothing was written; after FASTNN_NO_MEMORY
 * outputs may hold anything.
 * - Outputs overlap nothing else, unless it is said. Overlaps that a function notices are
 * FASTNN_BAD_ARGUMENT, others give wrong numbers.
 *
 * This header is the description from which kernels/api.pyx, the table, fastnn.capi's signatures,
 * the docs and the tests are made. To add a function NAME_f32 and NAME_f64: give it a fused
 * NAME_real in a .pxd of fastnn.kernels, and here a slot at the END of the table, a short name
 * below it, and a new FASTNN_API_VERSION.
 */
#ifndef FASTNN_H
#define FASTNN_H

#include <stddef.h>
#include <stdint.h>

#include "fastnn_activations.h"

/* The ABI is what the table means; code compiled for another one does not run. The API counts
 * additions to its end. */
#define FASTNN_ABI_VERSION 1
#define FASTNN_API_VERSION 2

/* The API that the code including this needs; lower it to run with an older fastnn too, and ask
 * FASTNN_HAS for what came later. */
#ifndef FASTNN_API_NEEDED
#define FASTNN_API_NEEDED FASTNN_API_VERSION
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FASTNN_OK = 0,
    FASTNN_NO_MEMORY = 1,
    FASTNN_BAD_ARGUMENT = 2, /* a negative size, a missing pointer, an unknown code, a label that is
                                no column, an overlap */
    FASTNN_WRONG_TYPE = 3    /* a plan of the other real type, or of another kind */
};

/* Activations: FASTNN_RELU = 1, FASTNN_GELU (the exact form, with erf) = 2, FASTNN_GELU_TANH = 3
 * and so on, one for each row of fastnn_activations.h. */
#define FASTNN_CODE(NAME, name, code, ...) FASTNN_##NAME = code,
enum { FASTNN_ACTIVATIONS(FASTNN_CODE) FASTNN_NONE = 0 };
#undef FASTNN_CODE

/* Elementwise losses. */
enum { FASTNN_MSE = 0, FASTNN_L1 = 1, FASTNN_HUBER = 2, FASTNN_BCE = 3 };

/* Masks of attention. */
enum { FASTNN_NO_MASK = 0, FASTNN_BOOLEAN_MASK = 1, FASTNN_ADDITIVE_MASK = 2 };

/* A frozen model; see plan_run_f32. */
typedef struct fastnn_plan fastnn_plan;
/* What a frozen language model has read so far; see plan_step_f32. */
typedef struct fastnn_state fastnn_state;

typedef struct fastnn_api {
    uint32_t abi_version;
    uint32_t api_version;
    uint64_t size;       /* of the whole table, in bytes */
    const char *version; /* of fastnn, "1.2.3" */
    const char *isa;     /* the instruction set that was chosen: "baseline", "avx2", "avx512" */

    /* ---- API 1 ---- */

    /* What a status means, in English; never NULL. */
    const char *(*strerror)(int status);
    /* From now on kernels called by this thread use at most n threads; 0: as many as the process's
     * limit allows; below 0: nothing changes. Returns the limit that held before, to be set again.
     * 1 in each of your own threads. */
    int (*set_thread_limit)(int n);
    /* How many threads a large enough kernel called now, from this thread, would use. */
    int (*max_threads)(void);

    /* c := act(alpha a b + beta c + bias). c is m x n, a m x k, b k x n, with any row stride rs and
     * column stride cs, negative or zero too (not zero for c). bias is NULL or n values. preact is
     * NULL, or gets the argument of the activation, with the strides of c. beta == 0 never reads c.
     */
    int (*gemm_f32)(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t rsa,
                    int64_t csa, const float *b, int64_t rsb, int64_t csb, float beta, float *c,
                    int64_t rsc, int64_t csc, const float *bias, int activation, float *preact);
    int (*gemm_f64)(int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t rsa,
                    int64_t csa, const double *b, int64_t rsb, int64_t csb, double beta, double *c,
                    int64_t rsc, int64_t csc, const double *bias, int activation, double *preact);

    /* Backward of y = act(x w + b), x n x n_in, w n_in x n_out: dw += x^T dz, db += the sum of the
     * rows of dz, dx = dz w^T, with dz = dy act'. All but x and w is contiguous; db and dx may be
     * NULL. saved (n x n_out; NULL for FASTNN_NONE) is y where fastnn_activations.h says OUTPUT,
     * else the argument of the activation. */
    int (*linear_backward_f32)(int64_t n, int64_t n_in, int64_t n_out, const float *dy,
                               const float *x, int64_t rsx, int64_t csx, const float *w,
                               int64_t rsw, int64_t csw, const float *saved, int activation,
                               float *dw, float *db, float *dx);
    int (*linear_backward_f64)(int64_t n, int64_t n_in, int64_t n_out, const double *dy,
                               const double *x, int64_t rsx, int64_t csx, const double *w,
                               int64_t rsw, int64_t csw, const double *saved, int activation,
                               double *dw, double *db, double *dx);

    /* y = act(x), element by element; kind is an activation but FASTNN_NONE. y may be x. */
    int (*activation_f32)(int kind, int64_t rows, int64_t cols, const float *x, int64_t ldx,
                          float *y, int64_t ldy);
    int (*activation_f64)(int kind, int64_t rows, int64_t cols, const double *x, int64_t ldx,
                          double *y, int64_t ldy);
    /* dx = dy act'(x); saved is as in linear_backward_f32. dx may be dy or saved. */
    int (*activation_backward_f32)(int kind, int64_t rows, int64_t cols, const float *dy,
                                   int64_t lddy, const float *saved, int64_t ldsaved, float *dx,
                                   int64_t lddx);
    int (*activation_backward_f64)(int kind, int64_t rows, int64_t cols, const double *dy,
                                   int64_t lddy, const double *saved, int64_t ldsaved, double *dx,
                                   int64_t lddx);

    /* y = softmax of each row of x: positive, with sum 1. y may be x. */
    int (*softmax_f32)(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y,
                       int64_t ldy);
    int (*softmax_f64)(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y,
                       int64_t ldy);
    /* dx = y (dy - sum of dy y), row by row, from the output y of softmax. dx may be dy or y. */
    int (*softmax_backward_f32)(int64_t rows, int64_t cols, const float *dy, int64_t lddy,
                                const float *y, int64_t ldy, float *dx, int64_t lddx);
    int (*softmax_backward_f64)(int64_t rows, int64_t cols, const double *dy, int64_t lddy,
                                const double *y, int64_t ldy, double *dx, int64_t lddx);
    /* y = log softmax of each row of x. y may be x. */
    int (*log_softmax_f32)(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y,
                           int64_t ldy);
    int (*log_softmax_f64)(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y,
                           int64_t ldy);
    /* dx = dy - exp(y) (sum of dy), row by row, from the output y of log_softmax. dx may be dy or
     * y. */
    int (*log_softmax_backward_f32)(int64_t rows, int64_t cols, const float *dy, int64_t lddy,
                                    const float *y, int64_t ldy, float *dx, int64_t lddx);
    int (*log_softmax_backward_f64)(int64_t rows, int64_t cols, const double *dy, int64_t lddy,
                                    const double *y, int64_t ldy, double *dx, int64_t lddx);
    /* Softmax of the first lengths[i / rows_per_length] elements of row i; the rest of y is 0. 0 <=
     * lengths[...] <= cols; NULL: all count. y may be x. */
    int (*masked_softmax_f32)(int64_t rows, int64_t cols, const float *x, int64_t ldx,
                              const int64_t *lengths, int64_t rows_per_length, float *y,
                              int64_t ldy);
    int (*masked_softmax_f64)(int64_t rows, int64_t cols, const double *x, int64_t ldx,
                              const int64_t *lengths, int64_t rows_per_length, double *y,
                              int64_t ldy);
    /* Its backward. dx may be dy or y. */
    int (*masked_softmax_backward_f32)(int64_t rows, int64_t cols, const float *dy, int64_t lddy,
                                       const float *y, int64_t ldy, const int64_t *lengths,
                                       int64_t rows_per_length, float *dx, int64_t lddx);
    int (*masked_softmax_backward_f64)(int64_t rows, int64_t cols, const double *dy, int64_t lddy,
                                       const double *y, int64_t ldy, const int64_t *lengths,
                                       int64_t rows_per_length, double *dx, int64_t lddx);

    /* loss = the mean over the rows of -log softmax(logits)[target], and its gradient dlogits,
     * which may be logits. A target is a column, 0 <= target < cols. */
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
    /* Cross entropy by option: targets are labels or, where labels is NULL, the rows of probs. A
     * label equal to ignore leaves its row out. class_weight (cols), sample_weight (rows) and
     * losses (rows), each row's loss, may be NULL. smoothing is from 0 to 1. loss is the mean by
     * weight, or the sum unless mean. */
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
     * the weight weight[i / per_weight] and, for BCE, the weight of its positive target positive[i
     * % columns]; both may be NULL. delta is Huber's. losses, each element's, may be NULL; dpred
     * may be pred or target. */
    int (*loss_f32)(int kind, int64_t n, const float *pred, const float *target,
                    const float *weight, int64_t per_weight, const float *positive, int64_t columns,
                    float delta, int mean, float *dpred, float *losses, double *loss);
    int (*loss_f64)(int kind, int64_t n, const double *pred, const double *target,
                    const double *weight, int64_t per_weight, const double *positive,
                    int64_t columns, double delta, int mean, double *dpred, double *losses,
                    double *loss);

    /* norm = sqrt(sum of x^2), in double, without overflow on the way. */
    int (*frobenius_norm_f32)(int64_t n, const float *x, double *norm);
    int (*frobenius_norm_f64)(int64_t n, const double *x, double *norm);
    /* square = the sum of x^2, in double. */
    int (*squared_norm_f32)(int64_t n, const float *x, double *square);
    int (*squared_norm_f64)(int64_t n, const double *x, double *square);
    /* x := factor x. */
    int (*scale_f32)(int64_t n, double factor, float *x);
    int (*scale_f64)(int64_t n, double factor, double *x);
    /* y = x where x > 0, else a x; a is one slope if shared, else cols of them. y may be x. */
    int (*prelu_f32)(int shared, int64_t rows, int64_t cols, const float *x, int64_t ldx,
                     const float *a, float *y, int64_t ldy);
    int (*prelu_f64)(int shared, int64_t rows, int64_t cols, const double *x, int64_t ldx,
                     const double *a, double *y, int64_t ldy);
    /* Its backward; da += the gradient of a, unless it is NULL. x may be the output if every slope
     * is positive. dx may be dy or x. */
    int (*prelu_backward_f32)(int shared, int64_t rows, int64_t cols, const float *dy, int64_t lddy,
                              const float *x, int64_t ldx, const float *a, float *dx, int64_t lddx,
                              float *da);
    int (*prelu_backward_f64)(int shared, int64_t rows, int64_t cols, const double *dy,
                              int64_t lddy, const double *x, int64_t ldx, const double *a,
                              double *dx, int64_t lddx, double *da);
    /* y = residual + dropout(x), or dropout(x) where residual is NULL: x is 0 with probability p,
     * else x / (1 - p). What is dropped is a function of seed, step and the element's number i cols
     * + j alone; backward is dropout of dy. y may be x or residual. */
    int (*dropout_f32)(int64_t rows, int64_t cols, const float *x, int64_t ldx,
                       const float *residual, int64_t ldresidual, double p, uint64_t seed,
                       uint64_t step, float *y, int64_t ldy);
    int (*dropout_f64)(int64_t rows, int64_t cols, const double *x, int64_t ldx,
                       const double *residual, int64_t ldresidual, double p, uint64_t seed,
                       uint64_t step, double *y, int64_t ldy);
    /* h = residual + dropout(x), y = (h - mean h) / sqrt(var h + eps) * weight + bias, row by row;
     * rms != 0: h / sqrt(mean h^2 + eps) instead. residual, weight, bias (cols) and h may be NULL;
     * where residual is NULL and p = 0, h is x and not written. stats (rows x 3) is what backward
     * needs, or NULL. h and y may be x or residual, but not one another. */
    int (*layer_norm_f32)(int rms, int64_t rows, int64_t cols, const float *x, int64_t ldx,
                          const float *residual, int64_t ldresidual, double p, uint64_t seed,
                          uint64_t step, const float *weight, const float *bias, double eps,
                          float *h, int64_t ldh, float *y, int64_t ldy, float *stats);
    int (*layer_norm_f64)(int rms, int64_t rows, int64_t cols, const double *x, int64_t ldx,
                          const double *residual, int64_t ldresidual, double p, uint64_t seed,
                          uint64_t step, const double *weight, const double *bias, double eps,
                          double *h, int64_t ldh, double *y, int64_t ldy, double *stats);
    /* dh = the gradient of h through y, + dh_in unless it is NULL; dx = dh through dropout, not
     * written where p = 0; dweight += and dbias += (cols), unless NULL. dh may be dy or dh_in. */
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
    /* Softmax attention, out = softmax(scale q k^T + mask) v. sizes: batch, heads, kv_heads,
     * n_queries, n_keys, d, dv; heads is a multiple of kv_heads. Strides go along batch, head and
     * position; last axes are contiguous. causal: the last query sees all keys, the one before one
     * key less, and so on. lengths (how many keys may be seen, 0..n_keys) is NULL, or has strides
     * along batch and query. mask_kind is FASTNN_NO_MASK, FASTNN_BOOLEAN_MASK (bytes: may attend)
     * or FASTNN_ADDITIVE_MASK (reals, of which only -inf hides a key), its strides along batch,
     * head, query and key may be 0. lse (batch x heads x n_queries), the logarithms of the sums of
     * exponentials, is for backward, or NULL. scale is finite. Dropout of the weights is that of
     * dropout_f32. */
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
    /* Its backward; out and lse are what forward wrote, the other arguments as they were. dq, dk
     * and dv are overwritten and have the strides of q, k and v; dout has those of out. A row whose
     * lse is beyond 16 has no room in it for the sum beside the largest score: if there is one, the
     * scores are computed once more, and the gradients stay right. */
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
    /* y_i = scale table[ids_i], for count ids of the table's rows. */
    int (*embedding_f32)(int64_t count, int64_t rows, int64_t cols, const int64_t *ids,
                         const float *table, int64_t ldtable, double scale, float *y, int64_t ldy);
    int (*embedding_f64)(int64_t count, int64_t rows, int64_t cols, const int64_t *ids,
                         const double *table, int64_t ldtable, double scale, double *y,
                         int64_t ldy);
    /* dtable[ids_i] += scale dy_i, but for ids equal to skipped (-1: none). */
    int (*embedding_backward_f32)(int64_t count, int64_t rows, int64_t cols, const int64_t *ids,
                                  int64_t skipped, const float *dy, int64_t lddy, double scale,
                                  float *dtable, int64_t lddtable);
    int (*embedding_backward_f64)(int64_t count, int64_t rows, int64_t cols, const int64_t *ids,
                                  int64_t skipped, const double *dy, int64_t lddy, double scale,
                                  double *dtable, int64_t lddtable);

    /* One step of SGD for parameters p with gradients g: d = grad_scale g + weight_decay p; m =
     * momentum m + d; p -= lr m, or lr (d + momentum m) if nesterov. m may be NULL without
     * momentum. Arrays may be cut anywhere and stepped part by part, here and below. */
    int (*sgd_f32)(int64_t n, float *p, const float *g, float *m, double lr, double momentum,
                   int nesterov, double weight_decay, double grad_scale);
    int (*sgd_f64)(int64_t n, double *p, const double *g, double *m, double lr, double momentum,
                   int nesterov, double weight_decay, double grad_scale);
    /* Adam, or AdamW if decoupled; step counts from 1. m and v are zero before the first. */
    int (*adam_f32)(int64_t n, float *p, const float *g, float *m, float *v, int64_t step,
                    double lr, double beta1, double beta2, double eps, double weight_decay,
                    int decoupled, double grad_scale);
    int (*adam_f64)(int64_t n, double *p, const double *g, double *m, double *v, int64_t step,
                    double lr, double beta1, double beta2, double eps, double weight_decay,
                    int decoupled, double grad_scale);
    /* RMSprop; m is NULL without momentum, c is NULL if not centred. */
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

    /* y = the model's output for `rows` rows x, both C-ordered without gaps and apart from one
     * another. Any number of threads may run one plan. */
    int (*plan_run_f32)(const fastnn_plan *plan, const float *x, float *y, int64_t rows);
    int (*plan_run_f64)(const fastnn_plan *plan, const double *x, double *y, int64_t rows);
    /* bits = 32 or 64, the real type; the columns of x and of y. Each pointer may be NULL. */
    int (*plan_info)(const fastnn_plan *plan, int *bits, int64_t *n_in, int64_t *n_out);
    /* Hold a plan beyond the life of the Python object that it came from; each retain wants one
     * release. */
    int (*plan_retain)(const fastnn_plan *plan);
    int (*plan_release)(const fastnn_plan *plan);
    /* A float64 plan with one output, as scipy.integrate takes a function of n values; NaN if it
     * has not n inputs. */
    double (*plan_integrand)(int n, double *x, void *plan);
    /* The same as scipy.ndimage.generic_filter takes a function of a window; 0 on error,
     * otherwise 1. */
    int (*plan_filter)(double *window, intptr_t n, double *result, void *plan);

    /* ---- API 2 ---- */

    /* The table (positions x d, d even) for rotary: for each position p d/2 cosines of p
     * base^(-2i/d), then d/2 sines. */
    int (*rotary_table_f32)(int64_t positions, int64_t d, double base, float *table);
    int (*rotary_table_f64)(int64_t positions, int64_t d, double base, double *table);
    /* Rotary position embedding: pairs (x_i, x_(i+d/2)) turned by the angles of their position;
     * inverse turns back, which is backward. sizes is batch, heads, positions, d; strides go along
     * batch, head and position, last axes are contiguous. starts, with a stride that may be 0, has
     * the first position of each row of the batch; NULL: 0. The table has to reach that far. y may
     * be x with the same strides. */
    int (*rotary_f32)(const int64_t *sizes, const float *x, const int64_t *x_strides,
                      const float *table, int64_t positions, const int64_t *starts,
                      int64_t starts_stride, int inverse, float *y, const int64_t *y_strides);
    int (*rotary_f64)(const int64_t *sizes, const double *x, const int64_t *x_strides,
                      const double *table, int64_t positions, const int64_t *starts,
                      int64_t starts_stride, int inverse, double *y, const int64_t *y_strides);

    /* One step of a frozen language model, TransformerLM.freeze() in Python: ids (batch x n) join
     * the state, row b bringing its first lengths[b], 1..n (NULL: all n); logits (batch x
     * vocabulary) are for what comes after each row's last. Any number of threads may run one plan,
     * each with states of its own. An id that is none, or no room, is FASTNN_BAD_ARGUMENT. After an
     * error the state is as before. */
    int (*plan_step_f32)(const fastnn_plan *plan, fastnn_state *state, const int64_t *ids,
                         int64_t n, const int64_t *lengths, float *logits);
    int (*plan_step_f64)(const fastnn_plan *plan, fastnn_state *state, const int64_t *ids,
                         int64_t n, const int64_t *lengths, double *logits);
    /* y = a frozen encoder, TransformerEncoder.freeze() in Python, on x (batch x n x d), both
     * C-ordered; y may be x. lengths[b], 0..n, says how many positions of row b may be attended to,
     * the first so many; NULL: all. */
    int (*plan_encode_f32)(const fastnn_plan *plan, const float *x, int64_t batch, int64_t n,
                           const int64_t *lengths, float *y);
    int (*plan_encode_f64)(const fastnn_plan *plan, const double *x, int64_t batch, int64_t n,
                           const int64_t *lengths, double *y);
    /* An empty state for `batch` sequences of at most max_len positions, which keeps the plan
     * alive; to be released. NULL where the plan is no language model's, max_len is more than the
     * plan's, or there is no memory. */
    fastnn_state *(*plan_new_state)(const fastnn_plan *plan, int64_t batch, int64_t max_len);
    int (*state_release)(fastnn_state *state);
    /* Forget all but the first `length` positions of each sequence. */
    int (*state_truncate)(fastnn_state *state, int64_t length);
} fastnn_api;

/* The table. One for each file that includes this, or one for all files of a library: #define
 * FASTNN_UNIQUE_SYMBOL to a name of yours in all of them, and FASTNN_NO_IMPORT in all but the one
 * that calls import_fastnn(). */
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

/* Whether the fastnn that runs has a slot of the table, as in FASTNN_HAS(gemm_f32). */
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
/* Models are float32 unless they were made otherwise. */
#define fastnn_plan_run fastnn_plan_run_f32
#define fastnn_plan_step fastnn_plan_step_f32
#define fastnn_plan_encode fastnn_plan_encode_f32

#if defined(Py_PYTHON_H) && !defined(FASTNN_NO_IMPORT)

/* Fill the table. Returns 0, or -1 with ImportError set; needs the GIL. May be called again. Not
 * for static initialisers. */
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

/* The plan of a fastnn.Plan, which must outlive its use (or retain it); NULL with TypeError set if
 * it is none. Needs the GIL. */
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
