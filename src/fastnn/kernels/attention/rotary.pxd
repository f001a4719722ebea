"""The pointer API of rotary position embedding, without the GIL.

Pairs (x_i, x_(i+d/2)) are rotated by the angle position * base^(-2i/d). sizes holds batch, heads,
positions and d; d is even. Strides count elements, along batch, head and position; last axes are
contiguous. table (positions, d) is written by rotary_table: for each position d/2 cosines, then d/2
sines. starts holds the first position of each row of the batch, with a stride that may be 0; NULL
means 0. inverse rotates back, which is the backward pass. y may be x with the same strides. Returns
0 or 2 (a negative size, an odd d, a missing pointer, a base that is not above 0, a position beyond
the table).
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

# Cosines and sines of the positions first..first+n-1 times factor, in rows of 2 half; rates are the
# angles from one position to the next, or NULL for powers of base.
cdef int fill_table(
    int64_t first, int64_t n, int64_t half, double base, const double *rates, double factor,
    real *table
) noexcept nogil
cdef int rotary_table_real(int64_t positions, int64_t d, double base, real *table) noexcept nogil
cdef int rotary_real(
    const int64_t *sizes, const real *x, const int64_t *x_strides, const real *table,
    int64_t positions, const int64_t *starts, int64_t starts_stride, int inverse, real *y,
    const int64_t *y_strides
) noexcept nogil
