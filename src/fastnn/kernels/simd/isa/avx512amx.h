/* avx512amx.h: AVX-512 with AMX, tiles of 16 rows of 64 bytes. Products of bfloat16 are added in
 * float32, with subnormal numbers taken for zeros, those of uint8 and int8 in int32. */
#ifndef FASTNN_AVX512AMX_H
#define FASTNN_AVX512AMX_H

#include "avx512.h"
#include "leaves.h"

#if FASTNN_REAL == 32
static void amx_state(int on) {
    static const struct {
        uint8_t palette, unused[15];
        uint16_t bytes[16];
        uint8_t rows[16];
    } tiles = {1, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    if (on)
        _tile_loadconfig(&tiles);
    else
        _tile_release();
}

/* dot_tile for 32 rows and 2 strips: 2 x 2 tiles of sums. 16 units of a strip are a tile as they
 * lie; what follows the last units need not be finite, so they are copied. Those of A are used once
 * for a panel of B and need not stay in the L1 cache (docs/tuning.md). */
#define AMX_TILE(name, multiply)                                                              \
    static void name(int64_t m, int64_t strips, int64_t units, const void *rows, int64_t lda, \
                     const void *packed, int64_t next, void *sums) {                          \
        char last[2048] __attribute__((aligned(64))), *out = sums;                            \
        const char *a = rows, *b = packed;                                                    \
        const int64_t ldc = 4 * FASTNN_DOT_COLUMNS;                                           \
        _tile_zero(0);                                                                        \
        _tile_zero(1);                                                                        \
        _tile_zero(2);                                                                        \
        _tile_zero(3);                                                                        \
        for (; units > 0; units -= 16, a += 64, b += 1024) {                                  \
            if (units < 16) {                                                                 \
                memset(last, 0, sizeof last);                                                 \
                memcpy(last, b, (size_t)units * 64);                                          \
                if (strips > 1) memcpy(last + 1024, b + next, (size_t)units * 64);            \
                b = last, next = 1024;                                                        \
                /* gcc's tile loads do not say that they read memory */                       \
                __asm__ volatile("" ::"r"(last) : "memory");                                  \
            }                                                                                 \
            _tile_stream_loadd(4, a, lda);                                                    \
            _tile_loadd(6, b, 64);                                                            \
            multiply(0, 4, 6);                                                                \
            if (m > 16) {                                                                     \
                _tile_stream_loadd(5, a + 16 * lda, lda);                                     \
                multiply(2, 5, 6);                                                            \
            }                                                                                 \
            if (strips > 1) {                                                                 \
                _tile_loadd(7, b + next, 64);                                                 \
                multiply(1, 4, 7);                                                            \
                if (m > 16) multiply(3, 5, 7);                                                \
            }                                                                                 \
        }                                                                                     \
        _tile_stored(0, out, ldc);                                                            \
        _tile_stored(1, out + 64, ldc);                                                       \
        _tile_stored(2, out + 16 * ldc, ldc);                                                 \
        _tile_stored(3, out + 16 * ldc + 64, ldc);                                            \
    }
AMX_TILE(amx_int8, _tile_dpbusd)
AMX_TILE(amx_bf16, _tile_dpbf16ps)

#define FILLS                                                                                    \
    .dot_rows = 32, .dot_strips = 2, .bf16_dot = 1, .dot_tile = amx_int8, .bf16_tile = amx_bf16, \
    .dot_state = amx_state,
#else
#define FILLS
#endif

#endif
