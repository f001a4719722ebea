/* rotary.h: rotate pairs of elements by the angles of their position. */
#ifndef FASTNN_ROTARY_H
#define FASTNN_ROTARY_H

#include "vec.h"

/* Multiply the complex numbers (x_i, x_(i+half)) of row r by row r of the table, or by its
 * conjugate if inverse. A row of the table is `half` cosines, then `half` sines. y may be x. */
static void rotary_rows(int64_t rows, int64_t half, const real *x, int64_t ldx, const real *table,
                        int inverse, real *y, int64_t ldy) {
    const ivec flip = inverse ? (ivec)(-(vec){0}) : (ivec){0}; /* sign bit */
    for (int64_t r = 0; r < rows; r++, x += ldx, y += ldy, table += 2 * half) {
        int64_t i = 0;
        for (; i + LANES <= half; i += LANES) {
            const vec a = load(x + i), b = load(x + half + i), c = load(table + i),
                      s = (vec)((ivec)load(table + half + i) ^ flip);
            store(y + i, a * c - rounded(b * s));
            store(y + half + i, b * c + rounded(a * s));
        }
        if (i < half) {
            const int64_t n = half - i;
            const vec a = load_part(x + i, n, 0), b = load_part(x + half + i, n, 0),
                      c = load_part(table + i, n, 0);
            const vec s = (vec)((ivec)load_part(table + half + i, n, 0) ^ flip);
            store_part(y + i, n, a * c - rounded(b * s));
            store_part(y + half + i, n, b * c + rounded(a * s));
        }
    }
}

#endif
