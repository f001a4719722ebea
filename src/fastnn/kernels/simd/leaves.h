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
    FASTNN_ACT_SILU = 6,
    FASTNN_ACT_SOFTPLUS = 7,
    FASTNN_ACT_LAST = FASTNN_ACT_SOFTPLUS
};

/* Attention: GEMM tiles of queries that are worked on together at most, and kinds of mask. */
enum { FASTNN_ATTENTION_TILES = 16 };
enum { FASTNN_MASK_NONE = 0, FASTNN_MASK_BOOLEAN = 1, FASTNN_MASK_ADDITIVE = 2 };

/* Elementwise losses. */
enum { FASTNN_LOSS_MSE = 0, FASTNN_LOSS_L1 = 1, FASTNN_LOSS_HUBER = 2, FASTNN_LOSS_BCE = 3 };

/* Rules of an update, and the scalars of one step by them, computed once per step in double (see update.pyx). A rule reads those of its formula. */
enum { FASTNN_SGD, FASTNN_MOMENTUM, FASTNN_NESTEROV, FASTNN_ADAM, FASTNN_RMSPROP, FASTNN_ADAGRAD, FASTNN_AVERAGE };

struct fastnn_step {
    int rule;
    double grad_scale, l2;             /* d = grad_scale g + l2 p */
    double shrink, lr;                 /* p -= shrink p + lr change */
    double keep1, take1, keep2, take2; /* running means: m = keep1 m + take1 d, v = keep2 v + take2 d^2 */
    double unbias2, eps;               /* Adam: change = m / (unbias2 sqrt(v) + eps) */
};

