/* leaves.c: compiled once per instruction set and real type. The object exports its table of
 * primitives and nothing else. */
#include "vec.h"

/* If isa/<set>.h defines FILLS, the set has only those entries, which may come from the header
 * FILLS_WITH, and inherits the others. */
#ifndef FILLS
#define FASTNN_FILL
#endif
#include "leaves.h"
#ifdef FILLS_WITH
#include FILLS_WITH
#endif

#ifdef FASTNN_FILL
#define SIZE_ENTRY(name, value) .name = value,
#define ENTRY(result, name, ...) .name = name,
#if FASTNN_REAL == 32
#define FILLS_F32 FASTNN_SIZES_F32(SIZE_ENTRY) FASTNN_LEAVES_F32(ENTRY)
#else
#define FILLS_F32
#endif
#define FILLS FASTNN_SIZES(SIZE_ENTRY) FASTNN_LEAVES(ENTRY, real) FILLS_F32
#endif

#define TABLE_(isa, suffix) fastnn_leaves_##isa##_##suffix
#define TABLE(isa, suffix) TABLE_(isa, suffix)

extern const struct JOIN(fastnn_leaves_, SUFFIX) TABLE(FASTNN_ISA, SUFFIX);

const struct JOIN(fastnn_leaves_, SUFFIX) TABLE(FASTNN_ISA, SUFFIX) = {FILLS};
