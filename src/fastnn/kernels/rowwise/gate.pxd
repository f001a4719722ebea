"""Gated units by pointer, without the GIL, on `rows` rows; `ld...` is the row stride in elements.

    gate                y (n columns) = act(x_0..x_(n-1)) * (x_n..x_(2n-1))
    gate_backward       dx (2n columns) from dy (n columns) and x

`kind` is a code of fastnn_activations.h. No output overlaps an input. Returns 0 or 2 (an unknown
kind, a negative size, a missing pointer).
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef int gate_real(int kind, int64_t rows, int64_t n, const real *x, int64_t ldx, real *y,
                   int64_t ldy) noexcept nogil
cdef int gate_backward_real(int kind, int64_t rows, int64_t n, const real *dy, int64_t lddy,
                            const real *x, int64_t ldx, real *dx, int64_t lddx) noexcept nogil
