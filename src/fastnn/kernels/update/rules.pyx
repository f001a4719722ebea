"""Optimizer steps over flat arrays, in one pass over memory, in place.

    d = s g + wd p, then p -= lr u, with u by the rule:
    SGD      u = d; with momentum m = mu m + d, u = m, or (Nesterov) u = d + mu m
    Adam     m = b1 m + (1 - b1) d;  v = b2 v + (1 - b2) d^2;  u = m' / (sqrt(v') + eps)
    AdamW    the same with d = s g, and p -= lr (wd p + u)
    RMSprop  v = a v + (1 - a) d^2;  u = d / (sqrt(v) + eps);  with momentum m = mu m + u, u = m;
             centered: v - c^2 under the root, c = a c + (1 - a) d
    Adagrad  v += d^2;  u = d / (sqrt(v) + eps);  lr / (1 + (t - 1) lr_decay) for lr
    EMA      average += (1 - decay) (p - average)

Nesterov momentum after Sutskever et al. 2013; Adam: Kingma and Ba 2015; AdamW: Loshchilov and
Hutter 2019; RMSprop: Tieleman and Hinton 2012, Graves 2013; Adagrad: Duchi, Hazan and Singer 2011.
The formulas are PyTorch's.

In the rules with squares the magnitude of a finite d is limited to the root of the largest real
(1.8e19 in float32; in Adagrad, whose sum never shrinks, 1/64 of it), so that no gradient freezes a
parameter for good. v - c^2 is at least 4 ulp of v, which bounds the steps under a steady gradient.
m' = m / (1 - b1^t) and v' = v / (1 - b2^t) correct the bias; those scalars are computed in double,
once per step. s scales the gradient as it is read (clipping, accumulation). Accuracy: a few
roundings of the real type per element. The functions on arrays are in arrays.pyx.

Threads split an array into blocks, and runs with and without decay. Each element is updated from
its own values alone, so the bits depend neither on the threads nor on where an array is cut.
"""
from libc.math cimport pow, sqrt
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, OK
from ..ground.dispatch cimport (
    FASTNN_ADAGRAD, FASTNN_ADAM, FASTNN_AVERAGE, FASTNN_MOMENTUM, FASTNN_NESTEROV, FASTNN_RMSPROP,
    FASTNN_SGD, fastnn_step, real, scale_run, update_run,
)
from ..ground.machine cimport machine
from ..ground.scalars cimport is_finite, is_kept_part, is_nonnegative, is_probability
from ..ground.threads cimport run_team, share_blocks, threads_for

cdef enum:
    BLOCK = 4096        # elements: an array is split between threads in blocks of this size


cdef void update_part(
    int team, int thread, int64_t n, real *p, const real *g, real *m, real *v, real *c,
    const fastnn_step *step, int64_t n_stops, const int64_t *stops
) noexcept nogil:
    """Update this thread's run, cut where weight decay ends (stops[0]), resumes (stops[1]), ..."""
    cdef int64_t i, stop, last, run = 0
    cdef fastnn_step steps[2]       # with and without weight decay
    steps[0] = steps[1] = step[0]
    steps[1].l2 = steps[1].shrink = 0
    share_blocks(n, BLOCK, team, thread, &i, &last)
    while i < last:
        while run < n_stops and stops[run] <= i:
            run += 1
        stop = min(stops[run], last) if run < n_stops else last
        update_run(
            stop - i, p + i, g + i, NULL if m is NULL else m + i, NULL if v is NULL else v + i,
            NULL if c is NULL else c + i, &steps[run % 2]
        )
        i = stop


cdef bint complete(
    const fastnn_step *s, const void *p, const void *g, const void *m, const void *v
) noexcept nogil:
    """True if the arrays that the rule needs are given."""
    if p is NULL or g is NULL:
        return False
    if (
        m is NULL
        and (s.rule == FASTNN_MOMENTUM or s.rule == FASTNN_NESTEROV or s.rule == FASTNN_ADAM)
    ):
        return False
    return v is not NULL or not (
        s.rule == FASTNN_ADAM or s.rule == FASTNN_RMSPROP or s.rule == FASTNN_ADAGRAD
    )


cdef int update_flat(
    int64_t n, real *p, const real *g, real *m, real *v, real *c, const fastnn_step *step,
    int64_t n_stops, const int64_t *stops
) noexcept nogil:
    if n < 0 or (n > 0 and not complete(step, p, g, m, v)):
        return BAD_ARGUMENT
    run_team(threads_for(n, machine.pass_grain / 2), update_part[real], n, p, g, m, v, c, step,
             n_stops, stops)
    return OK


cdef void scale_part(int team, int thread, int64_t n, real factor, real *x) noexcept nogil:
    cdef int64_t i, last
    share_blocks(n, BLOCK, team, thread, &i, &last)
    scale_run(last - i, factor, x + i)


cdef int scale_real(int64_t n, double factor, real *x) noexcept nogil:
    if n < 0 or (n > 0 and x is NULL):
        return BAD_ARGUMENT
    run_team(threads_for(n, machine.pass_grain), scale_part[real], n, <real>factor, x)
    return OK


