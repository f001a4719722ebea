"""The optimizer steps of rules.pyx as functions on arrays, in place."""
cimport numpy as cnp
from libc.stdint cimport INT64_MAX, int64_t

from ..ground.arrays cimport (
    call_typed, check_contiguous, check_overlap, check_status, is_plain, output_like, real_type,
    shaped_like,
)
from ..ground.dispatch cimport fastnn_step
from ..ground.scalars cimport (
    any_number, finite_number, flag, kept_part, nonnegative_number, probability, whole_number,
)
from .rules cimport (adagrad_step, adam_step, ema_step, rmsprop_step, scale_real, sgd_step,
                     update_flat)

from ..ground.scalars import given

cnp.import_array()


cdef struct Flat:
    int typenum
    int64_t n
    void *x[5]              # p, g, m, v, c; NULL for None


cdef int flat(tuple arrays, tuple names, str op, Flat *f, int optional=0) except -1:
    """Check and describe the arrays.

    They must be C-contiguous, of the type and shape of the first, and must not overlap. All but the
    second, the gradient, must be writable. Those whose bit is set in `optional` may be None.
    """
    cdef cnp.ndarray x, like
    cdef int i, j
    f.typenum = real_type(arrays[0], op, names[0])
    like = <cnp.ndarray>arrays[0]
    f.n = cnp.PyArray_SIZE(like)
    for i in range(5):
        f.x[i] = NULL
        if i >= len(arrays) or (arrays[i] is None and optional & 1 << i):
            continue
        x = (
            shaped_like(arrays[i], like, op, names[i], names[0]) if i == 1
            else output_like(arrays[i], like, op, names[i], names[0])
        )
        check_contiguous(x, op, names[i])
        f.x[i] = cnp.PyArray_DATA(x)
        for j in range(i):
            if (
                f.x[j] is not NULL
                and <char*>f.x[j] < <char*>f.x[i] + cnp.PyArray_NBYTES(x)
                and <char*>f.x[i] < <char*>f.x[j] + cnp.PyArray_NBYTES(x)
            ):
                check_overlap(x, <cnp.ndarray>arrays[j], op, names[i], names[j])
    return 0


cdef int run(
    const Flat *f, const fastnn_step *s, str op, int64_t n_stops=0, const int64_t *stops=NULL
) except -1:
    return check_status(
        call_typed(
            f.typenum, True, update_flat[float], update_flat[double], f.n, f.x[0], f.x[1], f.x[2],
            f.x[3], f.x[4], s, n_stops, stops
        ), op
    )


cdef int64_t step_number(object step, str op) except -1:
    return whole_number(step, 1, INT64_MAX, op, "step")


def sgd_update(p, g, m=None, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0,
               grad_scale=1.0):
    """Take one step of stochastic gradient descent, in place.

    *Dive into Deep Learning*, sections 12.4 and 12.6.

    Parameters
    ----------
    p, g : ndarray of float32 or float64, one type and shape, C-contiguous
        Parameters (updated) and their gradient (read).
    m : ndarray like p
        The momentum (updated), zeros at first; needed only with momentum.
    lr, momentum, weight_decay, grad_scale : float
    nesterov : bool

    Raises
    ------
    TypeError, ValueError
        If types or shapes differ, an output is read-only, arrays overlap, or m is missing. Then
        nothing has been changed.

    Examples
    --------
    >>> p = np.float32([1, 2])
    >>> fastnn.kernels.sgd_update(p, np.float32([1, -1]), lr=0.5)
    >>> p
    array([0.5, 2.5], dtype=float32)
    """
    cdef str op = "sgd_update"
    cdef double mu = finite_number(momentum, op, "momentum")
    cdef fastnn_step s = sgd_step(m is not None, finite_number(lr, op, "lr"), mu,
                                  flag(nesterov, op, "nesterov"),
                                  finite_number(weight_decay, op, "weight_decay"),
                                  any_number(grad_scale, op, "grad_scale"))
    if m is None and (mu != 0 or nesterov):
        raise ValueError("sgd_update: momentum needs m, an array like p")
    cdef Flat f
    flat((p, g, m), ("p", "g", "m"), op, &f, 1 << 2)
    run(&f, &s, op)


