/* avx512bf16.h: AVX-512 with products of pairs of bfloat16, which are added to float32. The
 * instruction takes subnormal numbers for zeros. */
#ifndef FASTNN_AVX512BF16_H
#define FASTNN_AVX512BF16_H

#include "avx512.h"

#if FASTNN_REAL == 32
typedef vec dotvec;
#define dot_word dot_word
INLINE dotvec dot_word(dotvec sum, i32vec a, i32vec b) {
    return (dotvec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}
#define FILLS_WITH "dot.h"
#define FILLS .bf16_dot = 1, .bf16_tile = dot_tile,
#else
#define FILLS
#endif

#endif
