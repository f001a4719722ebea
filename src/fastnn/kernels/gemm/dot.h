/* dot.h: the tile of products of low precision: DOT_MR rows by DOT_STRIPS strips of columns.
 *
 * Both operands are 32-bit words along k: four of uint8 times int8, added exactly in int32, or two
 * of bfloat16, added in float32. Rows of A are lda bytes apart. B lies in strips as in low.h. An
 * instruction set that has an instruction for it defines dot_word; otherwise a word of int8 is two
 * pairs of int16, which pair_dot multiplies and adds: no sum saturates.
 */
#ifndef FASTNN_DOT_H
#define FASTNN_DOT_H

#include "tile.h"

#if FASTNN_REAL == 32

#ifndef DOT_MR
#define DOT_MR (LANES == 16 ? 8 : LANES == 8 ? 6 : 2)
#define DOT_STRIPS (LANES == 16 ? 3 : 1)
#endif
enum { DOT_WIDE = FASTNN_STRIP / LANES };

typedef int16_t pairvec __attribute__((vector_size(VBYTES)));

/* a_0 b_0 + a_1 b_1 of the pairs of int16 of each lane. */
#ifndef pair_dot
INLINE i32vec pair_dot(i32vec a, i32vec b) {
    return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
}
#endif

/* The word at p in every lane. */
INLINE i32vec every(const char *p) {
    int32_t word;
    memcpy(&word, p, 4);
    return word - (i32vec){0};
}

/* sum += a b for a unit of A, of DOT_BYTES, and a unit of B that was opened for all rows. */
#ifdef dot_word
enum { DOT_BYTES = 4 };
typedef i32vec opened;
INLINE opened open_unit(i32vec b) { return b; }
INLINE dotvec dot_step(dotvec sum, const char *a, opened b) { return dot_word(sum, every(a), b); }
#else
enum { DOT_BYTES = 8 };
typedef i32vec dotvec;
typedef struct {
    i32vec even, odd;
} opened;
INLINE opened open_unit(i32vec b) {
    return (opened){(i32vec)((pairvec)b << 8 >> 8), (i32vec)((pairvec)b >> 8)};
}
INLINE dotvec dot_step(dotvec sum, const char *a, opened b) {
    sum += pair_dot(every(a), b.even);
    return sum + pair_dot(every(a + 4), b.odd);
}
#endif

INLINE void dot_tile_of(const int rows, const int strips, int64_t units, const char *a, int64_t lda,
                        const char *b, int64_t next, char *sums) {
    dotvec acc[DOT_MR][DOT_STRIPS * DOT_WIDE];
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < strips * DOT_WIDE; v++)
            acc[i][v] = (dotvec){0};
    }
    for (; units > 0; units--, a += DOT_BYTES, b += 4 * FASTNN_STRIP) {
        UNROLL for (int v = 0; v < strips * DOT_WIDE; v++) {
            i32vec word;
            memcpy(&word, b + v / DOT_WIDE * next + v % DOT_WIDE * VBYTES, sizeof word);
            const opened w = open_unit(word);
            UNROLL for (int i = 0; i < rows; i++)
                acc[i][v] = dot_step(acc[i][v], a + i * lda, w);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < strips * DOT_WIDE; v++)
            memcpy(sums + 4 * (i * FASTNN_DOT_COLUMNS + v * LANES), &acc[i][v], VBYTES);
    }
}

/* sums (m <= DOT_MR, FASTNN_DOT_COLUMNS) = A B over `units` units, for up to DOT_STRIPS strips of B
 * that are `next` bytes apart. Rows beyond m may be computed and stored. */
static void dot_tile(int64_t m, int64_t strips, int64_t units, const void *a, int64_t lda,
                     const void *b, int64_t next, void *sums) {
    switch (strips * 2 + (m <= DOT_MR / 2)) {
    case 2: dot_tile_of(DOT_MR, 1, units, a, lda, b, next, sums); break;
    case 3: dot_tile_of(DOT_MR / 2, 1, units, a, lda, b, next, sums); break;
#ifdef __AVX512F__
    case 4: dot_tile_of(DOT_MR, 2, units, a, lda, b, next, sums); break;
    case 5: dot_tile_of(DOT_MR / 2, 2, units, a, lda, b, next, sums); break;
    case 6: dot_tile_of(DOT_MR, 3, units, a, lda, b, next, sums); break;
    case 7: dot_tile_of(DOT_MR / 2, 3, units, a, lda, b, next, sums); break;
#endif
    }
}

#endif
#endif
