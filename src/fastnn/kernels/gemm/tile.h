/* tile.h: the shape of a GEMM tile, MR rows by NV vectors of columns.
 *
 * MR * NV accumulators must outnumber FMA ports x latency (2 x 4) and leave room for NV vectors of
 * B and one broadcast of A:
 *
 *     AVX-512 (32 registers)   8 x 3: 24 + 3 + 1
 *     AVX2    (16)             6 x 2: 12 + 2 + 1
 *     SSE2    (16)             4 x 2:  8 + 2 + 1 and a product
 *     NEON    (32)             8 x 3: 24 + 3 + 1
 *
 * A tile one vector wide may have TALL rows, since MR accumulators would not hide the latency.
 * Measurements: docs/tuning.md, "The tile".
 */
#ifndef FASTNN_TILE_H
#define FASTNN_TILE_H

#include "vec.h"

/* Default; isa/<set>.h may define its own. */
#ifndef MR
#define MR 4
#define NV 2
#endif
#define NR (NV * LANES)
#define TALL (2 * MR)

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t whole_vectors(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

/* Width of the next panel of B when n columns, a multiple of LANES, are left. Four vectors become
 * two panels of two rather than three and one. */
INLINE int64_t panel_width(int64_t n) {
    return n <= NR ? n : NV == 3 && n == 4 * LANES ? 2 * LANES : NR;
}

#endif
