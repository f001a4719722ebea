"""Layer norm and RMS norm, with the sum before them, by pointer, without the GIL.

Rows are contiguous; `ld...` is the row stride in elements.

`layer_norm`:
    h = residual + dropout(x), y = (h - mean h) / sqrt(var h + eps) * weight + bias, row by row.
    rms != 0: y = h / sqrt(mean h^2 + eps) * weight + bias. weight and bias (cols,) may be NULL.
    residual (rows, cols) may be NULL, which counts as zero. h may be NULL; if residual is NULL and
    p = 0, h is x and is not written. stats (rows, 3) receives what backward needs, or is NULL.
    h and y may be x or residual, but not one another.
`layer_norm_backward`:
    dh = (gradient of h through y) + dh_in, which may be NULL. dx = dh through dropout, not written
    if p = 0. dweight and dbias (cols,) are added to unless NULL. dh may be dy or dh_in.

p, seed and step are those of dropout.pxd. Returns 0, 1 (no memory) or 2 (a negative size, a missing
pointer, p outside [0, 1], eps <= 0).
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
