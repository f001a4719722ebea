/* dropout.h: the bits of the elements that dropout keeps, for every kernel that drops; and
 * y = residual + dropout(x).
 *
 * Element i (its position in C order) is kept if word i of Philox (seed, step) is at least p 2^32,
 * and is then scaled by 1 / (1 - p). Nothing is stored for backward: the same seed and step give
 * the same bits, however a range is divided into runs.
 *
 *     uint64_t kept[DROPOUT_BITS(RUN)];
 *     const dropout_mask mask = dropout_start(p, seed, step);
 *     keep_bits(&mask, first, n, kept);                        n <= RUN elements from `first` on
 *     v = keep_lanes(v, bits_at(kept, first, i)) * mask.scale; LANES elements from first + i on
 */
#ifndef FASTNN_DROPOUT_H
#define FASTNN_DROPOUT_H

#include "philox.h"
#include "stream.h"
#include "vec.h"

/* 64-bit words for the bits of a run of n elements, plus one that is read but not used. */
#define DROPOUT_BITS(n) ((n) / 64 + 3)

typedef struct {
    philox_key key;
    uint64_t threshold; /* of kept words; 2^32 if p = 1 */
    real scale;
} dropout_mask;

/* 0 <= p <= 1. The probability of dropping is p rounded to a multiple of 2^-32. */
static dropout_mask dropout_start(double p, uint64_t seed, uint64_t step) {
    return (dropout_mask){philox_start(seed, step), (uint64_t)(p * 0x1p32 + 0.5),
                          p < 1 ? (real)(1 / (1 - p)) : 0};
}

/* Bit l is set if words[l] >= threshold. */
#ifndef sign_bits
INLINE uint64_t sign_bits(i32vec v) {
    uint64_t bits = 0;
    for (int l = 0; l < VBYTES / 4; l++) bits |= (uint64_t)(v[l] < 0) << l;
    return bits;
}
#endif
#ifndef at_least_bits
INLINE uint64_t at_least_bits(u32vec words, uint32_t threshold) {
    /* SSE and AVX2 compare signed integers only */
    return sign_bits((i32vec)(words ^ 0x80000000u) >= (int32_t)(threshold ^ 0x80000000u));
}
#endif

/* Bit first % 64 + i of `kept` is set if element first + i is kept, i < n. Writes whole words, at
 * most DROPOUT_BITS(n). */
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

/* The bits of elements first + i, first + i + 1, ..., at least LANES of them. */
INLINE uint64_t bits_at(const uint64_t *kept, uint64_t first, int64_t i) {
    const uint64_t at = first % 64 + (uint64_t)i;
    return kept[at / 64] >> at % 64 | kept[at / 64 + 1] << 1 << (63 - at % 64);
}

/* v where the bit is set, else 0; a select, so a dropped NaN is 0. */
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

enum { DROPOUT_RUN = 2048 }; /* elements per call of keep_bits */

/* y = residual + dropout(x), or dropout(x) if residual is NULL; x[0] is element number `first`. y
 * may be x or residual. */
static void dropout_run(int64_t n, const real *x, const real *residual, double p, uint64_t seed,
                        uint64_t step, uint64_t first, real *y) {
    const dropout_mask mask = dropout_start(p, seed, step);
    uint64_t kept[DROPOUT_BITS(DROPOUT_RUN)];
    for (int64_t start = 0; start < n; start += DROPOUT_RUN, first += DROPOUT_RUN) {
        const int64_t stop = n - start < DROPOUT_RUN ? n : start + DROPOUT_RUN;
        int64_t i = start;
        keep_bits(&mask, first, stop - start, kept);
        for (; i + LANES <= stop; i += LANES) {
            /* The caller works row by row, so nothing else prefetches the next row (AHEAD in
             * docs/tuning.md). */
            fetch_ahead(x + i);
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