#define FASTNN_LEAVES(R, S)                                                                                                                          \
    struct fastnn_leaves_##S {                                                                                                                       \
        const char *isa;                                                                                                                             \
        int64_t lanes, mr, nr, tall; /* reals in a vector, rows and columns of a GEMM tile, rows of one a vector wide */                                                              \
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
        void (*gemv_columns)(int64_t k, int64_t n, int one_stream, const R *x, const R *b, int64_t ldb, R *y);                                                        \
        void (*gemv_finish)(int64_t n, R alpha, R *y, R beta, R *c, int64_t incc, const R *bias, int64_t incbias, int activation, R *preact);          \
        /* activation.h */                                                                                                                           \
        void (*activation)(int kind, int64_t m, int64_t n, const R *x, int64_t ldx, R *y, int64_t ldy, int past_caches);                             \
        void (*activation_backward)(int kind, int64_t m, int64_t n, const R *dy, int64_t lddy, const R *saved, int64_t ldsaved, R *dx,               \
                                    int64_t lddx, R *sums, int past_caches);                                                                         \
        /* prelu.h */                                                                                                                                \
        void (*prelu)(int shared, int64_t m, int64_t n, const R *x, int64_t ldx, const R *a, R *y, int64_t ldy, int past_caches);                    \
        double (*prelu_backward)(int shared, int64_t m, int64_t n, const R *dy, int64_t lddy, const R *x, int64_t ldx, const R *a, R *dx,            \
                                 int64_t lddx, int summed, R *sums, int past_caches);                                                                \
        /* elementwise.h */                                                                                                                          \
        void (*scale)(int64_t n, R factor, R *x);                                                                                                    \
        void (*add)(int64_t n, const R *x, R *y);                                                                                                    \
        /* reduce.h */                                                                                                                               \
        void (*sum_squares)(int64_t m, int64_t n, const R *x, int64_t ld, double scale, double *hi, double *lo);                                      \
        R (*max_abs)(int64_t m, int64_t n, const R *x, int64_t ld);                                                                                  \
        /* embedding.h */                                                                                                                            \
        void (*gather)(int64_t m, int64_t n, const int64_t *ids, const R *table, int64_t ldtable, R scale, R *out, int64_t ldout,                    \
                       int past_caches);                                                                                                             \
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
        /* softmax.h */                                                                                                                              \
        void (*softmax)(int64_t m, int64_t n, const R *x, int64_t ldx, R *y, int64_t ldy, int past_caches);                                          \
        void (*softmax_backward)(int64_t m, int64_t n, const R *dy, int64_t lddy, const R *y, int64_t ldy, R *dx, int64_t lddx, int past_caches);    \
        void (*log_softmax)(int64_t m, int64_t n, const R *x, int64_t ldx, R *y, int64_t ldy, int past_caches);                                      \
        void (*log_softmax_backward)(int64_t m, int64_t n, const R *dy, int64_t lddy, const R *y, int64_t ldy, R *dx, int64_t lddx, int past_caches); \
        /* loss.h */                                                                                                                                 \
        void (*cross_entropy)(int64_t m, int64_t n, const R *logits, int64_t ldlogits, const int64_t *targets, const double *weights, double scale,  \
                              R *dlogits, int64_t lddlogits, double *losses, int past_caches);                                                       \
        double (*cross_entropy_soft)(int64_t n, const R *logits, const R *q, int64_t label, const R *weight, double keep, double smooth, double scale,\
                                     R *dlogits);                                                                                                    \
        double (*loss)(int kind, int64_t n, const R *x, const R *t, const R *weight, const R *positive, R delta, R factor, R *dx, R *losses, int past_caches); \
        /* attention.h */                                                                                                                            \
        void (*pack_panels)(int64_t n, int64_t k, const R *b, int64_t rsb, int64_t csb, R *out);                                                      \
        int (*all_finite)(int64_t n, const R *x);                                                                                                    \
        void (*attention_scores)(int64_t rows, int64_t keys, int64_t d, R alpha, const R *q, int64_t ldq, const R *k, const int64_t *limit, R *s,     \
                                 int64_t lds);                                                                                                       \
        void (*attention_mask)(int kind, int64_t rows, const int64_t *limit, R *s, int64_t lds, const void *mask, int64_t row_stride,                \
                               int64_t key_stride);                                                                                                  \
        void (*attention_softmax)(int64_t rows, const int64_t *limit, R *s, int64_t lds, R *m, R *l, int64_t dv, R *o, int64_t ldo);                  \
        void (*attention_values)(int64_t rows, int64_t keys, int64_t dv, const R *p, int64_t ldp, const int64_t *limit, const R *v, int finite,       \
                                 R beta, R *o, int64_t ldo);                                                                                         \
        void (*attention_finish)(int64_t rows, int64_t dv, const R *m, const R *l, R *o, int64_t ldo, R *lse);                                        \
        void (*attention_probabilities)(int64_t rows, const int64_t *limit, int64_t stop, R *s, int64_t lds, const R *shift, const R *factor);      \
        /* attention_backward.h */                                                                                                                   \
        void (*attention_delta)(int64_t rows, int64_t dv, const R *dout, int64_t lddout, const R *out, int64_t ldout, R *delta);                      \
        void (*attention_dscores)(int64_t rows, int64_t stop, R scale, const R *p, const R *delta, R *dp, int64_t lds);                               \
        void (*attention_transposed)(int64_t rows, int64_t keys, int64_t n, const R *p, int64_t ldp, const int64_t *limit, const R *x, int finite,    \
                                     R *y, int64_t ldy);                                                                                             \
        /* attention_few.h, additive.h */                                                                                                                    \
        void (*attention_few_scores)(int64_t rows, int64_t keys, int64_t d, const R *q, const R *k, int64_t ldk, R *s, int64_t lds);                         \
        void (*attention_few_values)(int64_t rows, int64_t keys, int64_t dv, const R *p, int64_t ldp, const int64_t *limit, int skip, const R *v,            \
                                    int64_t ldv, R *o, int64_t ldo);                                                                                         \
        void (*additive_scores)(int64_t keys, int64_t n, const R *q, const R *k, int64_t ldk, const R *w, R *s);                                             \
        void (*additive_scores_backward)(int64_t keys, int64_t n, const R *ds, const R *q, const R *k, int64_t ldk, const R *w, R *dq, R *dk,                \
                                        int64_t lddk, R *dw);                                                                                                \
        /* update.h */                                                                                                                               \
        void (*update)(int64_t n, R *p, const R *g, R *m, R *v, R *c, const struct fastnn_step *step);                                               \
        /* rotary.h */                                                                                                                               \
        void (*rotary)(int64_t rows, int64_t half, const R *x, int64_t ldx, const R *table, int inverse, R *y, int64_t ldy);                         \
    };

FASTNN_LEAVES(float, f32)
FASTNN_LEAVES(double, f64)

#endif
