/* leaves.c: compiled once for each instruction set and real type; the object exports its table of leaves and nothing else. */
#include "leaves.h"

#include "vec.h"

#include "activation.h"
#include "additive.h"
#include "attention.h"
#include "attention_backward.h"
#include "attention_few.h"
#include "dots.h"
#include "dropout.h"
#include "elementwise.h"
#include "embedding.h"
#include "gemm.h"
#include "gemv.h"
#include "loss.h"
#include "layernorm.h"
#include "pack.h"
#include "prelu.h"
#include "reduce.h"
#include "rotary.h"
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
    .gather = gather,
    .scatter_add = scatter_add,
    .first_outside = first_outside,
    .norm = norm,
    .norm_backward = norm_backward,
    .pack_panels = pack_panels,
    .all_finite = all_finite,
    .attention_scores = attention_scores,
    .attention_mask = attention_mask,
    .attention_softmax = attention_softmax,
    .attention_values = attention_values,
    .attention_finish = attention_finish,
    .attention_probabilities = attention_probabilities,
    .attention_delta = attention_delta,
    .attention_dscores = attention_dscores,
    .attention_transposed = attention_transposed,
    .attention_few_scores = attention_few_scores,
    .attention_few_values = attention_few_values,
    .additive_scores = additive_scores,
    .additive_scores_backward = additive_scores_backward,
    .philox = philox,
    .dropout = dropout,
    .cross_entropy_soft = cross_entropy_soft,
    .loss = loss,
    .update = update,
    .rotary = rotary,
};
