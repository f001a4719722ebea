/* leaves.c: compiled once per instruction set and real type. The object exports its table of
 * primitives and nothing else. */
#include "leaves.h"

/* If isa/<set>.h defines FILLS, the set has only those entries and inherits the others. */
#include "vec.h"

#ifndef FILLS
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
#include "layernorm.h"
#include "loss.h"
#include "pack.h"
#include "prelu.h"
#include "reduce.h"
#include "rotary.h"
#include "softmax.h"
#include "update.h"

#define SIZE_ENTRY(name, value) .name = value,
#define ENTRY(result, name, ...) .name = name,
#define FILLS FASTNN_SIZES(SIZE_ENTRY) FASTNN_LEAVES(ENTRY, real)
#endif

#define TABLE_(isa, suffix) fastnn_leaves_##isa##_##suffix
#define TABLE(isa, suffix) TABLE_(isa, suffix)

extern const struct JOIN(fastnn_leaves_, SUFFIX) TABLE(FASTNN_ISA, SUFFIX);

const struct JOIN(fastnn_leaves_, SUFFIX) TABLE(FASTNN_ISA, SUFFIX) = {FILLS};