cdef int any_adam(tuple arrays, object step, object lr, object beta1, object beta2, object eps,
                  object weight_decay, bint decoupled, object grad_scale, str op,
                  object stops=None) except -1:
    cdef fastnn_step s = adam_step(step_number(step, op), finite_number(lr, op, "lr"),
                                   kept_part(beta1, op, "beta1"), kept_part(beta2, op, "beta2"),
                                   nonnegative_number(eps, op, "eps"),
                                   finite_number(weight_decay, op, "weight_decay"), decoupled,
                                   any_number(grad_scale, op, "grad_scale"))
    cdef Flat f
    flat(arrays, ("p", "g", "m", "v"), op, &f)
    if stops is None:
        return run(&f, &s, op)
    if not (is_plain(stops) and cnp.PyArray_TYPE(<cnp.ndarray>stops) == cnp.NPY_INT64
            and cnp.PyArray_NDIM(<cnp.ndarray>stops) == 1
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>stops)):
        raise TypeError(f"{op}: decay_stops must be a contiguous vector of int64, "
                        f"got {given(stops)}")
    cdef const int64_t *ends = <const int64_t*>cnp.PyArray_DATA(<cnp.ndarray>stops)
    cdef int64_t i, n_stops = cnp.PyArray_SIZE(<cnp.ndarray>stops)
    for i in range(1, n_stops):
        if ends[i] < ends[i - 1]:
            raise ValueError(
                f"{op}: decay_stops must ascend, but {ends[i]} comes after {ends[i - 1]}"
            )
    return run(&f, &s, op, n_stops, ends)


def adam_update(p, g, m, v, *, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0,
                grad_scale=1.0):
    """Take one step of Adam, in place; weight decay is added to the gradient (L2 regularization).

    Parameters
    ----------
    p, g : ndarray of float32 or float64, one type and shape, C-contiguous
        Parameters (updated) and their gradient (read).
    m, v : ndarray like p
        First and second moments (updated), zeros at first.
    step : int
        The number of this step, from 1.
    lr, beta1, beta2, eps, weight_decay, grad_scale : float

    Raises
    ------
    TypeError, ValueError
        If types or shapes differ, an output is read-only, arrays overlap, step < 1 or a beta is
        outside [0, 1). Then nothing has been changed.

    Examples
    --------
    >>> p, m, v = np.float32([1]), np.float32([0]), np.float32([0])
    >>> fastnn.kernels.adam_update(p, np.float32([2]), m, v, step=1, lr=0.5)
    >>> p.round(3), m.round(3), v.round(3)
    (array([0.5], dtype=float32), array([0.2], dtype=float32), array([0.004], dtype=float32))
    """
    any_adam(
        (p, g, m, v), step, lr, beta1, beta2, eps, weight_decay, False, grad_scale, "adam_update"
    )


def adamw_update(p, g, m, v, *, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2,
                 grad_scale=1.0, decay_stops=None):
    """Take one step of AdamW, in place.

    As `adam_update`, but weight decay multiplies the parameters by 1 - lr * weight_decay.

    Parameters
    ----------
    decay_stops : ndarray of int64 (R,), optional
        Ascending indices that turn decay off and on: elements before the first decay, those from
        the first to the second do not, those from the second to the third do, and so on. None: all
        decay.

    Raises
    ------
    TypeError, ValueError
        As `adam_update`, or if decay_stops is of another type or does not ascend. Then nothing has
        been changed.

    Examples
    --------
    >>> p, m, v = np.float32([1]), np.float32([0]), np.float32([0])
    >>> fastnn.kernels.adamw_update(p, np.float32([2]), m, v, step=1, lr=0.5, weight_decay=0.1)
    >>> p.round(3)
    array([0.45], dtype=float32)
    """
    any_adam(
        (p, g, m, v), step, lr, beta1, beta2, eps, weight_decay, True, grad_scale, "adamw_update",
        decay_stops
    )