# The scalars of each rule.

cdef fastnn_step sgd_step(
    bint has_momentum, double lr, double momentum, bint nesterov, double weight_decay,
    double grad_scale
) noexcept nogil:
    return fastnn_step(
        rule=(FASTNN_NESTEROV if nesterov else FASTNN_MOMENTUM) if has_momentum else FASTNN_SGD,
        grad_scale=grad_scale, l2=weight_decay, shrink=0, lr=lr, keep1=momentum, take1=1, keep2=0,
        take2=0, unbias2=1, eps=0
    )


cdef fastnn_step adam_step(
    int64_t step, double lr, double beta1, double beta2, double eps, double weight_decay,
    bint decoupled, double grad_scale
) noexcept nogil:
    return fastnn_step(
        rule=FASTNN_ADAM, grad_scale=grad_scale, l2=0 if decoupled else weight_decay,
        shrink=lr * weight_decay if decoupled else 0, lr=lr / (1 - pow(beta1, step)), keep1=beta1,
        take1=1 - beta1, keep2=beta2, take2=1 - beta2, unbias2=1 / sqrt(1 - pow(beta2, step)),
        eps=eps
    )


cdef fastnn_step rmsprop_step(
    double lr, double alpha, double eps, double momentum, double weight_decay, double grad_scale
) noexcept nogil:
    return fastnn_step(
        rule=FASTNN_RMSPROP, grad_scale=grad_scale, l2=weight_decay, shrink=0, lr=lr,
        keep1=momentum, take1=1, keep2=alpha, take2=1 - alpha, unbias2=1, eps=eps
    )


cdef fastnn_step adagrad_step(
    int64_t step, double lr, double lr_decay, double eps, double weight_decay, double grad_scale
) noexcept nogil:
    return fastnn_step(
        rule=FASTNN_ADAGRAD, grad_scale=grad_scale, l2=weight_decay, shrink=0,
        lr=lr / (1 + (step - 1) * lr_decay), keep1=0, take1=0, keep2=0, take2=0, unbias2=1, eps=eps
    )


cdef fastnn_step ema_step(double decay) noexcept nogil:
    return fastnn_step(
        rule=FASTNN_AVERAGE, grad_scale=1, l2=0, shrink=0, lr=0, keep1=0, take1=1 - decay, keep2=0,
        take2=0, unbias2=1, eps=0
    )


# The pointer API.

cdef int sgd_real(
    int64_t n, real *p, const real *g, real *m, double lr, double momentum, int nesterov,
    double weight_decay, double grad_scale
) noexcept nogil:
    if not (is_finite(lr) and is_finite(momentum) and is_finite(weight_decay)):
        return BAD_ARGUMENT
    cdef fastnn_step s = sgd_step(
        m is not NULL or momentum != 0, lr, momentum, nesterov, weight_decay, grad_scale
    )
    return update_flat(n, p, g, m, NULL, NULL, &s, 0, NULL)


cdef int adam_real(
    int64_t n, real *p, const real *g, real *m, real *v, int64_t step, double lr, double beta1,
    double beta2, double eps, double weight_decay, int decoupled, double grad_scale
) noexcept nogil:
    if not (
        step >= 1 and is_finite(lr) and is_kept_part(beta1) and is_kept_part(beta2)
        and is_nonnegative(eps) and is_finite(weight_decay)
    ):
        return BAD_ARGUMENT
    cdef fastnn_step s = adam_step(step, lr, beta1, beta2, eps, weight_decay, decoupled, grad_scale)
    return update_flat(n, p, g, m, v, NULL, &s, 0, NULL)


cdef int rmsprop_real(
    int64_t n, real *p, const real *g, real *v, real *m, real *c, double lr, double alpha,
    double eps, double momentum, double weight_decay, double grad_scale
) noexcept nogil:
    if not (
        is_finite(lr) and is_kept_part(alpha) and is_nonnegative(eps) and is_finite(momentum)
        and is_finite(weight_decay) and (m is not NULL or n == 0 or momentum == 0)
    ):
        return BAD_ARGUMENT
    cdef fastnn_step s = rmsprop_step(lr, alpha, eps, momentum, weight_decay, grad_scale)
    return update_flat(n, p, g, m, v, c, &s, 0, NULL)


cdef int adagrad_real(
    int64_t n, real *p, const real *g, real *v, int64_t step, double lr, double lr_decay,
    double eps, double weight_decay, double grad_scale
) noexcept nogil:
    if not (
        step >= 1 and is_finite(lr) and is_nonnegative(lr_decay) and is_nonnegative(eps)
        and is_finite(weight_decay)
    ):
        return BAD_ARGUMENT
    cdef fastnn_step s = adagrad_step(step, lr, lr_decay, eps, weight_decay, grad_scale)
    return update_flat(n, p, g, NULL, v, NULL, &s, 0, NULL)


cdef int ema_real(int64_t n, real *average, const real *p, double decay) noexcept nogil:
    if not is_probability(decay):
        return BAD_ARGUMENT
    cdef fastnn_step s = ema_step(decay)
    return update_flat(n, average, p, NULL, NULL, NULL, &s, 0, NULL)
