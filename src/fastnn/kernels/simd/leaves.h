/* leaves.h: the table of primitives, which the kernels above call.
 *
 * A primitive works on one tile, one row or one flat run; it knows nothing of threads, allocation
 * or Python. It is declared once, by its row in FASTNN_LEAVES: the row makes a slot in the tables
 * of both real types, and leaves.c fills it with the function of that name, compiled once per
 * instruction set and real type, and Cython calls it by the same name (tools/leaf_calls.py). To add
 * one: write it in its family's header, give it a row here, and include the header below.
 *
 * Sizes and strides are int64_t and count elements. Pointers need only the alignment of their
 * element.
 */
#ifndef FASTNN_LEAVES_H
#define FASTNN_LEAVES_H

#include <stdint.h>

#include "fastnn_activations.h"

#define FASTNN_CODE(NAME, name, code, ...) FASTNN_ACT_##NAME = code,
#define FASTNN_ONE(NAME, ...) +1
enum {
    FASTNN_ACTIVATIONS(FASTNN_CODE) FASTNN_ACT_NONE = 0,
    FASTNN_ACT_LAST = 0 FASTNN_ACTIVATIONS(FASTNN_ONE)
};
#undef FASTNN_CODE
#undef FASTNN_ONE

/* Attention: maximum number of GEMM tiles in a tile of queries, and kinds of mask. */
enum { FASTNN_ATTENTION_TILES = 16 };
enum { FASTNN_MASK_NONE = 0, FASTNN_MASK_BOOLEAN = 1, FASTNN_MASK_ADDITIVE = 2 };

/* Elementwise losses. */
enum { FASTNN_LOSS_MSE = 0, FASTNN_LOSS_L1 = 1, FASTNN_LOSS_HUBER = 2, FASTNN_LOSS_BCE = 3 };

/* Formats of a packed weight beyond float32 and float64, and the columns of a strip of them and of
 * the sums of a tile (low.h, dot.h). */
enum { FASTNN_BF16 = 2, FASTNN_INT8 = 3, FASTNN_INT8_G32 = 4 };
enum { FASTNN_STRIP = 16, FASTNN_DOT_COLUMNS = 48 };

/* Update rules, and the scalars of one step, which rules.pyx computes in double. A rule reads
 * those in its formula. */
enum {
    FASTNN_SGD,
    FASTNN_MOMENTUM,
    FASTNN_NESTEROV,
    FASTNN_ADAM,
    FASTNN_RMSPROP,
    FASTNN_ADAGRAD,
    FASTNN_AVERAGE
};

struct fastnn_step {
    int rule;
    double grad_scale, l2; /* d = grad_scale g + l2 p */
    double shrink, lr;     /* p -= shrink p + lr change */
    /* Running means: m = keep1 m + take1 d, v = keep2 v + take2 d^2. */
    double keep1, take1, keep2, take2;
    double unbias2, eps; /* Adam: change = m / (unbias2 sqrt(v) + eps) */
};

/* Sizes that depend on the instruction set, and the macro or constant that defines each. */
#define FASTNN_SIZES(SIZE)                                  \
    SIZE(lanes, LANES) /* reals in a vector */              \
    SIZE(mr, MR)       /* rows of a GEMM tile */            \
    SIZE(nr, NR)       /* and its columns */                \
    SIZE(tall, TALL)   /* rows of a tile one vector wide */ \
    SIZE(few, FEW)     /* rows that gemv_few takes */