def rmsprop_update(p, g, v, m=None, c=None, *, lr, alpha=0.99, eps=1e-8, momentum=0.0,
                   weight_decay=0.0, grad_scale=1.0):
    """Take one step of RMSprop, in place (*Dive into Deep Learning*, section 12.8).

    Parameters
    ----------
    p, g : ndarray of float32 or float64, one type and shape, C-contiguous
        Parameters (updated) and their gradient (read).
    v : ndarray like p
        Running mean of the squared gradient (updated), zeros at first.
    m : ndarray like p
        The momentum (updated), zeros at first; needed only with momentum.
    c : ndarray like p
        Running mean of the gradient (updated), zeros at first. If given, the step is divided by the
        standard deviation of the gradient (centered) instead of the root of its mean square.
    lr, alpha, eps, momentum, weight_decay, grad_scale : float

    Raises
    ------
    TypeError, ValueError
        If types or shapes differ, an output is read-only, arrays overlap, m is missing or alpha is
        outside [0, 1). Then nothing has been changed.

    Examples
    --------
    >>> p, v = np.float32([1]), np.float32([0])
    >>> fastnn.kernels.rmsprop_update(p, np.float32([2]), v, lr=0.01)
    >>> p.round(3), v.round(3)
    (array([0.9], dtype=float32), array([0.04], dtype=float32))
    """
    cdef str op = "rmsprop_update"
    cdef double mu = finite_number(momentum, op, "momentum")
    cdef fastnn_step s = rmsprop_step(finite_number(lr, op, "lr"), kept_part(alpha, op, "alpha"),
                                      nonnegative_number(eps, op, "eps"), mu,
                                      finite_number(weight_decay, op, "weight_decay"),
                                      any_number(grad_scale, op, "grad_scale"))
    if m is None and mu != 0:
        raise ValueError("rmsprop_update: momentum needs m, an array like p")
    cdef Flat f
    flat((p, g, m, v, c), ("p", "g", "m", "v", "c"), op, &f, 1 << 2 | 1 << 4)
    run(&f, &s, op)


def adagrad_update(p, g, v, *, step, lr, lr_decay=0.0, eps=1e-10, weight_decay=0.0,
                   grad_scale=1.0):
    """Take one step of Adagrad, in place (*Dive into Deep Learning*, section 12.7).

    Parameters
    ----------
    p, g : ndarray of float32 or float64, one type and shape, C-contiguous
        Parameters (updated) and their gradient (read).
    v : ndarray like p
        Sum of the squared gradients (updated).
    step : int
        The number of this step, from 1.
    lr, lr_decay, eps, weight_decay, grad_scale : float
        The step is taken with lr / (1 + (step - 1) * lr_decay).

    Raises
    ------
    TypeError, ValueError
        If types or shapes differ, an output is read-only, arrays overlap or step < 1. Then nothing
        has been changed.

    Examples
    --------
    >>> p, v = np.float32([1]), np.float32([0])
    >>> fastnn.kernels.adagrad_update(p, np.float32([2]), v, step=1, lr=0.5)
    >>> p, v
    (array([0.5], dtype=float32), array([4.], dtype=float32))
    """
    cdef str op = "adagrad_update"
    cdef fastnn_step s = adagrad_step(step_number(step, op), finite_number(lr, op, "lr"),
                                      nonnegative_number(lr_decay, op, "lr_decay"),
                                      nonnegative_number(eps, op, "eps"),
                                      finite_number(weight_decay, op, "weight_decay"),
                                      any_number(grad_scale, op, "grad_scale"))
    cdef Flat f
    flat((p, g, None, v), ("p", "g", "m", "v"), op, &f, 1 << 2)
    run(&f, &s, op)


def ema_update(average, p, decay):
    """Take one step of an exponential moving average, in place.

    average += (1 - decay) * (p - average)

    Parameters
    ----------
    average, p : ndarray of float32 or float64, one type and shape, C-contiguous
        The average (updated) and what is averaged (read).
    decay : float
        In [0, 1]: the part of the average that is kept.

    Raises
    ------
    TypeError, ValueError
        If types or shapes differ, the average is read-only, the arrays overlap or decay is outside
        [0, 1]. Then nothing has been changed.

    Examples
    --------
    >>> average = np.float32([0])
    >>> fastnn.kernels.ema_update(average, np.float32([1]), 0.75)
    >>> average
    array([0.25], dtype=float32)
    """
    cdef fastnn_step s = ema_step(probability(decay, "ema_update", "decay"))
    cdef Flat f
    flat((average, p), ("average", "p"), "ema_update", &f)
    run(&f, &s, "ema_update")


def scale(x, factor):
    """Multiply x by factor, in place.

    Parameters
    ----------
    x : ndarray of float32 or float64, C-contiguous
    factor : float

    Raises
    ------
    TypeError, ValueError
        If x is of another type, read-only or not contiguous.

    Examples
    --------
    >>> x = np.float32([1, 2])
    >>> fastnn.kernels.scale(x, 3)
    >>> x
    array([3., 6.], dtype=float32)
    """
    cdef double by = any_number(factor, "scale", "factor")
    cdef Flat f
    flat((x,), ("x",), "scale", &f)
    check_status(
        call_typed(f.typenum, True, scale_real[float], scale_real[double], f.n, by, f.x[0]), "scale"
    )
