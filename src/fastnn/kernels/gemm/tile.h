/* tile.h: the shape of a GEMM tile, MR rows by NV vectors of columns.
 *
 * MR * NV accumulators must outnumber FMA ports x latency (2 x 4) and leave room for NV vectors of
 * B and one broadcast of A: AVX-512 (32 registers)   8 x 3: 24 + 3 + 1 AVX2    (16)             6 x
 * 2: 12 + 2 + 1 SSE2    (16)             4 x 2:  8 + 2 + 1 and a product NEON    (32)             8
 * x 3: 24 + 3 + 1 A tile of one vector, which MR accumulators would leave waiting, may have TALL
 * rows: 256 x 128 x 10 4.9 us, with MR rows 5.9. Measured on AVX-512 at 1,024 cubed, one thread,
 * packed operands: 8 x 3 98 % of the FMA peak, 6 x 4 98 %, 12 x 2 96 %, 14 x 2 90 %.
 */
#ifndef FASTNN_TILE_H
#define FASTNN_TILE_H

#include "vec.h"

/* The header of the instruction set says which. */
#ifndef MR
#define MR 4
#define NV 2
#endif
#define NR (NV * LANES)
#define TALL (2 * MR)

#endif
