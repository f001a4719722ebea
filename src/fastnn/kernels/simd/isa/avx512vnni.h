/* avx512vnni.h: AVX-512 with VNNI: four products of uint8 and int8 are added at once. */
#ifndef FASTNN_AVX512VNNI_H
#define FASTNN_AVX512VNNI_H

#include "avx512.h"

#if FASTNN_REAL == 32
typedef i32vec dotvec;
#define dot_word dot_word
INLINE dotvec dot_word(dotvec sum, i32vec a, i32vec b) {
    return (dotvec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
}
#define FILLS_WITH "quantize.h"
#define FILLS .dot_bytes = DOT_BYTES, .dot_tile = dot_tile, .quantize_row = quantize_row,
#else
#define FILLS
#endif

#endif
