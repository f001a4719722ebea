"""Activations by pointer, without the GIL, on `rows` rows of `cols` contiguous elements.

`ld...` is the row stride in elements. `kind` is a code of fastnn_activations.h, whose table says
whether `saved`, which backward reads, is the output or the input. The output may be an input.
Returns 0 or 2 (an unknown kind, a negative size, a missing pointer).
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

# Return the code of an activation, given its name or None; ValueError for an unknown name.
cdef int activation_code(object activation, str op) except -1

# Return the number of threads for an activation of this size.
cdef int team_for(int kind, bint backward, int64_t rows, int64_t cols) noexcept nogil
