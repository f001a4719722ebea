"""Activations by pointer, without the GIL, on `rows` runs of `cols` contiguous elements.

`ld...` is the distance from a row to the next, in elements.

`kind` is a code of fastnn_activations.h, whose table says whether backward reads the output or the
input of the activation, which `saved` holds. The output may be an input. Returns 0 or 2 (an unknown
kind, a negative size, a missing pointer).
"""
from libc.stdint cimport int64_t

cdef int activation_f32(int kind, int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy) noexcept nogil
cdef int activation_f64(int kind, int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy) noexcept nogil
cdef int activation_backward_f32(int kind, int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *saved, int64_t ldsaved,
                                 float *dx, int64_t lddx) noexcept nogil
cdef int activation_backward_f64(int kind, int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *saved, int64_t ldsaved,
                                 double *dx, int64_t lddx) noexcept nogil

cdef int relu_f32(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy) noexcept nogil
cdef int relu_f64(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy) noexcept nogil
cdef int relu_backward_f32(int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
                           float *dx, int64_t lddx) noexcept nogil
cdef int relu_backward_f64(int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
                           double *dx, int64_t lddx) noexcept nogil

# The code of an activation by its name, or of None; ValueError for another.
cdef int activation_code(object activation, str op) except -1

# How many threads should work on so many elements.
cdef int team_for(int kind, bint backward, int64_t rows, int64_t cols) noexcept nogil
