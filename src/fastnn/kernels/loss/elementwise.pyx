"""Elementwise losses with their gradients, from one pass over the data.

    mse                (p - t)^2
                       slope 2 (p - t)
    l1                 |p - t|
                       slope sign(p - t), 0 at 0
    huber              (p - t)^2 / 2 up to delta, delta (|p - t| - delta / 2) beyond (Huber 1964)
                       slope p - t, clamped to +-delta
    bce_with_logits    w t log(1 + exp(-x)) + (1 - t) log(1 + exp(x))
                       slope (1 - t) sigmoid(x) - w t sigmoid(-x)

*Dive into Deep Learning*, sections 3.1.1.2 and 5.7. The two terms of BCE have the same sign, so a
small loss is as accurate as a large one: within 8 eps. Losses are summed in blocks of fixed size,
over short chunks in the real type and over the chunks in double, in a fixed order, so the bits do
not depend on the number of threads.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memcpy

import numpy as np

from ..ground.arrays cimport (
    BAD_ARGUMENT, NO_MEMORY, OK, Rows, check_in_place, check_overlap, check_status, finish_output,
    output_rows, real_like, real_type, shaped_like,
)
from ..ground.dispatch cimport (
    FASTNN_LOSS_BCE, FASTNN_LOSS_HUBER, FASTNN_LOSS_L1, FASTNN_LOSS_MSE, loss_run, past_caches,
    real,
)
from ..ground.memory cimport give, new_array, take
from ..ground.scalars cimport any_number, choice, refuse_value
from ..ground.threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 2048        # elements summed separately; their weights are laid out on the stack
    # Minimum elements per thread (docs/tuning.md), without and with an exp and a log to compute.
    GRAIN = 32768
    BCE_GRAIN = 8192
    KEEP_GIL = 4096     # elements below which a call keeps the GIL (docs/tuning.md)


cdef double sum_in_order(int64_t n, const double *x) noexcept nogil:
    """Sum x in a fixed order: four interleaved sums, since one would wait for each addition."""
    cdef double a = 0, b = 0, c = 0, d = 0
    cdef int64_t i
    for i in range(0, n - 3, 4):
        a += x[i]
        b += x[i + 1]
        c += x[i + 2]
        d += x[i + 3]
    for i in range(n // 4 * 4, n):
        a += x[i]
    return (a + c) + (b + d)


cdef int64_t wrong_weight(int64_t n, const real *weight) noexcept nogil:
    """Return the index of the first weight that is not finite and at least 0, or -1."""
    cdef int64_t i
    for i in range(n):
        if not (weight[i] >= 0 and weight[i] < INFINITY):
            return i
    return -1


cdef extern from *:
    """
    /* True if a number is below 0 or above `most`; NaN is neither. Written with vectors: this is a
     * pass over all targets, and the module is compiled for size. */
    #define OUTSIDE(name, real, integer)                                                \
        static int name(int64_t n, const real *x, real most) {                          \
            enum { LANES = 64 / sizeof(real) };                                         \
            typedef real vec __attribute__((vector_size(64)));                          \
            typedef integer mask __attribute__((vector_size(64)));                      \
            int64_t i = 0;                                                              \
            int outside = 0;                                                            \
            mask lanes = {0};                                                           \
            for (; i + LANES <= n; i += LANES) {                                        \
                vec v;                                                                  \
                memcpy(&v, x + i, sizeof(v));                                           \
                lanes |= (v < (real)0) | (v > most);                                    \
            }                                                                           \
            for (int lane = 0; lane < LANES; lane++) outside |= lanes[lane] != 0;       \
            for (; i < n; i++) outside |= (x[i] < 0) | (x[i] > most);                   \
            return outside;                                                             \
        }
    OUTSIDE(fastnn_outside_f32, float, int32_t)
    OUTSIDE(fastnn_outside_f64, double, int64_t)
    """
    bint outside_f32 "fastnn_outside_f32"(int64_t n, const float *x, float most) noexcept nogil
    bint outside_f64 "fastnn_outside_f64"(int64_t n, const double *x, double most) noexcept nogil


cdef bint any_outside(int64_t n, const real *x, real most) noexcept nogil:
    """True if any of n numbers is below 0 or above most; NaN is neither."""
    if real is float:
        return outside_f32(n, x, most)
    else:
        return outside_f64(n, x, most)


cdef int64_t wrong_target(int64_t n, const real *target, const real *weight,
                          int64_t per_weight) noexcept nogil:
    """Return the index of the first target outside 0 to 1 whose weight is not 0, or -1."""
    cdef int64_t i
    for i in range(n):
        if ((target[i] < 0 or target[i] > 1)
                and (weight is NULL or weight[i // per_weight] != 0)):
            return i
    return -1


cdef void targets_share(int team, int thread, int64_t n, const real *target,
                        double *outside) noexcept nogil:
    """Set outside[i] to 1 if a target of block i is outside 0 to 1, else to 0."""
    cdef int64_t i, first, last
    share((n + BLOCK - 1) // BLOCK, team, thread, &first, &last)
    for i in range(first, last):
        outside[i] = any_outside(min(<int64_t>BLOCK, n - i * BLOCK), target + i * BLOCK, <real>1)


cdef bint targets_fit(int team, int64_t n, const real *target, const real *weight,
                      int64_t per_weight, double *scratch) noexcept nogil:
    """True if all targets of nonzero weight are from 0 to 1.

    scratch holds one double per block.
    """
    if team == 1:
        targets_share(1, 0, n, target, scratch)
    else:
        with parallel(num_threads=team):
            targets_share(team_size(), thread_id(), n, target, scratch)
    if sum_in_order((n + BLOCK - 1) // BLOCK, scratch) == 0:
        return True
    return wrong_target(n, target, weight, per_weight) < 0


cdef double total_weight(int64_t n, const real *weight, int64_t per_weight) noexcept nogil:
    """Return the total weight of n elements."""
    cdef double total = 0
    cdef int64_t i
    if weight is NULL:
        return n
    for i in range(n // per_weight):
        total += weight[i]
    return total * per_weight


cdef bint can_divide(double total, real like) noexcept nogil:
    """True if a mean can divide by this total weight.

    1 / total must be finite and above 0 in the real type, or all weights 0.
    """
    cdef real factor = <real>(1 / total) if total > 0 else 1
    return 0 < factor < INFINITY


cdef int refuse_total(double total, cnp.ndarray like, str op) except -1:
    raise ValueError(
        f"{op}: the weights of the mean add up to {total}, "
        f"whose reciprocal is no finite {like.dtype} above 0"
    )


cdef void repeat(
    int64_t start, int64_t n, const real *weight, int64_t per_weight, real *out
) noexcept nogil:
    """Set out[k] = weight[(start + k) / per_weight]."""
    cdef int64_t k = 0, i = start // per_weight, stop = per_weight - start % per_weight
    while k < n:
        stop = min(stop, n)
        while k < stop:
            out[k] = weight[i]
            k += 1
        i += 1
        stop += per_weight


cdef void cycle(
    int64_t start, int64_t n, const real *weight, int64_t columns, real *out
) noexcept nogil:
    """Set out[k] = weight[(start + k) % columns]."""
    cdef int64_t k = 0, size, j = start % columns
    while k < n:
        size = min(columns - j, n - k)
        memcpy(out + k, weight + j, size * sizeof(real))
        k += size
        j = 0


cdef void loss_share(
    int kind, int team, int thread, int64_t n, const real *pred, const real *target,
    const real *weight, int64_t per_weight, const real *positive, int64_t columns, real delta,
    real factor, real *dpred, real *losses, double *sums
) noexcept nogil:
    cdef int64_t i, at, size, first, last
    cdef real weights[BLOCK]
    cdef real positives[BLOCK]
    cdef bint large = past_caches(n, dpred, pred, target)
    share((n + BLOCK - 1) // BLOCK, team, thread, &first, &last)
    for i in range(first, last):
        at = i * BLOCK
        size = min(<int64_t>BLOCK, n - at)
        if weight is not NULL:
            repeat(at, size, weight, per_weight, &weights[0])
        if positive is not NULL and columns == 1:
            repeat(at, size, positive, n, &positives[0])
        elif positive is not NULL:
            cycle(at, size, positive, columns, &positives[0])
        sums[i] = loss_run(
            kind, size, pred + at, target + at, NULL if weight is NULL else &weights[0],
            NULL if positive is NULL else &positives[0], delta, factor, dpred + at,
            NULL if losses is NULL else losses + at, large
        )


cdef int loss_flat(
    int kind, int64_t n, const real *pred, const real *target, const real *weight,
    int64_t per_weight, const real *positive, int64_t columns, real delta, bint mean, real *dpred,
    real *losses, double *loss
) noexcept nogil:
    cdef int team
    cdef int64_t blocks = (n + BLOCK - 1) // BLOCK
    cdef double total = 1
    cdef double *sums
    if (
        kind < FASTNN_LOSS_MSE
        or kind > FASTNN_LOSS_BCE
        or (kind == FASTNN_LOSS_HUBER and not 0 < delta < INFINITY)
    ):
        return BAD_ARGUMENT
    if (
        n < 0
        or (mean and n == 0)
        or (n > 0 and (pred is NULL or target is NULL or dpred is NULL))
        or loss is NULL
    ):
        return BAD_ARGUMENT
    if (
        (weight is not NULL and (
            per_weight < 1 or n % per_weight != 0 or wrong_weight(n // per_weight, weight) >= 0
        ))
        or (positive is not NULL and columns < 1)
    ):
        return BAD_ARGUMENT
    if mean:
        total = total_weight(n, weight, per_weight)
    if not can_divide(total, <real>0):
        return BAD_ARGUMENT
    sums = <double*>take(max(blocks, 1) * <int64_t>sizeof(double))
    if sums is NULL:
        return NO_MEMORY
    cdef real factor = <real>(1 / total) if total > 0 else 0
    team = threads_for(n, BCE_GRAIN if kind == FASTNN_LOSS_BCE else GRAIN)
    if kind == FASTNN_LOSS_BCE and not targets_fit(team, n, target, weight, per_weight, sums):
        give(sums)
        return BAD_ARGUMENT
    if team == 1:
        loss_share(
            kind, 1, 0, n, pred, target, weight, per_weight, positive, columns, delta, factor,
            dpred, losses, sums
        )
    else:
        with parallel(num_threads=team):
            loss_share(
                kind, team_size(), thread_id(), n, pred, target, weight, per_weight, positive,
                columns, delta, factor, dpred, losses, sums
            )
    loss[0] = sum_in_order(blocks, sums) / total if total > 0 else 0
    give(sums)
    return OK


cdef int loss_real(
    int kind, int64_t n, const real *pred, const real *target, const real *weight,
    int64_t per_weight, const real *positive, int64_t columns, real delta, bint mean, real *dpred,
    real *losses, double *loss
) noexcept nogil:
    return loss_flat(
        kind, n, pred, target, weight, per_weight, positive, columns, delta, mean, dpred, losses,
        loss
    )


cdef int mse_real(
    int64_t n, const real *pred, const real *target, real *dpred, double *loss
) noexcept nogil:
    return loss_flat(
        FASTNN_LOSS_MSE, n, pred, target, <real*>NULL, 1, <real*>NULL, 1, 0, True, dpred,
        <real*>NULL, loss
    )


cdef int loss_typed(
    int typenum, int kind, int64_t n, void *pred, void *target, void *weight, int64_t per_weight,
    void *positive, int64_t columns, double delta, bint mean, void *dpred, void *losses,
    double *loss
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return loss_flat(
            kind, n, <float*>pred, <float*>target, <float*>weight, per_weight, <float*>positive,
            columns, <float>delta, mean, <float*>dpred, <float*>losses, loss
        )
    if typenum == cnp.NPY_DOUBLE:
        return loss_flat(
            kind, n, <double*>pred, <double*>target, <double*>weight, per_weight, <double*>positive,
            columns, delta, mean, <double*>dpred, <double*>losses, loss
        )
    return BAD_ARGUMENT


cdef bint is_mean(object reduction, str op) except -1:
    return choice(reduction, ("mean", "sum", "none"), op, "reduction") == 0


cdef cnp.ndarray weight_array(
    object weight, int64_t n, cnp.ndarray like, str op, str name, str as_name
):
    """Return n weights as a contiguous array of the type of like, each finite and at least 0."""
    cdef cnp.ndarray w = real_like(weight, cnp.PyArray_TYPE(like), op, name, as_name)
    cdef int64_t i
    if cnp.PyArray_NDIM(w) != 1 or cnp.PyArray_DIM(w, 0) != n:
        raise ValueError(
            f"{op}: {name} must have the shape ({n},) for {as_name} of shape {np.shape(like)}, "
            f"not {np.shape(w)}"
        )
    w = cnp.PyArray_GETCONTIGUOUS(w)
    if cnp.PyArray_TYPE(w) == cnp.NPY_FLOAT:
        i = wrong_weight(n, <const float*>cnp.PyArray_DATA(w))
    else:
        i = wrong_weight(n, <const double*>cnp.PyArray_DATA(w))
    if i >= 0:
        raise ValueError(f"{op}: {name}[{i}] is {w[i]}; weights are finite and at least 0")
    return w


cdef cnp.ndarray positive_array(object pos_weight, cnp.ndarray logits):
    """Return the weights of positive targets: one number, or one for each column."""
    op = "bce_with_logits"
    cdef double number
    if not cnp.PyArray_Check(pos_weight):
        number = any_number(pos_weight, op, "pos_weight")
        pos_weight = np.full(1, number, logits.dtype)
        return weight_array(pos_weight, 1, logits, op, "pos_weight", "logits")
    return weight_array(
        pos_weight, np.shape(logits)[-1] if logits.ndim > 0 else 1, logits, op, "pos_weight",
        "logits"
    )


cdef int refuse_target(cnp.ndarray t, cnp.ndarray weight, int64_t per_weight, str op,
                       str name) except -1:
    """Raise ValueError for the first target outside 0 to 1, if any. t is contiguous."""
    cdef void *w = NULL if weight is None else cnp.PyArray_DATA(weight)
    cdef int64_t i
    if cnp.PyArray_TYPE(t) == cnp.NPY_FLOAT:
        i = wrong_target(t.size, <const float*>cnp.PyArray_DATA(t), <const float*>w, per_weight)
    else:
        i = wrong_target(t.size, <const double*>cnp.PyArray_DATA(t), <const double*>w, per_weight)
    if i >= 0:
        where = ", ".join(map(str, np.unravel_index(i, np.shape(t))))
        raise ValueError(f"{op}: {name}[{where}] is {t.flat[i]}; targets are from 0 to 1")
    return 0


cdef object on_arrays(int kind, object pred, object target, object pos_weight, object huber_delta,
                      object sample_weight, object reduction, object dpred, str op, str pred_name,
                      str target_name):
    """Run any elementwise loss. pred_name and target_name are the names of its parameters."""
    cdef int typenum = real_type(pred, op, pred_name), status
    cdef cnp.ndarray x = <cnp.ndarray>pred
    cdef cnp.ndarray like = shaped_like(target, x, op, target_name, pred_name)
    cdef cnp.ndarray a = cnp.PyArray_GETCONTIGUOUS(x), b = cnp.PyArray_GETCONTIGUOUS(like)
    cdef cnp.ndarray d, w = None, p = None, each = None
    cdef bint mean = is_mean(reduction, op)
    cdef int64_t n = cnp.PyArray_SIZE(x), per_weight = 1, columns = 1
    cdef Rows rd
    cdef double delta = any_number(huber_delta, op, "delta")
    if (
        kind == FASTNN_LOSS_HUBER
        and not 0 < (<float>delta if typenum == cnp.NPY_FLOAT else delta) < INFINITY
    ):
        refuse_value(huber_delta, f"a finite number above 0 in {x.dtype}", op, "delta")
    if mean and n == 0:
        raise ValueError(f"{op}: the mean over no elements of {pred_name} is "
                         f"undefined (shape {np.shape(x)})")
    if sample_weight is not None:
        w = weight_array(
            sample_weight, np.shape(x)[0] if x.ndim > 0 else 1, x, op, "sample_weight", pred_name
        )
        per_weight = max(n // max(<int64_t>cnp.PyArray_SIZE(w), 1), 1)
    if pos_weight is not None:
        p = positive_array(pos_weight, x)
        columns = max(<int64_t>cnp.PyArray_SIZE(p), 1)
    if dpred is not None:
        d = output_rows(dpred, x, op, f"d{pred_name}", pred_name, &rd)
        for name, other in ((pred_name, x), (target_name, like)):
            check_in_place(<cnp.ndarray>dpred, other, op, f"d{pred_name}", name)
        for name, other in (("sample_weight", w), ("pos_weight", p)):
            if other is not None:
                check_overlap(<cnp.ndarray>dpred, other, op, f"d{pred_name}", name)
    if dpred is None or not cnp.PyArray_IS_C_CONTIGUOUS(d):
        d = output_rows(None, a, op, f"d{pred_name}", pred_name, &rd)
    if is_none(reduction):
        each = new_array(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), typenum)
    cdef void *pa = cnp.PyArray_DATA(a)
    cdef void *pb = cnp.PyArray_DATA(b)
    cdef void *pd = cnp.PyArray_DATA(d)
    cdef void *pw = NULL if w is None else cnp.PyArray_DATA(w)
    cdef void *pp = NULL if p is None else cnp.PyArray_DATA(p)
    cdef void *pe = NULL if each is None else cnp.PyArray_DATA(each)
    cdef double loss = 0
    if n < KEEP_GIL:
        status = loss_typed(
            typenum, kind, n, pa, pb, pw, per_weight, pp, columns, delta, mean, pd, pe, &loss
        )
    else:
        with nogil:
            status = loss_typed(
                typenum, kind, n, pa, pb, pw, per_weight, pp, columns, delta, mean, pd, pe, &loss
            )
    if status == BAD_ARGUMENT and kind == FASTNN_LOSS_BCE:
        refuse_target(b, w, per_weight, op, target_name)
    if status == BAD_ARGUMENT and w is not None and mean:
        with np.errstate(over="ignore"):
            refuse_total(np.sum(w, dtype=np.float64) * per_weight, x, op)
    check_status(status, op)
    return loss if each is None else each, finish_output(dpred, d)


def mse(pred, target, *, sample_weight=None, reduction="mean", dpred=None):
    """Compute the squared error (pred - target)^2, and its gradient.

    Parameters
    ----------
    pred, target : ndarray of float32 or float64, one type and shape (N, ...), any strides
    sample_weight : ndarray of pred's type, shape (N,), optional
        Weights of the examples, finite and at least 0. An example of weight 0 has no effect,
        whatever its values.
    reduction : {"mean", "sum", "none"}
        "mean" is the weighted mean over all elements: sum w l / (sum w * elements of an example),
        and 0 if all weights are 0. "none" returns the weighted losses, and the gradient of their
        sum.
    dpred : ndarray, optional
        Receives the gradient. It has the type and shape of pred and may be pred or target itself,
        but must not overlap another argument.

    Returns
    -------
    loss : float, or ndarray of the shape of pred for "none"
        In squared units of target.
    dpred : ndarray
        Gradient of the loss with respect to pred.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If shapes do not fit, a weight is negative or not finite, the mean is over no elements or
        its total weight is too large or small to divide by, reduction is another value, or dpred is
        read-only or overlaps another argument.
    """
    return on_arrays(FASTNN_LOSS_MSE, pred, target, None, 0.0, sample_weight, reduction, dpred,
                     "mse", "pred", "target")


def l1(pred, target, *, sample_weight=None, reduction="mean", dpred=None):
    """Compute the absolute error |pred - target|, and its gradient.

    The gradient is the sign of pred - target, 0 at 0. Parameters, results and errors are those of
    `mse`; the loss is in units of target.
    """
    return on_arrays(FASTNN_LOSS_L1, pred, target, None, 0.0, sample_weight, reduction, dpred,
                     "l1", "pred", "target")


def huber(pred, target, *, delta=1.0, sample_weight=None, reduction="mean", dpred=None):
    """Compute Huber's loss (1964), and its gradient.

    The loss is d^2 / 2 for errors d up to delta, delta (|d| - delta / 2) beyond; the gradient is d
    clamped to +-delta. Parameters, results and errors are those of `mse`, and

    delta : float
        Finite and above 0, in the type of pred too; in units of target. ValueError otherwise.
    """
    return on_arrays(
        FASTNN_LOSS_HUBER, pred, target, None, delta, sample_weight, reduction, dpred, "huber",
        "pred", "target"
    )


def bce_with_logits(
    logits, targets, *, pos_weight=None, sample_weight=None, reduction="mean", dlogits=None
):
    """Compute the binary cross entropy of sigmoid(logits) with targets, and its gradient.

    With w = pos_weight the loss is -w t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)). A term whose
    factor is 0 is 0, so infinite logits are allowed.

    Parameters
    ----------
    logits, targets : ndarray of float32 or float64, one type and shape (N, ...), any strides
        Targets are from 0 to 1, unless their weight is 0; ValueError otherwise.
    pos_weight : float or ndarray of logits' type, optional
        Weight of the positive targets: one number, or one for each index of the last axis.
    sample_weight, reduction
        As for `mse`.
    dlogits : ndarray, optional
        Receives the gradient, as dpred for `mse`.

    Returns
    -------
    loss : float, or ndarray of the shape of logits for "none"
        In nats.
    dlogits : ndarray
        Gradient of the loss with respect to logits.

    Raises
    ------
    TypeError, ValueError
        As `mse`.
    """
    return on_arrays(FASTNN_LOSS_BCE, logits, targets, pos_weight, 0.0, sample_weight, reduction,
                     dlogits, "bce_with_logits", "logits", "targets")
