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

cdef int layer_norm_f32(int rms, int64_t rows, int64_t cols, const float *x, int64_t ldx, const float *residual, int64_t ldresidual,
                        double p, uint64_t seed, uint64_t step, const float *weight, const float *bias, double eps,
                        float *h, int64_t ldh, float *y, int64_t ldy, float *stats) noexcept nogil
cdef int layer_norm_f64(int rms, int64_t rows, int64_t cols, const double *x, int64_t ldx, const double *residual, int64_t ldresidual,
                        double p, uint64_t seed, uint64_t step, const double *weight, const double *bias, double eps,
                        double *h, int64_t ldh, double *y, int64_t ldy, double *stats) noexcept nogil
cdef int layer_norm_backward_f32(int rms, int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *h, int64_t ldh,
                                 const float *stats, const float *weight, const float *dh_in, int64_t lddh_in, double p, uint64_t seed,
                                 uint64_t step, float *dh, int64_t lddh, float *dx, int64_t lddx, float *dweight,
                                 float *dbias) noexcept nogil
cdef int layer_norm_backward_f64(int rms, int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *h, int64_t ldh,
                                 const double *stats, const double *weight, const double *dh_in, int64_t lddh_in, double p, uint64_t seed,
                                 uint64_t step, double *dh, int64_t lddh, double *dx, int64_t lddx, double *dweight,
                                 double *dbias) noexcept nogil
