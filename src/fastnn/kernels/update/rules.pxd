"""Optimizer steps over flat arrays, by pointer, without the GIL.

g is read, all others are updated; none overlap. m may be NULL for SGD and RMSprop without momentum,
c for RMSprop that is not centered. Arrays may be cut anywhere and stepped part by part with the
same bits. Returns 0 or 2 (n < 0, a missing pointer, step < 1, a number that arrays.pyx refuses: a
beta, alpha or decay outside its range, eps or lr_decay below 0; all but grad_scale are finite).
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport fastnn_step, real

cdef int sgd_real(
    int64_t n, real *p, const real *g, real *m, double lr, double momentum, int nesterov,
    double weight_decay, double grad_scale
) noexcept nogil
cdef int adam_real(
    int64_t n, real *p, const real *g, real *m, real *v, int64_t step, double lr, double beta1,
    double beta2, double eps, double weight_decay, int decoupled, double grad_scale
) noexcept nogil
cdef int rmsprop_real(
    int64_t n, real *p, const real *g, real *v, real *m, real *c, double lr, double alpha,
    double eps, double momentum, double weight_decay, double grad_scale
) noexcept nogil
cdef int adagrad_real(
    int64_t n, real *p, const real *g, real *v, int64_t step, double lr, double lr_decay,
    double eps, double weight_decay, double grad_scale
) noexcept nogil
cdef int ema_real(int64_t n, real *average, const real *p, double decay) noexcept nogil

# For arrays.pyx.
cdef int update_flat(
    int64_t n, real *p, const real *g, real *m, real *v, real *c, const fastnn_step *step,
    int64_t n_stops, const int64_t *stops
) noexcept nogil
cdef int scale_real(int64_t n, double factor, real *x) noexcept nogil
# The scalars of each rule.
cdef fastnn_step sgd_step(
    bint has_momentum, double lr, double momentum, bint nesterov, double weight_decay,
    double grad_scale
) noexcept nogil
cdef fastnn_step adam_step(
    int64_t step, double lr, double beta1, double beta2, double eps, double weight_decay,
    bint decoupled, double grad_scale
) noexcept nogil
cdef fastnn_step rmsprop_step(
    double lr, double alpha, double eps, double momentum, double weight_decay, double grad_scale
) noexcept nogil
cdef fastnn_step adagrad_step(
    int64_t step, double lr, double lr_decay, double eps, double weight_decay, double grad_scale
) noexcept nogil
cdef fastnn_step ema_step(double decay) noexcept nogil
