"""leaves.h as Cython sees it: the table of leaves of each real type, and the codes and scalars that they take."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "leaves.h" nogil:
    enum:
        FASTNN_ACT_NONE
        FASTNN_ACT_RELU
        FASTNN_ACT_GELU
        FASTNN_ACT_GELU_TANH
        FASTNN_ACT_TANH
        FASTNN_ACT_SIGMOID
        FASTNN_ACT_SILU
        FASTNN_ACT_SOFTPLUS
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

    struct fastnn_leaves_f32:
        int64_t lanes, mr, nr, tall, dot_tile, dot_rows, dot_columns
        void (*pack_a)(int64_t, int64_t, const float*, int64_t, int64_t, float*) noexcept nogil
        void (*pack_b)(int64_t, int64_t, const float*, int64_t, int64_t, float*) noexcept nogil
        void (*gemm_tile)(int64_t, int64_t, int64_t, float, int, const float*, int64_t, int64_t, const float*, int64_t, float,
                          float*, int64_t, int64_t, const float*, int, float*) noexcept nogil
        void (*gemm_dots)(int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, int64_t, float, float*, int64_t, int64_t,
                          const float*, int, float*) noexcept nogil
        void (*pack_columns)(int64_t, int64_t, const float*, int64_t, float*) noexcept nogil
        void (*gemv_rows)(int64_t, int64_t, const float*, const float*, int64_t, float*) noexcept nogil
        void (*gemv_columns)(int64_t, int64_t, int, const float*, const float*, int64_t, float*) noexcept nogil
        void (*gemv_finish)(int64_t, float, float*, float, float*, int64_t, const float*, int64_t, int, float*) noexcept nogil
        void (*activation)(int, int64_t, int64_t, const float*, int64_t, float*, int64_t, int) noexcept nogil
        void (*activation_backward)(int, int64_t, int64_t, const float*, int64_t, const float*, int64_t, float*, int64_t, float*, int) noexcept nogil
        void (*prelu)(int, int64_t, int64_t, const float*, int64_t, const float*, float*, int64_t, int) noexcept nogil
        double (*prelu_backward)(int, int64_t, int64_t, const float*, int64_t, const float*, int64_t, const float*, float*, int64_t, int,
                                 float*, int) noexcept nogil
        void (*scale)(int64_t, float, float*) noexcept nogil
        void (*add)(int64_t, const float*, float*) noexcept nogil
        void (*sum_squares)(int64_t, int64_t, const float*, int64_t, double, double*, double*) noexcept nogil
        float (*max_abs)(int64_t, int64_t, const float*, int64_t) noexcept nogil
        void (*pack_panels)(int64_t, int64_t, const float*, int64_t, int64_t, float*) noexcept nogil
        int (*all_finite)(int64_t, const float*) noexcept nogil
        void (*attention_scores)(int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, const int64_t*, float*,
                                 int64_t) noexcept nogil
        void (*attention_mask)(int, int64_t, const int64_t*, float*, int64_t, const void*, int64_t, int64_t) noexcept nogil
        void (*attention_softmax)(int64_t, const int64_t*, float*, int64_t, float*, float*, int64_t, float*, int64_t) noexcept nogil
        void (*attention_values)(int64_t, int64_t, int64_t, const float*, int64_t, const int64_t*, const float*, int, float, float*,
                                 int64_t) noexcept nogil
        void (*attention_finish)(int64_t, int64_t, const float*, const float*, float*, int64_t, float*) noexcept nogil
        void (*attention_probabilities)(int64_t, const int64_t*, int64_t, float*, int64_t,
                                        const float*, const float*) noexcept nogil
        void (*attention_delta)(int64_t, int64_t, const float*, int64_t, const float*, int64_t, float*) noexcept nogil
        void (*attention_dscores)(int64_t, int64_t, float, const float*, const float*, float*, int64_t) noexcept nogil
        void (*attention_transposed)(int64_t, int64_t, int64_t, const float*, int64_t, const int64_t*, const float*, int, float*,
                                     int64_t) noexcept nogil
        void (*attention_few_scores)(int64_t, int64_t, int64_t, const float*, const float*, int64_t, float*, int64_t) noexcept nogil
        void (*attention_few_values)(int64_t, int64_t, int64_t, const float*, int64_t, const int64_t*, int, const float*, int64_t, float*,
                                     int64_t) noexcept nogil
        void (*additive_scores)(int64_t, int64_t, const float*, const float*, int64_t, const float*, float*) noexcept nogil
        void (*additive_scores_backward)(int64_t, int64_t, const float*, const float*, const float*, int64_t, const float*, float*, float*,
                                         int64_t, float*) noexcept nogil
        void (*philox)(int64_t, uint64_t, uint64_t, uint64_t, uint32_t*) noexcept nogil
        void (*gather)(int64_t, int64_t, const int64_t*, const float*, int64_t, float, float*, int64_t, int) noexcept nogil
        void (*scatter_add)(int64_t, int64_t, const int64_t*, int64_t, const float*, int64_t, float, float*, int64_t) noexcept nogil
        int64_t (*first_outside)(int64_t, const int64_t*, int64_t) noexcept nogil
        void (*norm)(int, int64_t, int64_t, const float*, int64_t, double, const float*, const float*, float*, float*, int64_t, int) noexcept nogil
        void (*norm_backward)(int, int64_t, int64_t, const float*, int64_t, const float*, int64_t, const float*, const float*, const float*, int64_t,
                              float*, int64_t, float*, float*, int) noexcept nogil
        void (*dropout)(int64_t, const float*, const float*, double, uint64_t, uint64_t, uint64_t, float*) noexcept nogil
        void (*softmax)(int64_t, int64_t, const float*, int64_t, float*, int64_t, int) noexcept nogil
        void (*softmax_backward)(int64_t, int64_t, const float*, int64_t, const float*, int64_t, float*, int64_t, int) noexcept nogil
        void (*log_softmax)(int64_t, int64_t, const float*, int64_t, float*, int64_t, int) noexcept nogil
        void (*log_softmax_backward)(int64_t, int64_t, const float*, int64_t, const float*, int64_t, float*, int64_t, int) noexcept nogil
        void (*cross_entropy)(int64_t, int64_t, const float*, int64_t, const int64_t*, const double*, double, float*, int64_t, double*, int) noexcept nogil
        double (*cross_entropy_soft)(int64_t, const float*, const float*, int64_t, const float*, double, double, double, float*) noexcept nogil
        double (*loss)(int, int64_t, const float*, const float*, const float*, const float*, float, float, float*, float*, int) noexcept nogil
        void (*update)(int64_t, float*, const float*, float*, float*, float*, const fastnn_step*) noexcept nogil
        void (*rotary)(int64_t, int64_t, const float*, int64_t, const float*, int, float*, int64_t) noexcept nogil

    struct fastnn_leaves_f64:
        int64_t lanes, mr, nr, tall, dot_tile, dot_rows, dot_columns
        void (*pack_a)(int64_t, int64_t, const double*, int64_t, int64_t, double*) noexcept nogil
        void (*pack_b)(int64_t, int64_t, const double*, int64_t, int64_t, double*) noexcept nogil
        void (*gemm_tile)(int64_t, int64_t, int64_t, double, int, const double*, int64_t, int64_t, const double*, int64_t, double,
                          double*, int64_t, int64_t, const double*, int, double*) noexcept nogil
        void (*gemm_dots)(int64_t, int64_t, int64_t, double, const double*, int64_t, const double*, int64_t, double, double*, int64_t, int64_t,
                          const double*, int, double*) noexcept nogil
        void (*pack_columns)(int64_t, int64_t, const double*, int64_t, double*) noexcept nogil
        void (*gemv_rows)(int64_t, int64_t, const double*, const double*, int64_t, double*) noexcept nogil
        void (*gemv_columns)(int64_t, int64_t, int, const double*, const double*, int64_t, double*) noexcept nogil
        void (*gemv_finish)(int64_t, double, double*, double, double*, int64_t, const double*, int64_t, int, double*) noexcept nogil
        void (*activation)(int, int64_t, int64_t, const double*, int64_t, double*, int64_t, int) noexcept nogil
        void (*activation_backward)(int, int64_t, int64_t, const double*, int64_t, const double*, int64_t, double*, int64_t, double*, int) noexcept nogil
        void (*prelu)(int, int64_t, int64_t, const double*, int64_t, const double*, double*, int64_t, int) noexcept nogil
        double (*prelu_backward)(int, int64_t, int64_t, const double*, int64_t, const double*, int64_t, const double*, double*, int64_t, int,
                                 double*, int) noexcept nogil
        void (*scale)(int64_t, double, double*) noexcept nogil
        void (*add)(int64_t, const double*, double*) noexcept nogil
        void (*sum_squares)(int64_t, int64_t, const double*, int64_t, double, double*, double*) noexcept nogil
        double (*max_abs)(int64_t, int64_t, const double*, int64_t) noexcept nogil
        void (*pack_panels)(int64_t, int64_t, const double*, int64_t, int64_t, double*) noexcept nogil
        int (*all_finite)(int64_t, const double*) noexcept nogil
        void (*attention_scores)(int64_t, int64_t, int64_t, double, const double*, int64_t, const double*, const int64_t*, double*,
                                 int64_t) noexcept nogil
        void (*attention_mask)(int, int64_t, const int64_t*, double*, int64_t, const void*, int64_t, int64_t) noexcept nogil
        void (*attention_softmax)(int64_t, const int64_t*, double*, int64_t, double*, double*, int64_t, double*, int64_t) noexcept nogil
        void (*attention_values)(int64_t, int64_t, int64_t, const double*, int64_t, const int64_t*, const double*, int, double, double*,
                                 int64_t) noexcept nogil
        void (*attention_finish)(int64_t, int64_t, const double*, const double*, double*, int64_t, double*) noexcept nogil
        void (*attention_probabilities)(int64_t, const int64_t*, int64_t, double*, int64_t,
                                        const double*, const double*) noexcept nogil
        void (*attention_delta)(int64_t, int64_t, const double*, int64_t, const double*, int64_t, double*) noexcept nogil
        void (*attention_dscores)(int64_t, int64_t, double, const double*, const double*, double*, int64_t) noexcept nogil
        void (*attention_transposed)(int64_t, int64_t, int64_t, const double*, int64_t, const int64_t*, const double*, int, double*,
                                     int64_t) noexcept nogil
        void (*attention_few_scores)(int64_t, int64_t, int64_t, const double*, const double*, int64_t, double*, int64_t) noexcept nogil
        void (*attention_few_values)(int64_t, int64_t, int64_t, const double*, int64_t, const int64_t*, int, const double*, int64_t, double*,
                                     int64_t) noexcept nogil
        void (*additive_scores)(int64_t, int64_t, const double*, const double*, int64_t, const double*, double*) noexcept nogil
        void (*additive_scores_backward)(int64_t, int64_t, const double*, const double*, const double*, int64_t, const double*, double*, double*,
                                         int64_t, double*) noexcept nogil
        void (*philox)(int64_t, uint64_t, uint64_t, uint64_t, uint32_t*) noexcept nogil
        void (*gather)(int64_t, int64_t, const int64_t*, const double*, int64_t, double, double*, int64_t, int) noexcept nogil
        void (*scatter_add)(int64_t, int64_t, const int64_t*, int64_t, const double*, int64_t, double, double*, int64_t) noexcept nogil
        int64_t (*first_outside)(int64_t, const int64_t*, int64_t) noexcept nogil
        void (*norm)(int, int64_t, int64_t, const double*, int64_t, double, const double*, const double*, double*, double*, int64_t, int) noexcept nogil
        void (*norm_backward)(int, int64_t, int64_t, const double*, int64_t, const double*, int64_t, const double*, const double*, const double*, int64_t,
                              double*, int64_t, double*, double*, int) noexcept nogil
        void (*dropout)(int64_t, const double*, const double*, double, uint64_t, uint64_t, uint64_t, double*) noexcept nogil
        void (*softmax)(int64_t, int64_t, const double*, int64_t, double*, int64_t, int) noexcept nogil
        void (*softmax_backward)(int64_t, int64_t, const double*, int64_t, const double*, int64_t, double*, int64_t, int) noexcept nogil
        void (*log_softmax)(int64_t, int64_t, const double*, int64_t, double*, int64_t, int) noexcept nogil
        void (*log_softmax_backward)(int64_t, int64_t, const double*, int64_t, const double*, int64_t, double*, int64_t, int) noexcept nogil
        void (*cross_entropy)(int64_t, int64_t, const double*, int64_t, const int64_t*, const double*, double, double*, int64_t, double*, int) noexcept nogil
        double (*cross_entropy_soft)(int64_t, const double*, const double*, int64_t, const double*, double, double, double, double*) noexcept nogil
        double (*loss)(int, int64_t, const double*, const double*, const double*, const double*, double, double, double*, double*, int) noexcept nogil
        void (*update)(int64_t, double*, const double*, double*, double*, double*, const fastnn_step*) noexcept nogil
        void (*rotary)(int64_t, int64_t, const double*, int64_t, const double*, int, double*, int64_t) noexcept nogil
