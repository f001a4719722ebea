"""Backward of y = act(x w + b) by pointer, without the GIL; see linear.pyx. `saved` is what activation.pxd says backward reads.

Returns 0, 1 (no memory) or 2 (a negative size, a missing pointer)."""
from libc.stdint cimport int64_t

cdef int linear_backward_f32(int64_t n, int64_t n_in, int64_t n_out, const float *dy, const float *x, int64_t rsx, int64_t csx,
                             const float *w, int64_t rsw, int64_t csw, const float *saved, int activation, float *dw, float *db,
                             float *dx) noexcept nogil
cdef int linear_backward_f64(int64_t n, int64_t n_in, int64_t n_out, const double *dy, const double *x, int64_t rsx, int64_t csx,
                             const double *w, int64_t rsw, int64_t csw, const double *saved, int activation, double *dw, double *db,
                             double *dx) noexcept nogil
