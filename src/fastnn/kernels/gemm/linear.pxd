"""The pointer API of the backward pass of y = act(x w + b), without the GIL; see linear.pyx.

`saved` is the output or the input of the activation, whichever its derivative reads
(rowwise/activation.pxd). Returns 0, 1 (no memory) or 2 (a negative size, a missing pointer, an
unknown activation, an overlap).
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef int linear_backward_real(
    int64_t n, int64_t n_in, int64_t n_out, const real *dy, const real *x, int64_t rsx, int64_t csx,
    const real *w, int64_t rsw, int64_t csw, const real *saved, int activation, real *dw, real *db,
    real *dx
) noexcept nogil

# The same; the gradient of w is stored in dw if store_dw, else added.
cdef int linear_backward_store(
    int64_t n, int64_t n_in, int64_t n_out, const real *dy, const real *x, int64_t rsx, int64_t csx,
    const real *w, int64_t rsw, int64_t csw, const real *saved, int activation, real *dw, real *db,
    real *dx, bint store_dw
) noexcept nogil
