"""Elementwise losses with their gradients, by pointer, without the GIL, on n contiguous elements.

`kind` is FASTNN_LOSS_MSE, _L1, _HUBER or _BCE (leaves.h). Element i has the weight
weight[i / per_weight] and, for BCE, the positive weight positive[i % columns]; either may be NULL.
delta is Huber's. The mean is weighted, and 0 if all weights are 0. losses may be NULL; dpred may be
pred or target.
Returns 0, 1 (no memory) or 2 (an unknown kind, a negative size, a mean over nothing, a missing
pointer, n that is not a multiple of per_weight, a weight that is negative, infinite or NaN, a BCE
target of nonzero weight outside 0 to 1, a total of weights whose reciprocal is not finite and above
0 in the type, a Huber delta that is not). Outputs are written only if 0 is returned.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef int loss_real(
    int kind, int64_t n, const real *pred, const real *target, const real *weight,
    int64_t per_weight, const real *positive, int64_t columns, real delta, bint mean, real *dpred,
    real *losses, double *loss
) noexcept nogil
cdef int mse_real(
    int64_t n, const real *pred, const real *target, real *dpred, double *loss
) noexcept nogil

# For elementwise_arrays.pyx.
cdef int64_t wrong_target(
    int64_t n, const real *target, const real *weight, int64_t per_weight
) noexcept nogil

# Shared with cross entropy.
cdef double sum_in_order(int64_t n, const double *x) noexcept nogil
cdef int64_t wrong_weight(int64_t n, const real *weight) noexcept nogil
cdef bint any_outside(int64_t n, const real *x, real most) noexcept nogil
cdef bint can_divide(double total, real like) noexcept nogil
