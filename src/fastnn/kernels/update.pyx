"""Steps of optimizers over flat arrays, in one pass over memory, in place.

    SGD     d = s g + wd p;  m = mu m + d;  p -= lr m                 (Nesterov: p -= lr (d + mu m); without momentum: p -= lr d)
    Adam    d = s g + wd p;  m = b1 m + (1 - b1) d;  v = b2 v + (1 - b2) d^2;  p -= lr m' / (sqrt(v') + eps)      (Kingma and Ba 2015)
    AdamW   d = s g;  p *= 1 - lr wd  first                                                                       (Loshchilov and Hutter 2019)

m' = m / (1 - b1^t) and v' = v / (1 - b2^t) correct the bias; those scalars are computed in double, once per step. s scales the gradient as it is
read (clipping, accumulation). Accuracy: a few roundings of the real type an element.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport sqrt
from libc.stdint cimport int64_t



from .arrays cimport BAD_ARGUMENT, OK, check_overlap, check_status, output_like, real_type, shaped_like
from .dispatch cimport fastnn_adam_f32, fastnn_adam_f64, leaves_f32, leaves_f64, real, scale_run, sgd_run
from .threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 4096        # elements: threads divide a run in such blocks
    GRAIN = 16384       # elements a thread should have. Adam over 32,768: 5.5 us by one thread, 3.9 by two


cdef bint my_run(int team, int thread, int64_t n, int64_t *first, int64_t *count) noexcept nogil:
    """This thread's run of whole blocks of 0..n-1; False if it has none."""
    cdef int64_t last
    share((n + BLOCK - 1) // BLOCK, team, thread, first, &last)
    first[0] *= BLOCK
    count[0] = min(last * BLOCK, n) - first[0]
    return count[0] > 0


cdef void sgd_share(int team, int thread, int64_t n, real *p, const real *g, real *m, real lr, real momentum, int nesterov,
                    real weight_decay, real grad_scale) noexcept nogil:
    cdef int64_t i, count
    if my_run(team, thread, n, &i, &count):
        sgd_run(count, p + i, g + i, NULL if m is NULL else m + i, lr, momentum, nesterov, weight_decay, grad_scale)


cdef int sgd(int64_t n, real *p, const real *g, real *m, double lr, double momentum, int nesterov, double weight_decay,
             double grad_scale) noexcept nogil:
    cdef int team
    if n < 0 or (n > 0 and (p is NULL or g is NULL)) or (n > 0 and m is NULL and momentum != 0):
        return BAD_ARGUMENT
    team = threads_for(n, GRAIN)
    if team == 1:
        sgd_share(1, 0, n, p, g, m, <real>lr, <real>momentum, nesterov, <real>weight_decay, <real>grad_scale)
    else:
        with parallel(num_threads=team):
            sgd_share(team_size(), thread_id(), n, p, g, m, <real>lr, <real>momentum, nesterov, <real>weight_decay, <real>grad_scale)
    return OK


cdef void adam_share(int team, int thread, int64_t n, real *p, const real *g, real *m, real *v, const fastnn_adam_f64 *s) noexcept nogil:
    cdef int64_t i, count
    cdef fastnn_adam_f32 narrow
    if not my_run(team, thread, n, &i, &count):
        return
    if real is float:
        narrow = fastnn_adam_f32(<float>s.grad_scale, <float>s.l2, <float>s.keep, <float>s.beta1, <float>s.beta2, <float>s.one_minus_beta1,
                                 <float>s.one_minus_beta2, <float>s.step_size, <float>s.inv_sqrt_correction2, <float>s.eps)
        leaves_f32.adam(count, p + i, g + i, m + i, v + i, &narrow)
    else:
        leaves_f64.adam(count, p + i, g + i, m + i, v + i, s)


cdef int adam(int64_t n, real *p, const real *g, real *m, real *v, int64_t step, double lr, double beta1, double beta2, double eps,
              double weight_decay, int decoupled, double grad_scale) noexcept nogil:
    cdef int team
    cdef fastnn_adam_f64 s
    if n < 0 or step < 1 or (n > 0 and (p is NULL or g is NULL or m is NULL or v is NULL)):
        return BAD_ARGUMENT
    s.grad_scale = grad_scale
    s.l2 = 0 if decoupled else weight_decay
    s.keep = 1 - lr * weight_decay if decoupled else 1
    s.beta1, s.beta2, s.eps = beta1, beta2, eps
    s.one_minus_beta1, s.one_minus_beta2 = 1 - beta1, 1 - beta2
    s.step_size = lr / (1 - beta1 ** <double>step)
    s.inv_sqrt_correction2 = 1 / sqrt(1 - beta2 ** <double>step)
    team = threads_for(n, GRAIN)
    if team == 1:
        adam_share(1, 0, n, p, g, m, v, &s)
    else:
        with parallel(num_threads=team):
            adam_share(team_size(), thread_id(), n, p, g, m, v, &s)
    return OK


cdef void scale_share(int team, int thread, int64_t n, real factor, real *x) noexcept nogil:
    cdef int64_t i, count
    if my_run(team, thread, n, &i, &count):
        scale_run(count, factor, x + i)


cdef int scale_flat(int64_t n, double factor, real *x) noexcept nogil:
    cdef int team
    if n < 0 or (n > 0 and x is NULL):
        return BAD_ARGUMENT
    team = threads_for(n, 2 * GRAIN)
    if team == 1:
        scale_share(1, 0, n, <real>factor, x)
    else:
        with parallel(num_threads=team):
            scale_share(team_size(), thread_id(), n, <real>factor, x)
    return OK


cdef int sgd_f32(int64_t n, float *p, const float *g, float *m, double lr, double momentum, int nesterov, double weight_decay,
                 double grad_scale) noexcept nogil:
    return sgd(n, p, g, m, lr, momentum, nesterov, weight_decay, grad_scale)


cdef int sgd_f64(int64_t n, double *p, const double *g, double *m, double lr, double momentum, int nesterov, double weight_decay,
                 double grad_scale) noexcept nogil:
    return sgd(n, p, g, m, lr, momentum, nesterov, weight_decay, grad_scale)


cdef int adam_f32(int64_t n, float *p, const float *g, float *m, float *v, int64_t step, double lr, double beta1, double beta2, double eps,
                  double weight_decay, int decoupled, double grad_scale) noexcept nogil:
    return adam(n, p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled, grad_scale)


cdef int adam_f64(int64_t n, double *p, const double *g, double *m, double *v, int64_t step, double lr, double beta1, double beta2,
                  double eps, double weight_decay, int decoupled, double grad_scale) noexcept nogil:
    return adam(n, p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled, grad_scale)


cdef int scale_f32(int64_t n, double factor, float *x) noexcept nogil:
    return scale_flat(n, factor, x)


cdef int scale_f64(int64_t n, double factor, double *x) noexcept nogil:
    return scale_flat(n, factor, x)


cdef int check_flat(tuple arrays, tuple names, str op) except -1:
    """All are C-contiguous, of the type and shape of the first, apart from each other, and all but the gradient "g" are writable."""
    cdef cnp.ndarray x, like = <cnp.ndarray>arrays[0]
    for array, name in zip(arrays, names):
        x = shaped_like(array, like, op, name, names[0]) if name == "g" else output_like(array, like, op, name, names[0])
        if not cnp.PyArray_IS_C_CONTIGUOUS(x):
            raise ValueError(f"{op}: {name} must be C-contiguous")
    for i in range(len(arrays)):
        for j in range(i):
            check_overlap(<cnp.ndarray>arrays[i], <cnp.ndarray>arrays[j], op, names[i], names[j])
    return 0


def sgd_update(p, g, m=None, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0, grad_scale=1.0):
    """One step of stochastic gradient descent, in place (*Dive into Deep Learning*, sections 12.4 and 12.6).

    Parameters
    ----------
    p, g : ndarray of float32 or float64, one type and shape, C-contiguous
        Parameters (updated) and their gradient (read).
    m : ndarray like p
        The momentum (updated), zeros at first; needed with momentum only.
    lr, momentum, weight_decay, grad_scale : float
    nesterov : bool

    Raises
    ------
    TypeError, ValueError
        If types or shapes differ, an output is read-only, arrays overlap, or m is missing. Nothing has been changed then.
    """
    cdef int typenum = real_type(p, "sgd_update", "p"), status
    if m is None and (momentum != 0 or nesterov):
        raise ValueError("sgd_update: momentum needs m, an array like p")
    check_flat((p, g) if m is None else (p, g, m), ("p", "g", "m"), "sgd_update")
    cdef int64_t n = cnp.PyArray_SIZE(<cnp.ndarray>p)
    cdef void *pp = cnp.PyArray_DATA(<cnp.ndarray>p)
    cdef void *pg = cnp.PyArray_DATA(<cnp.ndarray>g)
    cdef void *pm = NULL if m is None else cnp.PyArray_DATA(<cnp.ndarray>m)
    cdef double c_lr = lr, c_momentum = momentum, c_decay = weight_decay, c_scale = grad_scale
    cdef bint c_nesterov = nesterov
    with nogil:
        if typenum == cnp.NPY_FLOAT:
            status = sgd(n, <float*>pp, <float*>pg, <float*>pm, c_lr, c_momentum, c_nesterov, c_decay, c_scale)
        else:
            status = sgd(n, <double*>pp, <double*>pg, <double*>pm, c_lr, c_momentum, c_nesterov, c_decay, c_scale)
    check_status(status, "sgd_update")


cdef int any_adam(object p, object g, object m, object v, object step, double lr, double beta1, double beta2, double eps,
                  double weight_decay, bint decoupled, double grad_scale, str op) except -1:
    cdef int typenum = real_type(p, op, "p"), status
    cdef int64_t t = step
    if t < 1:
        raise ValueError(f"{op}: step counts from 1, not {step}")
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"{op}: beta1 and beta2 must be in [0, 1), not {beta1} and {beta2}")
    check_flat((p, g, m, v), ("p", "g", "m", "v"), op)
    cdef int64_t n = cnp.PyArray_SIZE(<cnp.ndarray>p)
    cdef void *pp = cnp.PyArray_DATA(<cnp.ndarray>p)
    cdef void *pg = cnp.PyArray_DATA(<cnp.ndarray>g)
    cdef void *pm = cnp.PyArray_DATA(<cnp.ndarray>m)
    cdef void *pv = cnp.PyArray_DATA(<cnp.ndarray>v)
    with nogil:
        if typenum == cnp.NPY_FLOAT:
            status = adam(n, <float*>pp, <float*>pg, <float*>pm, <float*>pv, t, lr, beta1, beta2, eps, weight_decay, decoupled, grad_scale)
        else:
            status = adam(n, <double*>pp, <double*>pg, <double*>pm, <double*>pv, t, lr, beta1, beta2, eps, weight_decay, decoupled, grad_scale)
    return check_status(status, op)


