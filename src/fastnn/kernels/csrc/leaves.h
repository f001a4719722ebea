/* The table of leaf functions: what floor 0 offers to the kernels above it.
 *
 * Every C file here is compiled once for each instruction set and real type; each such object exports one of these tables and nothing else
 * (see leaves.c). A leaf works on one tile, one row or one flat run; it does not know of threads, allocation or Python.
 * Sizes and strides are int64_t and count elements. Pointers need only the alignment of their element.
 */
#ifndef FASTNN_LEAVES_H
#define FASTNN_LEAVES_H

#include <stdint.h>

/* Activations. GELU is the exact form with erf, GELU_TANH its approximation. */
enum {
    FASTNN_ACT_NONE = 0,
    FASTNN_ACT_RELU = 1,
    FASTNN_ACT_GELU = 2,
    FASTNN_ACT_GELU_TANH = 3,
    FASTNN_ACT_TANH = 4,
    FASTNN_ACT_SIGMOID = 5,
    FASTNN_ACT_SILU = 6
};

/* Scalars of one Adam or AdamW step, computed once per step in double (see update.pyx). */
#define FASTNN_ADAM_STEP(R, S)                                                                                                                       \
    struct fastnn_adam_##S {                                                                                                                         \
        R grad_scale, l2, keep, beta1, beta2, one_minus_beta1, one_minus_beta2, step_size, inv_sqrt_correction2, eps;                                 \
    };

#define FASTNN_LEAVES(R, S)                                                                                                                          \
    struct fastnn_leaves_##S {                                                                                                                       \
        const char *isa;                                                                                                                             \
        int64_t lanes, mr, nr; /* reals in a vector, rows and columns of a GEMM tile */                                                              \
        int64_t dot_tile, dot_rows, dot_columns; /* dot products at once, and rows and columns among them at most */                                 \
        /* pack.h, gemm.h, gemv.h, dots.h */                                                                                                         \
        void (*pack_a)(int64_t m, int64_t k, const R *a, int64_t rsa, int64_t csa, R *out);                                                           \
        void (*pack_b)(int64_t n, int64_t k, const R *b, int64_t rsb, int64_t csb, R *out);                                                           \
        void (*gemm_tile)(int64_t m, int64_t n, int64_t k, R alpha, int packed, const R *a, int64_t rsa, int64_t csa, const R *b, int64_t ldb, R beta, \
                          R *c, int64_t rsc, int64_t csc, const R *bias, int activation, R *preact);                                                 \
        void (*gemm_dots)(int64_t m, int64_t n, int64_t k, R alpha, const R *a, int64_t rsa, const R *b, int64_t csb, R beta, R *c, int64_t rsc,       \
                          int64_t csc, const R *bias, int activation, R *preact);                                                                    \
        void (*pack_columns)(int64_t k, int64_t n, const R *b, int64_t rsb, R *out);                                                                  \
        void (*gemv_rows)(int64_t k, int64_t n, const R *x, const R *b, int64_t ldb, R *y);                                                           \
        void (*gemv_columns)(int64_t k, int64_t n, const R *x, const R *b, int64_t ldb, R *y);                                                        \
        void (*gemv_finish)(int64_t n, R alpha, R *y, R beta, R *c, int64_t incc, const R *bias, int64_t incbias, int activation, R *preact);          \
        /* activation.h */                                                                                                                           \
        void (*activation)(int kind, int64_t m, int64_t n, const R *x, int64_t ldx, R *y, int64_t ldy);                                              \
        void (*activation_backward)(int kind, int64_t m, int64_t n, const R *dy, int64_t lddy, const R *saved, int64_t ldsaved, R *dx,               \
                                    int64_t lddx, R *sums);                                                                                          \
        /* elementwise.h */                                                                                                                          \
        void (*scale)(int64_t n, R factor, R *x);                                                                                                    \
        void (*add)(int64_t n, const R *x, R *y);                                                                                                    \
        double (*mse)(int64_t n, const R *pred, const R *target, double scale, R *dpred);                                                            \
        /* reduce.h */                                                                                                                               \
        void (*sum_squares)(int64_t n, const R *x, double scale, double *hi, double *lo);                                                            \
        R (*max_abs)(int64_t n, const R *x);                                                                                                         \
        /* softmax.h */                                                                                                                              \
        void (*softmax)(int64_t n, const R *x, R *y);                                                                                                \
        void (*softmax_backward)(int64_t n, const R *dy, const R *y, R *dx);                                                                          \
        double (*cross_entropy)(int64_t n, const R *logits, int64_t target, double scale, R *dlogits);                                               \
        /* embedding.h */                                                                                                                            \
        void (*gather)(int64_t m, int64_t n, const int64_t *ids, const R *table, int64_t ldtable, R scale, R *out, int64_t ldout);                   \
        void (*scatter_add)(int64_t m, int64_t n, const int64_t *ids, int64_t skipped, const R *dy, int64_t lddy, R scale, R *table,                 \
                            int64_t ldtable);                                                                                                        \
        int64_t (*first_outside)(int64_t m, const int64_t *ids, int64_t rows);                                                                       \
        /* layernorm.h */                                                                                                                            \
        void (*norm)(int rms, int64_t m, int64_t n, const R *x, int64_t ldx, double eps, const R *weight, const R *bias, R *stats, R *y,             \
                     int64_t ldy, int past_caches);                                                                                                  \
        void (*norm_backward)(int rms, int64_t m, int64_t n, const R *dy, int64_t lddy, const R *x, int64_t ldx, const R *stats,                     \
                              const R *weight, const R *dh, int64_t lddh, R *dx, int64_t lddx, R *dweight, R *dbias, int past_caches);               \
        /* dropout.h */                                                                                                                              \
        void (*philox)(int64_t n, uint64_t seed, uint64_t step, uint64_t block, uint32_t *out);                                                      \
        void (*dropout)(int64_t n, const R *x, const R *residual, double p, uint64_t seed, uint64_t step, uint64_t first, R *y);                     \
        /* update.h */                                                                                                                               \
        void (*sgd)(int64_t n, R *p, const R *g, R *m, R lr, R momentum, int nesterov, R weight_decay, R grad_scale);                                  \
        void (*adam)(int64_t n, R *p, const R *g, R *m, R *v, const struct fastnn_adam_##S *step);                                                    \
    };

FASTNN_ADAM_STEP(float, f32)
FASTNN_ADAM_STEP(double, f64)
FASTNN_LEAVES(float, f32)
FASTNN_LEAVES(double, f64)

#endif
