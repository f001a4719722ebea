/* leaves.c: compiled once for each instruction set and real type; the object exports its table of leaves and nothing else. */
#include "leaves.h"

#include "vec.h"

#include "activation.h"
#include "dots.h"
#include "dropout.h"
#include "elementwise.h"
#include "gemm.h"
#include "gemv.h"
#include "loss.h"
#include "layernorm.h"
#include "pack.h"
#include "reduce.h"
#include "softmax.h"
#include "update.h"

#define STRING_(x) #x
#define STRING(x) STRING_(x)
#define TABLE_(isa, suffix) fastnn_leaves_##isa##_##suffix
#define TABLE(isa, suffix) TABLE_(isa, suffix)

extern const struct JOIN(fastnn_leaves_, SUFFIX) TABLE(FASTNN_ISA, SUFFIX);

const struct JOIN(fastnn_leaves_, SUFFIX) TABLE(FASTNN_ISA, SUFFIX) = {
    .isa = STRING(FASTNN_ISA),
    .lanes = LANES,
    .mr = MR,
    .nr = NR,
    .tall = TALL,
    .dot_tile = DOT_TILE,
    .dot_rows = DOT_ROWS,
    .dot_columns = DOT_COLUMNS,
    .pack_a = pack_a,
    .pack_b = pack_b,
    .gemm_tile = gemm_tile,
    .gemm_dots = gemm_dots,
    .pack_columns = pack_columns,
    .gemv_rows = gemv_rows,
    .gemv_columns = gemv_columns,
    .gemv_finish = gemv_finish,
    .activation = activation,
    .activation_backward = activation_backward,
    .prelu = prelu,
    .prelu_backward = prelu_backward,
    .scale = scale,
    .add = add,
    .sum_squares = sum_squares,
    .max_abs = max_abs,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .log_softmax = log_softmax,
    .log_softmax_backward = log_softmax_backward,
    .cross_entropy = cross_entropy,
    .norm = norm,
    .norm_backward = norm_backward,
    .philox = philox,
    .dropout = dropout,
    .cross_entropy_soft = cross_entropy_soft,
    .loss = loss,
    .update = update,
};
