"""Layer norm and RMS norm, with the sum before them, by pointer, without the GIL: rows of contiguous elements, `ld...` elements from a row to the next.

`layer_norm`:           h = residual + dropout(x), y = (h - mean h) / sqrt(var h + eps) * weight + bias, row by row. rms != 0: y = h / sqrt(mean h^2 +
                        eps) * weight + bias. weight and bias (cols,) may be NULL, and residual (rows, cols), which then counts as zero. h may be NULL;
                        where residual is NULL and p = 0 it is not written, h is x. stats (rows, 3) is what backward needs of a row, or NULL.
                        h and y may be x or residual, but not one another.
`layer_norm_backward`:  dh = (gradient of h through y) + dh_in, which may be NULL; dx = dh through dropout, not written where p = 0; dweight += and
                        dbias += (cols,), where they are not NULL. dh may be dy or dh_in.
p, seed and step are those of dropout.pxd. Returns 0, 1 (no memory) or 2 (a negative size, a missing pointer, p outside of [0, 1], eps <= 0).
"""
from libc.stdint cimport int64_t, uint64_t

from ..ground.dispatch cimport real

cdef int layer_norm_real(
    int rms, int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, const real *weight,
    const real *bias, double eps, real *h, int64_t ldh, real *y, int64_t ldy, real *stats
) noexcept nogil
cdef int layer_norm_backward_real(
    int rms, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *h, int64_t ldh,
    const real *stats, const real *weight, const real *dh_in, int64_t lddh_in, double p,
    uint64_t seed, uint64_t step, real *dh, int64_t lddh, real *dx, int64_t lddx, real *dweight,
    real *dbias
) noexcept nogil
