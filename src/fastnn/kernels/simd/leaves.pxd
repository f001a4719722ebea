"""leaves.h as Cython sees it: codes, scalars, and each leaf once.

A leaf takes pointers to reals as `void*`; the macro of leaves.h by its name picks the function
for the real type that they point to, at compile time.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "leaves.h" nogil:
    enum:
        FASTNN_ACT_NONE
        FASTNN_ACT_RELU
        FASTNN_ACT_GELU
        FASTNN_ACT_GELU_TANH
        FASTNN_ACT_LAST

    enum:
        FASTNN_SGD
        FASTNN_MOMENTUM
        FASTNN_NESTEROV
        FASTNN_ADAM
        FASTNN_RMSPROP
        FASTNN_ADAGRAD
        FASTNN_AVERAGE

    enum:
        FASTNN_ATTENTION_TILES

    enum:
        FASTNN_MASK_NONE
        FASTNN_MASK_BOOLEAN
        FASTNN_MASK_ADDITIVE

    enum:
        FASTNN_LOSS_MSE
        FASTNN_LOSS_L1
        FASTNN_LOSS_HUBER
        FASTNN_LOSS_BCE

    struct fastnn_step:
        int rule
        double grad_scale, l2, shrink, lr, keep1, take1, keep2, take2, unbias2, eps

    # The tables, which dispatch fills.
    struct fastnn_leaves_f32:
        pass
    struct fastnn_leaves_f64:
        pass

    # Sizes for the real type that the argument points to; it is not read.
    int64_t vector_lanes "fastnn_lanes"(const void *_)
    int64_t tile_rows "fastnn_mr"(const void *_)
    int64_t tile_columns "fastnn_nr"(const void *_)
    int64_t tall_rows "fastnn_tall"(const void *_)
    int64_t few_rows "fastnn_few"(const void *_)

    # pack.h, gemm.h, gemv.h
    void pack_a "fastnn_pack_a"(int64_t m, int64_t k, const void *a, int64_t rsa, int64_t csa,
        void *out)
    void pack_b "fastnn_pack_b"(int64_t n, int64_t k, const void *b, int64_t rsb, int64_t csb,
        void *out)
    void gemm_tile "fastnn_gemm_tile"(int64_t m, int64_t n, int64_t k, double alpha, int packed,
        const void *a, int64_t rsa, int64_t csa, const void *b, int64_t ldb, double beta, void *c,
        int64_t rsc, int64_t csc, const void *bias, int activation, void *preact)
    void gemv_rows "fastnn_gemv_rows"(int64_t k, int64_t n, const void *x, const void *b,
        int64_t ldb, void *y)
    void gemv_panels "fastnn_gemv_panels"(int64_t n, int64_t left, int64_t k, const void *x,
        const void *b, void *y)
    void gemv_few "fastnn_gemv_few"(int64_t m, int64_t n, int64_t k, const void *x, int64_t ldx,
        const void *b, int64_t csb, bint ahead, void *y, int64_t ldy)
    void gemv_finish "fastnn_gemv_finish"(int64_t n, double alpha, void *y, double beta, void *c,
        int64_t incc, const void *bias, int64_t incbias, int activation, void *preact)

    # activation.h
    void activation_block "fastnn_activation"(int kind, int64_t m, int64_t n, const void *x,
        int64_t ldx, void *y, int64_t ldy, bint past_caches)
    void activation_backward_block "fastnn_activation_backward"(int kind, int64_t m, int64_t n,
        const void *dy, int64_t lddy, const void *saved, int64_t ldsaved, void *dx, int64_t lddx,
        void *sums, bint past_caches)

    # prelu.h
    void prelu_block "fastnn_prelu"(int shared, int64_t m, int64_t n, const void *x, int64_t ldx,
        const void *a, void *y, int64_t ldy, bint past_caches)
    double prelu_backward_block "fastnn_prelu_backward"(int shared, int64_t m, int64_t n,
        const void *dy, int64_t lddy, const void *x, int64_t ldx, const void *a, void *dx,
        int64_t lddx, bint summed, void *sums, bint past_caches)

    # elementwise.h
    void scale_run "fastnn_scale"(int64_t n, double factor, void *x)
    void add_run "fastnn_add"(int64_t n, const void *x, void *y)

    # reduce.h
    void sum_squares_block "fastnn_sum_squares"(int64_t m, int64_t n, const void *x, int64_t ld,
        double scale, double *hi, double *lo)
    double max_abs_block "fastnn_max_abs"(int64_t m, int64_t n, const void *x, int64_t ld)

    # embedding.h
    void gather_rows "fastnn_gather"(int64_t m, int64_t n, const int64_t *ids, const void *table,
        int64_t ldtable, double scale, void *out, int64_t ldout, bint past_caches)
    void scatter_add_rows "fastnn_scatter_add"(int64_t m, int64_t n, const int64_t *ids,
        int64_t skipped, const void *dy, int64_t lddy, double scale, void *table, int64_t ldtable)
    int64_t first_outside "fastnn_first_outside"(int64_t m, const int64_t *ids, int64_t rows)

    # layernorm.h
    void norm_block "fastnn_norm"(int rms, int64_t m, int64_t n, const void *x, int64_t ldx,
        double eps, const void *weight, const void *bias, void *stats, void *y, int64_t ldy,
        bint past_caches)
    void norm_backward_block "fastnn_norm_backward"(int rms, int64_t m, int64_t n, const void *dy,
        int64_t lddy, const void *x, int64_t ldx, const void *stats, const void *weight,
        const void *dh, int64_t lddh, void *dx, int64_t lddx, void *dweight, void *dbias,
        bint past_caches)

    # dropout.h
    void philox_words "fastnn_philox"(int64_t n, uint64_t seed, uint64_t step, uint64_t block,
        uint32_t *out)
    void dropout_run "fastnn_dropout"(int64_t n, const void *x, const void *residual, double p,
        uint64_t seed, uint64_t step, uint64_t first, void *y)

    # softmax.h
    void softmax_block "fastnn_softmax"(int64_t m, int64_t n, const void *x, int64_t ldx, void *y,
        int64_t ldy, bint past_caches)
    void softmax_backward_block "fastnn_softmax_backward"(int64_t m, int64_t n, const void *dy,
        int64_t lddy, const void *y, int64_t ldy, void *dx, int64_t lddx, bint past_caches)
    void log_softmax_block "fastnn_log_softmax"(int64_t m, int64_t n, const void *x, int64_t ldx,
        void *y, int64_t ldy, bint past_caches)
    void log_softmax_backward_block "fastnn_log_softmax_backward"(int64_t m, int64_t n,
        const void *dy, int64_t lddy, const void *y, int64_t ldy, void *dx, int64_t lddx,
        bint past_caches)

    # loss.h
    void cross_entropy_block "fastnn_cross_entropy"(int64_t m, int64_t n, const void *logits,
        int64_t ldlogits, const int64_t *targets, const double *weights, double scale,
        void *dlogits, int64_t lddlogits, double *losses, bint past_caches)
    double cross_entropy_soft_row "fastnn_cross_entropy_soft"(int64_t n, const void *logits,
        const void *q, int64_t label, const void *weight, double keep, double smooth, double scale,
        void *dlogits)
    double loss_run "fastnn_loss"(int kind, int64_t n, const void *x, const void *t,
        const void *weight, const void *positive, double delta, double factor, void *dx,
        void *losses, bint past_caches)

    # attention.h
    void pack_panels "fastnn_pack_panels"(int64_t n, int64_t k, const void *b, int64_t rsb,
        int64_t csb, void *out)
    bint all_finite "fastnn_all_finite"(int64_t n, const void *x)
    void attention_scores "fastnn_attention_scores"(int64_t rows, int64_t keys, int64_t d,
        double alpha, const void *q, int64_t ldq, const void *k, const int64_t *limit, void *s,
        int64_t lds)
    void attention_mask "fastnn_attention_mask"(int kind, int64_t rows, const int64_t *limit,
        void *s, int64_t lds, const void *mask, int64_t row_stride, int64_t key_stride)
    void attention_softmax "fastnn_attention_softmax"(int64_t rows, const int64_t *limit, void *s,
        int64_t lds, void *m, void *l)
    void attention_values "fastnn_attention_values"(int64_t rows, int64_t keys, int64_t dv,
        const void *p, int64_t ldp, const int64_t *limit, const void *v, bint finite, double beta,
        void *o, int64_t ldo)
    void attention_join "fastnn_attention_join"(int64_t rows, int64_t dv, const void *m_new,
        const void *l_new, const void *o_new, int64_t ldnew, void *m, void *l, void *o,
        int64_t ldo)
    void attention_finish "fastnn_attention_finish"(int64_t rows, int64_t dv, const void *m,
        const void *l, void *o, int64_t ldo, void *lse)
    void attention_probabilities "fastnn_attention_probabilities"(int64_t rows,
        const int64_t *limit, int64_t stop, void *s, int64_t lds, const void *shift,
        const void *factor)

    # attention_backward.h
    void attention_delta "fastnn_attention_delta"(int64_t rows, int64_t dv, const void *dout,
        int64_t lddout, const void *out, int64_t ldout, void *delta)
    void attention_dscores "fastnn_attention_dscores"(int64_t rows, int64_t stop, double scale,
        const void *p, const void *delta, void *dp, int64_t lds)
    void attention_transposed "fastnn_attention_transposed"(int64_t rows, int64_t keys, int64_t n,
        const void *p, int64_t ldp, const int64_t *limit, const void *x, bint finite, void *y,
        int64_t ldy)

    # attention_few.h, additive.h
    void attention_few_scores "fastnn_attention_few_scores"(int64_t rows, int64_t keys, int64_t d,
        double alpha, const void *q, const void *k, int64_t ldk, void *s, int64_t lds)
    void attention_few_values "fastnn_attention_few_values"(int64_t rows, int64_t keys, int64_t dv,
        const void *p, int64_t ldp, const int64_t *limit, bint skip, const void *v, int64_t ldv,
        void *o, int64_t ldo)
    void additive_scores "fastnn_additive_scores"(int64_t keys, int64_t n, const void *q,
        const void *k, int64_t ldk, const void *w, void *s)
    void additive_scores_backward "fastnn_additive_scores_backward"(int64_t keys, int64_t n,
        const void *ds, const void *q, const void *k, int64_t ldk, const void *w, void *dq,
        void *dk, int64_t lddk, void *dw)

    # update.h
    void update_run "fastnn_update"(int64_t n, void *p, const void *g, void *m, void *v, void *c,
        const fastnn_step *step)

    # rotary.h
    void rotary_rows "fastnn_rotary"(int64_t rows, int64_t half, const void *x, int64_t ldx,
        const void *table, bint inverse, void *y, int64_t ldy)
