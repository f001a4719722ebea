"""Codes, scalars and sizes of leaves.h; calls.pxd has the primitives."""
from libc.stdint cimport int64_t

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
        FASTNN_BF16
        FASTNN_INT8
        FASTNN_INT8_G32

    enum:
        FASTNN_STRIP
        FASTNN_DOT_COLUMNS

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
        int64_t lanes
    struct fastnn_leaves_f64:
        pass

    # Sizes for the real type that the argument points to; it is not read.
    int64_t vector_lanes "fastnn_lanes"(const void *_)
    int64_t tile_rows "fastnn_mr"(const void *_)
    int64_t tile_columns "fastnn_nr"(const void *_)
    int64_t tall_rows "fastnn_tall"(const void *_)
    int64_t few_rows "fastnn_few"(const void *_)
    int64_t dot_rows "fastnn_dot_rows"()
    int64_t dot_strips "fastnn_dot_strips"()
    int64_t dot_bytes "fastnn_dot_bytes"()
    int64_t bf16_dot "fastnn_bf16_dot"()