/* LEAF(result, name, arguments); R is the real type. */
#define FASTNN_LEAVES(LEAF, R)                                                                     \
    /* pack.h, gemm.h, gemv.h */                                                                   \
    LEAF(void, pack_a, int64_t m, int64_t k, const R *a, int64_t rsa, int64_t csa, R *out)         \
    LEAF(void, pack_b, int64_t n, int64_t k, const R *b, int64_t rsb, int64_t csb, R *out)         \
    LEAF(void, gemm_tile, int64_t m, int64_t n, int64_t k, R alpha, int packed, const R *a,        \
         int64_t rsa, int64_t csa, const R *b, int64_t ldb, R beta, R *c, int64_t rsc,             \
         int64_t csc, const R *bias, int activation, R *preact)                                    \
    LEAF(void, gemv_rows, int64_t k, int64_t n, const R *x, const R *b, int64_t ldb, R *y)         \
    LEAF(void, gemv_panels, int64_t n, int64_t left, int64_t k, const R *x, const R *b, R *y)      \
    LEAF(void, gemv_few, int64_t m, int64_t n, int64_t k, const R *x, int64_t ldx, const R *b,     \
         int64_t csb, int ahead, R *y, int64_t ldy)                                                \
    LEAF(void, gemv_finish, int64_t n, R alpha, R *y, R beta, R *c, int64_t incc, const R *bias,   \
         int64_t incbias, int activation, R *preact)                                               \
    /* activation.h */                                                                             \
    LEAF(void, activation_block, int kind, int64_t m, int64_t n, const R *x, int64_t ldx, R *y,    \
         int64_t ldy, int past_caches)                                                             \
    LEAF(void, activation_backward_block, int kind, int64_t m, int64_t n, const R *dy,             \
         int64_t lddy, const R *saved, int64_t ldsaved, R *dx, int64_t lddx, R *sums,              \
         int past_caches)                                                                          \
    /* prelu.h */                                                                                  \
    LEAF(void, prelu_block, int shared, int64_t m, int64_t n, const R *x, int64_t ldx, const R *a, \
         R *y, int64_t ldy, int past_caches)                                                       \
    LEAF(double, prelu_backward_block, int shared, int64_t m, int64_t n, const R *dy,              \
         int64_t lddy, const R *x, int64_t ldx, const R *a, R *dx, int64_t lddx, int summed,       \
         R *sums, int past_caches)                                                                 \
    /* elementwise.h */                                                                            \
    LEAF(void, scale_run, int64_t n, R factor, R *x)                                               \
    LEAF(void, add_run, int64_t n, const R *x, R *y)                                               \
    /* reduce.h */                                                                                 \
    LEAF(void, sum_squares_block, int64_t m, int64_t n, const R *x, int64_t ld, double scale,      \
         double *hi, double *lo)                                                                   \
    LEAF(void, sum_abs_block, int64_t m, int64_t n, const R *x, int64_t ld, double *hi,            \
         double *lo)                                                                               \
    LEAF(R, max_abs_block, int64_t m, int64_t n, const R *x, int64_t ld)                           \
    /* embedding.h */                                                                              \
    LEAF(void, gather_rows, int64_t m, int64_t n, const int64_t *ids, const R *table,              \
         int64_t ldtable, R scale, R *out, int64_t ldout, int past_caches)                         \
    LEAF(void, scatter_add_rows, int64_t m, int64_t n, const int64_t *ids, int64_t skipped,        \
         const R *dy, int64_t lddy, R scale, R *table, int64_t ldtable)                            \
    LEAF(int64_t, first_outside, int64_t m, const int64_t *ids, int64_t rows)                      \
    /* layernorm.h */                                                                              \
    LEAF(void, norm_block, int rms, int64_t m, int64_t n, const R *x, int64_t ldx, double eps,     \
         const R *weight, const R *bias, R *stats, R *y, int64_t ldy, int past_caches)             \
    LEAF(void, norm_backward_block, int rms, int64_t m, int64_t n, const R *dy, int64_t lddy,      \
         const R *x, int64_t ldx, const R *stats, const R *weight, const R *dh, int64_t lddh,      \
         R *dx, int64_t lddx, R *dweight, R *dbias, int past_caches)                               \
    /* dropout.h */                                                                                \
    LEAF(void, philox_run, int64_t n, uint64_t seed, uint64_t step, uint64_t block, uint32_t *out) \
    LEAF(void, dropout_run, int64_t n, const R *x, const R *residual, double p, uint64_t seed,     \
         uint64_t step, uint64_t first, R *y)                                                      \
    /* softmax.h */                                                                                \
    LEAF(void, softmax_block, int64_t m, int64_t n, const R *x, int64_t ldx, R *y, int64_t ldy,    \
         int past_caches)                                                                          \
    LEAF(void, softmax_backward_block, int64_t m, int64_t n, const R *dy, int64_t lddy,            \
         const R *y, int64_t ldy, R *dx, int64_t lddx, int past_caches)                            \
    LEAF(void, log_softmax_block, int64_t m, int64_t n, const R *x, int64_t ldx, R *y,             \
         int64_t ldy, int past_caches)                                                             \
    LEAF(void, log_softmax_backward_block, int64_t m, int64_t n, const R *dy, int64_t lddy,        \
         const R *y, int64_t ldy, R *dx, int64_t lddx, int past_caches)                            \
    /* loss.h */                                                                                   \
    LEAF(void, cross_entropy_block, int64_t m, int64_t n, const R *logits, int64_t ldlogits,       \
         const int64_t *targets, const double *weights, double scale, R *dlogits,                  \
         int64_t lddlogits, double *losses, int past_caches)                                       \
    LEAF(double, cross_entropy_soft_row, int64_t n, const R *logits, const R *q, int64_t label,    \
         const R *weight, double keep, double smooth, double scale, R *dlogits)                    \
    LEAF(double, loss_run, int kind, int64_t n, const R *x, const R *t, const R *weight,           \
         const R *positive, R delta, R factor, R *dx, R *losses, int past_caches)                  \
    /* attention.h */                                                                              \
    LEAF(void, pack_panels, int64_t n, int64_t k, const R *b, int64_t rsb, int64_t csb, R *out)    \
    LEAF(int, all_finite, int64_t n, const R *x)                                                   \
    LEAF(void, attention_scores, int64_t rows, int64_t keys, int64_t d, R alpha, const R *q,       \
         int64_t ldq, const R *k, const int64_t *limit, R *s, int64_t lds)                         \
    LEAF(void, attention_mask, int kind, int64_t rows, const int64_t *limit, R *s, int64_t lds,    \
         const void *mask, int64_t row_stride, int64_t key_stride)                                 \
    LEAF(void, attention_softmax, int64_t rows, const int64_t *limit, R *s, int64_t lds, R *m,     \
         R *l)                                                                                     \
    LEAF(void, attention_values, int64_t rows, int64_t keys, int64_t dv, const R *p, int64_t ldp,  \
         const int64_t *limit, const R *v, int finite, R beta, R *o, int64_t ldo)                  \
    LEAF(void, attention_join, int64_t rows, int64_t dv, const R *m_new, const R *l_new,           \
         const R *o_new, int64_t ldnew, R *m, R *l, R *o, int64_t ldo)                             \
    LEAF(void, attention_finish, int64_t rows, int64_t dv, const R *m, const R *l, R *o,           \
         int64_t ldo, R *lse)                                                                      \
    LEAF(void, attention_probabilities, int64_t rows, const int64_t *limit, int64_t stop, R *s,    \
         int64_t lds, const R *shift, const R *factor)                                             \
    /* attention_backward.h */                                                                     \
    LEAF(void, attention_delta, int64_t rows, int64_t dv, const R *dout, int64_t lddout,           \
         const R *out, int64_t ldout, R *delta)                                                    \
    LEAF(void, attention_dscores, int64_t rows, int64_t stop, R scale, const R *p, const R *delta, \
         R *dp, int64_t lds)                                                                       \
    LEAF(void, attention_transposed, int64_t rows, int64_t keys, int64_t n, const R *p,            \
         int64_t ldp, const int64_t *limit, const R *x, int finite, R *y, int64_t ldy)             \
    /* attention_few.h, additive.h */                                                              \
    LEAF(void, attention_few_scores, int64_t rows, int64_t keys, int64_t d, R alpha, const R *q,   \
         const R *k, int64_t ldk, int ahead, R *s, int64_t lds)                                    \
    LEAF(void, attention_few_values, int64_t rows, int64_t keys, int64_t dv, const R *p,           \
         int64_t ldp, const int64_t *limit, int skip, const R *v, int64_t ldv, R *o, int64_t ldo)  \
    LEAF(void, additive_scores, int64_t keys, int64_t n, const R *q, const R *k, int64_t ldk,      \
         const R *w, R *s)                                                                         \
    LEAF(void, additive_scores_backward, int64_t keys, int64_t n, const R *ds, const R *q,         \
         const R *k, int64_t ldk, const R *w, R *dq, R *dk, int64_t lddk, R *dw)                   \
    /* update.h */                                                                                 \
    LEAF(void, update_run, int64_t n, R *p, const R *g, R *m, R *v, R *c,                          \
         const struct fastnn_step *step)                                                           \
    /* rotary.h */                                                                                 \
    LEAF(void, rotary_rows, int64_t rows, int64_t half, const R *x, int64_t ldx, const R *table,   \
         int inverse, R *y, int64_t ldy)

