"""Losses with their gradients by pointer, without the GIL.

Returns 0, 1 (no memory) or 2 (a negative size, no rows, a missing pointer, a target that is no column); outputs are written only when 0 is returned.
"""
from libc.stdint cimport int64_t

cdef int cross_entropy_f32(int64_t rows, int64_t cols, const float *logits, int64_t ldlogits, const int64_t *targets,
                           float *dlogits, int64_t lddlogits, double *loss) noexcept nogil
cdef int cross_entropy_f64(int64_t rows, int64_t cols, const double *logits, int64_t ldlogits, const int64_t *targets,
                           double *dlogits, int64_t lddlogits, double *loss) noexcept nogil
cdef int mse_f32(int64_t n, const float *pred, const float *target, float *dpred, double *loss) noexcept nogil
cdef int mse_f64(int64_t n, const double *pred, const double *target, double *dpred, double *loss) noexcept nogil
