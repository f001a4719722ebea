/* neoni8mm.h: NEON with I8MM: four products of uint8 and int8 are added at once. */
#ifndef FASTNN_NEONI8MM_H
#define FASTNN_NEONI8MM_H

#include <arm_neon.h>

#include "baseline.h"

#if FASTNN_REAL == 32
#define DOT_MR 6
#define DOT_STRIPS 1
typedef i32vec dotvec;
#define dot_word dot_word
INLINE dotvec dot_word(dotvec sum, i32vec a, i32vec b) {
    return (dotvec)vusdotq_s32((int32x4_t)sum, (uint8x16_t)a, (int8x16_t)b);
}
#define FILLS_WITH "quantize.h"
#define FILLS \
    .dot_rows = DOT_MR, .dot_bytes = DOT_BYTES, .dot_tile = dot_tile, .quantize_row = quantize_row,
#else
#define FILLS
#endif

#endif