/* The same for float alone. */
#define FASTNN_SIZES_F32(SIZE)                                   \
    SIZE(dot_rows, DOT_MR)       /* rows of a tile of dot.h */   \
    SIZE(dot_strips, DOT_STRIPS) /* and its strips of columns */ \
    SIZE(dot_bytes, DOT_BYTES)   /* bytes of a unit of A */      \
    SIZE(bf16_dot, 0)            /* 1: there is a bf16_tile */
#define FASTNN_LEAVES_F32(LEAF)                                                                  \
    /* half.h */                                                                                 \
    LEAF(void, bf16_round, int64_t n, const float *x, uint16_t *y)                               \
    LEAF(void, bf16_widen, int64_t n, const uint16_t *x, float *y)                               \
    LEAF(void, int8_widen, int64_t n, const void *x, float scale, float *y)                      \
    LEAF(void, f16_round, int64_t n, const float *x, uint16_t *y)                                \
    LEAF(void, f16_widen, int64_t n, const uint16_t *x, float *y)                                \
    /* low.h, dot.h, quantize.h */                                                               \
    LEAF(void, low_rows, int format, int64_t m, int64_t strips, int64_t k, int64_t kc,           \
         const float *x, int64_t ldx, const void *b, int64_t next, const float *scales,          \
         int64_t ahead, float *y, int64_t ldy)                                                   \
    LEAF(void, low_widen, int format, int64_t from_column, int64_t n, int64_t kb, const void *b, \
         int64_t next, const float *scales, int64_t ahead, float *out)                           \
    LEAF(void, low_finish, int64_t m, int64_t n, const int32_t *sums, const float *whole,        \
         const float *scale, const int32_t *zero, const float *scales, const int32_t *columns,   \
         const float *bias, int activation, float *c, int64_t ldc, float *preact)                \
    LEAF(void, dot_tile, int64_t m, int64_t strips, int64_t units, const void *a, int64_t lda,   \
         const void *b, int64_t next, void *sums)                                                \
    LEAF(void, dot_state, int on)                                                                \
    LEAF(void, quantize_row, int64_t k, const float *x, void *out, float *scale, int32_t *zero)
