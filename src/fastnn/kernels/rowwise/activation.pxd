"""Activations by pointer, without the GIL, on `rows` runs of `cols` contiguous elements.

`ld...` is the distance from a row to the next, in elements.

`kind` is a code of fastnn_activations.h, whose table says whether backward reads the output or the
input of the activation, which `saved` holds. The output may be an input. Returns 0 or 2 (an unknown
kind, a negative size, a missing pointer).
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef int activation_real(
    int kind, int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy
) noexcept nogil
cdef int activation_backward_real(
    int kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *saved,
    int64_t ldsaved, real *dx, int64_t lddx
) noexcept nogil

# The code of an activation by its name, or of None; ValueError for another.
cdef int activation_code(object activation, str op) except -1

# How many threads should work on so many elements.
cdef int team_for(int kind, bint backward, int64_t rows, int64_t cols) noexcept nogil
