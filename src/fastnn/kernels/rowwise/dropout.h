/* dropout.h: which elements dropout keeps, as bits, for every kernel that drops; and y = residual +
 * dropout(x).
 *
 * Element i, its position in C order, is kept where word i of Philox (seed, step) is at least p
 * 2^32, and is then scaled by 1 / (1 - p). Nothing is stored for backward: the same seed and step
 * give the same bits at any time, in runs cut anywhere.
 *
 *     uint64_t kept[DROPOUT_BITS(RUN)];
 *     const dropout_mask mask = dropout_start(p, seed, step);
 *     keep_bits(&mask, first, n, kept);                           n <= RUN elements from element
 * number `first` on v = keep_lanes(v, bits_at(kept, first, i)) * mask.scale;    the LANES elements
 * first + i and on
 */
#ifndef FASTNN_DROPOUT_H
#define FASTNN_DROPOUT_H

#include "philox.h"
#include "stream.h"
#include "vec.h"

/* 64-bit words that hold the bits of a run of n elements, and one that is only read. */
#define DROPOUT_BITS(n) ((n) / 64 + 3)

typedef struct {
    philox_key key;
    uint64_t threshold; /* of a word that is kept; 2^32 where p = 1 */
    real scale;
} dropout_mask;

/* p from 0 to 1. The probability of dropping is p rounded to a multiple of 2^-32. */
static dropout_mask dropout_start(double p, uint64_t seed, uint64_t step) {
    return (dropout_mask){philox_start(seed, step), (uint64_t)(p * 0x1p32 + 0.5),
                          p < 1 ? (real)(1 / (1 - p)) : 0};
}

/* Bit l: words[l] >= threshold. */
#ifndef sign_bits
INLINE uint64_t sign_bits(i32vec v) {
    uint64_t bits = 0;
    for (int l = 0; l < VBYTES / 4; l++) bits |= (uint64_t)(v[l] < 0) << l;
    return bits;
}
#endif
#ifndef at_least_bits
INLINE uint64_t at_least_bits(u32vec words, uint32_t threshold) {
    /* signed numbers are all that SSE and AVX2 compare */
    return sign_bits((i32vec)(words ^ 0x80000000u) >= (int32_t)(threshold ^ 0x80000000u));
}
#endif

/* Bit first % 64 + i of the words at `kept`: element first + i is kept, i < n. Whole words are
 * written, DROPOUT_BITS(n) at most. */
static void keep_bits(const dropout_mask *mask, uint64_t first, int64_t n, uint64_t *kept) {
    const uint64_t start = first / 64, count = (first % 64 + (uint64_t)n + 63) / 64;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bits = mask->threshold == 0 ? ~(uint64_t)0 : 0;
        if (mask->threshold > 0 && mask->threshold <= UINT32_MAX) {
            UNROLL for (int part = 0; part < 64 / PHILOX_WORDS; part++) {
                u32vec words[4];
                philox_words(&mask->key, (start + i) * 16 + (uint64_t)part * (PHILOX_WORDS / 4),
                             words);
                UNROLL for (int v = 0; v < 4; v++)
                    bits |= at_least_bits(words[v], (uint32_t)mask->threshold)
                            << (part * PHILOX_WORDS + v * (VBYTES / 4));
            }
        }
        kept[i] = bits;
    }
    kept[count] = 0;
}

/* The bits of the elements first + i and on, at least LANES of them. */
INLINE uint64_t bits_at(const uint64_t *kept, uint64_t first, int64_t i) {
    const uint64_t at = first % 64 + (uint64_t)i;
    return kept[at / 64] >> at % 64 | kept[at / 64 + 1] << 1 << (63 - at % 64);
}

/* v where the bit is set, else 0: whatever v is, NaN too. */
#ifndef keep_lanes
INLINE vec keep_lanes(vec v, uint64_t bits_) {
#if VBYTES * 8 / FASTNN_REAL == 8
    const ivec bit = {1, 2, 4, 8, 16, 32, 64, 128};
#elif VBYTES * 8 / FASTNN_REAL == 4
    const ivec bit = {1, 2, 4, 8};
#else
    const ivec bit = {1, 2};
#endif
    return (vec)((ivec)v & ((((ivec){0} + (bits)bits_) & bit) == bit));
}
#endif

enum { DROPOUT_RUN = 2048 }; /* elements whose bits are made at a time */

/* y = residual + dropout(x), or dropout(x) where residual is NULL; x[0] is element number `first`.
 * y may be x or residual. */
static void dropout(int64_t n, const real *x, const real *residual, double p, uint64_t seed,
                    uint64_t step, uint64_t first, real *y) {
    const dropout_mask mask = dropout_start(p, seed, step);
    uint64_t kept[DROPOUT_BITS(DROPOUT_RUN)];
    for (int64_t start = 0; start < n; start += DROPOUT_RUN, first += DROPOUT_RUN) {
        const int64_t stop = n - start < DROPOUT_RUN ? n : start + DROPOUT_RUN;
        int64_t i = start;
        keep_bits(&mask, first, stop - start, kept);
        for (; i + LANES <= stop; i += LANES) {
            fetch_ahead(x + i); /* add and norm works row by row, and nothing else would ask for the
                                   next: 16 MiB 1.45 ms instead of 2.45 */
            if (residual) fetch_ahead(residual + i);
            const vec v = keep_lanes(load(x + i) * mask.scale, bits_at(kept, first, i - start));
            store(y + i, residual ? load(residual + i) + v : v);
        }
        if (i < stop) {
            const vec v = keep_lanes(load_part(x + i, stop - i, 0) * mask.scale,
                                     bits_at(kept, first, i - start));
            store_part(y + i, stop - i, residual ? load_part(residual + i, stop - i, 0) + v : v);
        }
    }
}

#endif