def adam_update(p, g, m, v, *, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, grad_scale=1.0):
    """One step of Adam, in place; weight decay is added to the gradient (L2 regularisation).

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
        If types or shapes differ, an output is read-only, arrays overlap, step < 1 or a beta is outside [0, 1). Nothing has been changed then.
    """
    any_adam(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, False, grad_scale, "adam_update")


def adamw_update(p, g, m, v, *, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2, grad_scale=1.0):
    """One step of AdamW, in place: as `adam_update`, but weight decay shrinks the parameters themselves, p *= 1 - lr * weight_decay."""
    any_adam(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, True, grad_scale, "adamw_update")


def scale(x, factor):
    """x *= factor, in place.

    Parameters
    ----------
    x : ndarray of float32 or float64, C-contiguous
    factor : float

    Raises
    ------
    TypeError, ValueError
        If x is of another type, read-only or not contiguous.
    """
    cdef int typenum = real_type(x, "scale", "x"), status
    check_flat((x,), ("x",), "scale")
    cdef double c_factor = factor
    cdef int64_t n = cnp.PyArray_SIZE(<cnp.ndarray>x)
    cdef void *px = cnp.PyArray_DATA(<cnp.ndarray>x)
    with nogil:
        status = scale_flat(n, c_factor, <float*>px) if typenum == cnp.NPY_FLOAT else scale_flat(n, c_factor, <double*>px)
    check_status(status, "scale")