/* Filled only by sets with the instruction. */
#define FASTNN_LEAVES_NATIVE(LEAF)                                                              \
    LEAF(void, bf16_tile, int64_t m, int64_t strips, int64_t units, const void *a, int64_t lda, \
         const void *b, int64_t next, void *sums)

#define FASTNN_SIZE_SLOT(name, value) int64_t name;
#define FASTNN_SLOT(result, name, ...) result (*name)(__VA_ARGS__);
struct fastnn_leaves_f32 {
    FASTNN_SIZES(FASTNN_SIZE_SLOT)
    FASTNN_LEAVES(FASTNN_SLOT, float)
    FASTNN_SIZES_F32(FASTNN_SIZE_SLOT)
    FASTNN_LEAVES_F32(FASTNN_SLOT)
    FASTNN_LEAVES_NATIVE(FASTNN_SLOT)
};
struct fastnn_leaves_f64 {
    FASTNN_SIZES(FASTNN_SIZE_SLOT)
    FASTNN_LEAVES(FASTNN_SLOT, double)
};

/* How Cython calls a primitive: FASTNN_CALL(name, ...) calls the one in the table of the real type
 * that one of the first six arguments points to. dispatch.pxd defines the tables, fastnn_f32 and
 * fastnn_f64, in every file that cimports it. A call without a pointer to either type does not
 * compile. */
#define FASTNN_POINTS(R, p) _Generic((p), R *: 1, const R *: 1, default: 0)
#define FASTNN_ANY_(R, a, b, c, d, e, f, ...)                                                    \
    (FASTNN_POINTS(R, a) || FASTNN_POINTS(R, b) || FASTNN_POINTS(R, c) || FASTNN_POINTS(R, d) || \
     FASTNN_POINTS(R, e) || FASTNN_POINTS(R, f))
#define FASTNN_ANY(R, ...) FASTNN_ANY_(R, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define FASTNN_PICK(name, ...)                           \
    __builtin_choose_expr(                               \
        FASTNN_ANY(float, __VA_ARGS__), fastnn_f32.name, \
        __builtin_choose_expr(FASTNN_ANY(double, __VA_ARGS__), fastnn_f64.name, (void)0))
#define FASTNN_CALL(name, ...) FASTNN_PICK(name, __VA_ARGS__)(__VA_ARGS__)

#define fastnn_lanes(p) FASTNN_PICK(lanes, p)
#define fastnn_mr(p) FASTNN_PICK(mr, p)
#define fastnn_nr(p) FASTNN_PICK(nr, p)
#define fastnn_tall(p) FASTNN_PICK(tall, p)
#define fastnn_few(p) FASTNN_PICK(few, p)
#define fastnn_dot_rows() fastnn_f32.dot_rows
#define fastnn_dot_strips() fastnn_f32.dot_strips
#define fastnn_dot_bytes() fastnn_f32.dot_bytes
#define fastnn_bf16_dot() fastnn_f32.bf16_dot

/* For leaves.c: the functions that fill the table. */
#ifdef FASTNN_FILL
#include "activation.h"
#include "additive.h"
#include "attention.h"
#include "attention_backward.h"
#include "attention_few.h"
#include "dropout.h"
#include "elementwise.h"
#include "embedding.h"
#include "gemm.h"
#include "gemv.h"
#include "half.h"
#include "layernorm.h"
#include "loss.h"
#include "low.h"
#include "pack.h"
#include "prelu.h"
#include "quantize.h"
#include "reduce.h"
#include "rotary.h"
#include "softmax.h"
#include "update.h"
#endif

#endif
