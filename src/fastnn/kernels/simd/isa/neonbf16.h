/* neonbf16.h: NEON with products of pairs of bfloat16, which are added to float32. The instruction
 * takes subnormal numbers for zeros. */
#ifndef FASTNN_NEONBF16_H
#define FASTNN_NEONBF16_H

#include <arm_neon.h>

#include "baseline.h"

#if FASTNN_REAL == 32
#define DOT_MR 6
#define DOT_STRIPS 1
typedef vec dotvec;
#define dot_word dot_word
INLINE dotvec dot_word(dotvec sum, i32vec a, i32vec b) {
    return (dotvec)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)a, (bfloat16x8_t)b);
}
#define FILLS_WITH "dot.h"
#define FILLS .bf16_dot = 1, .bf16_tile = dot_tile,
#else
#define FILLS
#endif

#endif
