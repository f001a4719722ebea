"""Softmax with cross entropy and its gradient, from one pass over the logits.

    L_i = -sum_j a_ij log softmax(o_i)_j
    dL_i/do_ij = A_i softmax(o_i)_j - a_ij,    A_i = sum_j a_ij
    a_ij = w_j ((1 - s) q_ij + s / C)

*Dive into Deep Learning*, section 4.1.2. q_i is the target's distribution, s the label smoothing
(Szegedy et al. 2016), w_j the weight of class j. Without smoothing and with a label t as target,
only a_it differs from 0. The mean is sum_i v_i L_i / sum_i v_i w_t(i), where v_i is the weight of
example i (w_t is 1 if targets are distributions), as in PyTorch. Accuracy: a loss within 32 eps of
max(1, loss), gradients within 16 eps of the largest. Losses are summed in double, row by row in a
fixed order, so the bits do not depend on the number of threads.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport INFINITY
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t
from libc.string cimport memset

import numpy as np

from ..ground.arrays cimport (BAD_ARGUMENT, NO_MEMORY, OK, Rows, check_in_place, check_overlap,
                              check_status, finish_output, int64_array, is_plain, output_rows,
                              real_type, same_shape, shaped_like, with_rows)
from ..ground.dispatch cimport cross_entropy_block, cross_entropy_soft_row, past_caches, real
from .elementwise cimport (any_outside, can_divide, is_mean, is_none, refuse_total, sum_in_order,
                           weight_array, wrong_weight)
from ..ground.memory cimport give, new_array, take
from ..ground.scalars cimport probability, whole_number
from ..ground.threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    GRAIN = 8192            # minimum elements per thread (docs/tuning.md)
    KEEP_GIL = 4096     # elements below which a call keeps the GIL (docs/tuning.md)
    LARGE_ROWS = 32 << 20   # bytes of gradient from which stores are non-temporal (docs/tuning.md)
    NO_LABEL = -100     # PyTorch's default of ignore_index


cdef int64_t wrong_label(
    int64_t rows, int64_t cols, const int64_t *labels, int64_t ignore, bint *ignores
) noexcept nogil:
    """Return the first row whose label is neither a class nor ignored, or -1.

    *ignores becomes True if a label is ignored; none is if ignore is INT64_MIN.
    """
    cdef int64_t i
    for i in range(rows):
        if labels[i] == ignore and ignore != INT64_MIN:
            ignores[0] = True
        elif labels[i] < 0 or labels[i] >= cols:
            return i
    return -1


cdef double row_weights(
    int64_t rows, const int64_t *labels, int64_t ignore, const real *class_weight,
    const real *sample_weight, bint soft, double *weights
) noexcept nogil:
    """Compute the weight of each row, 0 for an excluded row, and return their sum.

    Soft rows apply the class weight themselves.
    """
    cdef int64_t i
    cdef double total = 0, w, c
    for i in range(rows):
        w = 1 if sample_weight is NULL else sample_weight[i]
        c = 1
        if labels is not NULL:
            if labels[i] == ignore:
                w = 0
            elif class_weight is not NULL:
                c = class_weight[labels[i]]
        total += w * c
        weights[i] = w if soft else w * c
    return total


cdef void soft_rows(
    int64_t first, int64_t stop, int64_t cols, const real *logits, int64_t ldlogits,
    const int64_t *labels, const real *probs, int64_t ldprobs, const real *class_weight,
    const double *weights, double smoothing, double scale, real *dlogits, int64_t lddlogits,
    double *losses
) noexcept nogil:
    """Compute the rows from first to stop against distributions. Without probs, ldprobs is 0."""
    cdef int64_t i
    cdef double w
    for i in range(first, stop):
        w = 1 if weights is NULL else weights[i]
        losses[i] = w * cross_entropy_soft_row(
            cols, logits + i * ldlogits, probs + i * ldprobs, 0 if labels is NULL else labels[i],
            class_weight, 1 - smoothing, smoothing / cols, w * scale, dlogits + i * lddlogits
        )


cdef void no_rows(
    int64_t rows, int64_t cols, real *dlogits, int64_t lddlogits, double *losses
) noexcept nogil:
    """Clear the outputs of excluded rows, whose logits are not read."""
    cdef int64_t i
    for i in range(rows):
        losses[i] = 0
        memset(dlogits + i * lddlogits, 0, cols * sizeof(real))


cdef void rows_share(
    int team, int thread, int64_t rows, int64_t cols, const real *logits, int64_t ldlogits,
    const int64_t *labels, const real *probs, int64_t ldprobs, const real *class_weight,
    const double *weights, double smoothing, double scale, real *dlogits, int64_t lddlogits,
    double *losses
) noexcept nogil:
    """Compute this thread's rows, in alternating runs of included and excluded ones."""
    cdef int64_t i, first, last, stop
    cdef const double *w = NULL
    cdef bint large = (
        rows * cols * <int64_t>sizeof(real) >= LARGE_ROWS
        and past_caches(rows * cols, dlogits, logits, probs)
    )
    share(rows, team, thread, &first, &last)
    i = first
    while i < last:
        stop = last
        if weights is not NULL:
            w = weights + i
            stop = i + 1
            while stop < last and (weights[stop] == 0) == (weights[i] == 0):
                stop += 1
        if w is not NULL and w[0] == 0:
            no_rows(stop - i, cols, dlogits + i * lddlogits, lddlogits, losses + i)
        elif probs is not NULL or smoothing > 0:
            soft_rows(
                i, stop, cols, logits, ldlogits, labels, probs, ldprobs, class_weight, weights,
                smoothing, scale, dlogits, lddlogits, losses
            )
        else:
            cross_entropy_block(
                stop - i, cols, logits + i * ldlogits, ldlogits, labels + i, w, scale,
                dlogits + i * lddlogits, lddlogits, losses + i, large
            )
        i = stop


cdef void check_share(int team, int thread, int64_t rows, int64_t cols, const real *probs,
                      int64_t ldprobs, double *wrong) noexcept nogil:
    """Set wrong[i] to 1 if a probability of row i is negative, else to 0."""
    cdef int64_t i, first, last
    share(rows, team, thread, &first, &last)
    for i in range(first, last):
        wrong[i] = any_outside(cols, probs + i * ldprobs, <real>INFINITY)


cdef int64_t wrong_row(int team, int64_t rows, int64_t cols, const real *probs, int64_t ldprobs,
                       const double *weights, double *scratch) noexcept nogil:
    """Return the first included row with a negative probability, or -1.

    scratch holds one double per row.
    """
    cdef int64_t i
    if team == 1:
        check_share(1, 0, rows, cols, probs, ldprobs, scratch)
    else:
        with parallel(num_threads=team):
            check_share(team_size(), thread_id(), rows, cols, probs, ldprobs, scratch)
    for i in range(rows):
        if scratch[i] != 0 and (weights is NULL or weights[i] != 0):
            return i
    return -1


cdef int all_rows(
    int64_t rows, int64_t cols, const real *logits, int64_t ldlogits, const int64_t *labels,
    int64_t ignore, const real *probs, int64_t ldprobs, const real *class_weight,
    const real *sample_weight, double smoothing, bint mean, real *dlogits, int64_t lddlogits,
    real *each, double *loss
) noexcept nogil:
    cdef int team
    cdef int64_t i
    cdef bint ignores = False
    cdef double total = rows, scale = 1
    cdef double *losses
    cdef double *weights = NULL
    if rows < 0 or cols <= 0 or (mean and rows == 0) or not 0 <= smoothing <= 1 or loss is NULL:
        return BAD_ARGUMENT
    if rows > 0 and (logits is NULL or dlogits is NULL or (labels is NULL) == (probs is NULL)):
        return BAD_ARGUMENT
    if probs is NULL:
        ldprobs = 0
    if labels is not NULL and wrong_label(rows, cols, labels, ignore, &ignores) >= 0:
        return BAD_ARGUMENT
    if (
        (class_weight is not NULL and wrong_weight(cols, class_weight) >= 0)
        or (sample_weight is not NULL and wrong_weight(rows, sample_weight) >= 0)
    ):
        return BAD_ARGUMENT
    losses = <double*>take((2 * rows + 1) * <int64_t>sizeof(double))
    if losses is NULL:
        return NO_MEMORY
    if ignores or sample_weight is not NULL or (class_weight is not NULL and labels is not NULL):
        weights = losses + rows
        total = row_weights(
            rows, labels, ignore, class_weight, sample_weight, probs is not NULL or smoothing > 0,
            weights
        )
    if mean:
        if not can_divide(total, <real>0):
            give(losses)
            return BAD_ARGUMENT
        scale = 1 / total if total > 0 else 0
    team = threads_for(<double>rows * cols, GRAIN)
    if probs is not NULL and wrong_row(team, rows, cols, probs, ldprobs, weights, losses) >= 0:
        give(losses)
        return BAD_ARGUMENT
    if team == 1:
        rows_share(
            1, 0, rows, cols, logits, ldlogits, labels, probs, ldprobs, class_weight, weights,
            smoothing, scale, dlogits, lddlogits, losses
        )
    else:
        with parallel(num_threads=team):
            rows_share(
                team_size(), thread_id(), rows, cols, logits, ldlogits, labels, probs, ldprobs,
                class_weight, weights, smoothing, scale, dlogits, lddlogits, losses
            )
    loss[0] = scale * sum_in_order(rows, losses) if scale > 0 else 0
    if each is not NULL:
        for i in range(rows):
            each[i] = <real>losses[i]
    give(losses)
    return OK


cdef int cross_entropy_real(
    int64_t rows, int64_t cols, const real *logits, int64_t ldlogits, const int64_t *targets,
    real *dlogits, int64_t lddlogits, double *loss
) noexcept nogil:
    return all_rows(
        rows, cols, logits, ldlogits, targets, INT64_MIN, <real*>NULL, 0, <real*>NULL, <real*>NULL,
        0, True, dlogits, lddlogits, <real*>NULL, loss
    )


cdef int weighted_cross_entropy_real(
    int64_t rows, int64_t cols, const real *logits, int64_t ldlogits, const int64_t *labels,
    int64_t ignore, const real *probs, int64_t ldprobs, const real *class_weight,
    const real *sample_weight, double smoothing, bint mean, real *dlogits, int64_t lddlogits,
    real *losses, double *loss
) noexcept nogil:
    return all_rows(
        rows, cols, logits, ldlogits, labels, ignore, probs, ldprobs, class_weight, sample_weight,
        smoothing, mean, dlogits, lddlogits, losses, loss
    )


cdef int typed_rows(
    int typenum, Rows r, void *logits, const int64_t *labels, int64_t ignore,
    void *probs, int64_t ldprobs, void *class_weight, void *sample_weight, double smoothing,
    bint mean, void *dlogits, int64_t lddlogits, void *each, double *loss
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return all_rows(
            r.rows, r.cols, <float*>logits, r.ld, labels, ignore, <float*>probs, ldprobs,
            <float*>class_weight, <float*>sample_weight, smoothing, mean,
            <float*>dlogits, lddlogits, <float*>each, loss
        )
    if typenum == cnp.NPY_DOUBLE:
        return all_rows(
            r.rows, r.cols, <double*>logits, r.ld, labels, ignore, <double*>probs, ldprobs,
            <double*>class_weight, <double*>sample_weight, smoothing, mean,
            <double*>dlogits, lddlogits, <double*>each, loss
        )
    return BAD_ARGUMENT


cdef bint is_one_hot(cnp.ndarray targets, cnp.ndarray logits) noexcept:
    """True if targets are bools or integers of the shape of logits; integers (N, 1) are labels."""
    if not same_shape(targets, logits):
        return False
    return cnp.PyArray_ISBOOL(targets) or (cnp.PyArray_ISINTEGER(targets)
                                           and cnp.PyArray_DIM(targets, 1) != 1)


cdef cnp.ndarray one_hot(cnp.ndarray targets, cnp.ndarray logits):
    """Convert rows of 0 and 1 to probabilities in the type of logits; ValueError if not one-hot."""
    cdef cnp.ndarray wrong = np.argwhere((targets != 0) & (targets != 1))
    if cnp.PyArray_SIZE(wrong) > 0:
        row, column = wrong[0]
        raise ValueError(f"cross_entropy: targets of {targets.dtype} and shape {np.shape(targets)} "
                         f"must be one-hot rows of 0 and 1, but row {row} holds "
                         f"{targets[row, column]}; labels have the shape (N,)")
    return targets.astype(logits.dtype, order="C")


cdef cnp.ndarray label_array(object targets):
    """Return integers (N,) or (N, 1) as contiguous int64 (N,)."""
    cdef cnp.ndarray labels = int64_array(targets, "cross_entropy", "targets")
    if cnp.PyArray_NDIM(labels) == 2 and cnp.PyArray_DIM(labels, 1) == 1:
        return labels.reshape(-1)
    return labels


cdef cnp.ndarray checked_targets(object targets, cnp.ndarray logits, bint mean, Rows *rq):
    """Return labels as contiguous int64 (N,), or probabilities (N, C) as rows.

    *rq describes the rows.
    """
    cdef cnp.ndarray t
    cdef bint is_matrix = is_plain(targets) and cnp.PyArray_NDIM(<cnp.ndarray>targets) == 2
    rq.ld = 0
    if is_matrix and cnp.PyArray_ISFLOAT(<cnp.ndarray>targets):
        t = with_rows(shaped_like(targets, logits, "cross_entropy", "targets", "logits"), rq)
    elif is_matrix and is_one_hot(<cnp.ndarray>targets, logits):
        t = with_rows(one_hot(<cnp.ndarray>targets, logits), rq)
    elif is_matrix and cnp.PyArray_ISBOOL(<cnp.ndarray>targets):
        refuse_targets(targets, logits)
    else:
        t = label_array(targets)
        if cnp.PyArray_NDIM(t) != 1 or np.shape(t)[:1] != np.shape(logits)[:1]:
            refuse_targets(targets, logits)
    if cnp.PyArray_NDIM(logits) != 2:
        refuse_targets(targets, logits)
    if np.shape(logits)[1] == 0 or (mean and np.shape(logits)[0] == 0):
        raise ValueError("cross_entropy: the mean over no examples or classes is undefined "
                         f"(logits {np.shape(logits)})")
    return t


cdef int refuse_targets(object targets, cnp.ndarray logits) except -1:
    raise ValueError("cross_entropy: logits must be (N, C) and targets labels (N,) or (N, 1), or "
                     "probabilities or one-hot rows (N, C), "
                     f"not {np.shape(logits)} and {np.shape(targets)}")


cdef int refuse_label(
    object targets, cnp.ndarray labels, int64_t classes, int64_t ignore
) except -1:
    """Raise IndexError for the first label that is out of range, if any."""
    cdef bint ignores = False
    cdef int64_t row = wrong_label(
        cnp.PyArray_SIZE(labels), classes, <const int64_t*>cnp.PyArray_DATA(labels), ignore,
        &ignores
    )
    if row >= 0:
        raise IndexError(f"cross_entropy: target {targets.flat[row]} of row {row} is not one of "
                         f"{classes} classes")
    return 0


cdef double mean_weight(
    cnp.ndarray t, object ignore, cnp.ndarray weight, cnp.ndarray sample_weight
):
    """Return the sum of weights that the mean divides by, for an error message."""
    total = np.ones(np.shape(t)[0]) if sample_weight is None else sample_weight.astype(np.float64)
    with np.errstate(over="ignore"):
        if t.ndim == 1:
            total = np.where(
                t == ignore, 0, total if weight is None else total * np.take(weight, t, mode="clip")
            )
        return np.sum(total)


cdef int refuse_probability(cnp.ndarray probs, cnp.ndarray sample_weight) except -1:
    """Raise ValueError for the first negative probability of an included row, if any."""
    negative = probs < 0
    if sample_weight is not None:
        negative &= (sample_weight != 0)[:, None]
    for row, column in np.argwhere(negative)[:1]:
        raise ValueError(f"cross_entropy: targets[{row}, {column}] is {probs[row, column]}; "
                         "probabilities are at least 0")
    return 0


def cross_entropy(logits, targets, *, ignore_index=NO_LABEL, weight=None, sample_weight=None,
                  label_smoothing=0.0, reduction="mean", dlogits=None):
    """Compute the cross entropy of softmax(logits) with the targets, and its gradient.

    Parameters
    ----------
    logits : ndarray of float32 or float64, shape (N, C), any strides
        Unnormalized: apply no softmax before this loss. Any finite value is safe.
    targets : ndarray of integers, shape (N,) or (N, 1)
        Labels from 0 to C - 1; or probabilities (N, C) of logits' type, each at least 0. Integers
        and bools of that shape are one-hot rows, that is, probabilities of 0 and 1.
    ignore_index : int
        Rows with this label are excluded, and their logits are not read. Does not apply to
        probabilities.
    weight : ndarray of logits' type, shape (C,), optional
        Weights of the classes, finite and at least 0.
    sample_weight : ndarray of logits' type, shape (N,), optional
        Weights of the rows, finite and at least 0. A row of weight 0 is excluded.
    label_smoothing : float
        From 0 to 1: the part of the target's probability that is spread evenly over all classes
        (Szegedy et al. 2016).
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of the weights: each row's sample weight times the weight of its
        label, or the sample weight alone if targets are probabilities, as in PyTorch. If every row
        is excluded, loss and gradient are 0, so that a batch of padding is harmless. "none" returns
        the weighted loss of each row, and the gradient of their sum.
    dlogits : ndarray, optional
        Receives the gradient. It has the type and shape of logits and may be logits itself, but
        must not overlap another argument.

    Returns
    -------
    loss : float, or ndarray of shape (N,) for "none"
        In nats. NaN or inf if an included row has NaN or +inf. A class with the logit -inf costs
        nothing if its target is 0.
    dlogits : ndarray, shape (N, C)
        Gradient of the loss with respect to logits.

    Raises
    ------
    TypeError
        If logits is not an array of float32 or float64, targets neither one of integers nor one
        like logits, or a weight not one of logits' type.
    ValueError
        If shapes do not fit, C is 0, the mean is over no rows or its total weight is too large or
        small to divide by, a weight is negative or not finite, a probability of an included row is
        negative, label_smoothing is outside 0 to 1, reduction is another value, or dlogits is
        read-only or overlaps another argument.
    IndexError
        If a label is out of range; the message names its row. Then nothing has been written.
    """
    cdef int typenum = real_type(logits, "cross_entropy", "logits"), status
    cdef bint mean = is_mean(reduction, "cross_entropy")
    cdef Rows rx, rd, rq
    cdef cnp.ndarray x = <cnp.ndarray>logits, t = checked_targets(targets, x, mean, &rq)
    cdef cnp.ndarray w = None, v = None, each = None, a = with_rows(x, &rx)
    cdef cnp.ndarray d = output_rows(dlogits, x, "cross_entropy", "dlogits", "logits", &rd)
    cdef double smoothing = probability(label_smoothing, "cross_entropy", "label_smoothing")
    cdef int64_t ignored = whole_number(ignore_index, INT64_MIN, INT64_MAX, "cross_entropy",
                                        "ignore_index")
    if weight is not None:
        w = weight_array(weight, rx.cols, x, "cross_entropy", "weight", "logits")
    if sample_weight is not None:
        v = weight_array(
            sample_weight, np.shape(x)[0], x, "cross_entropy", "sample_weight", "logits"
        )
    if dlogits is not None:
        check_in_place(<cnp.ndarray>dlogits, x, "cross_entropy", "dlogits", "logits")
        for name, other in (("targets", t), ("weight", w), ("sample_weight", v)):
            if other is not None:
                check_overlap(<cnp.ndarray>dlogits, other, "cross_entropy", "dlogits", name)
    if is_none(reduction):
        each = new_array(1, cnp.PyArray_DIMS(x), typenum)
    cdef void *px = cnp.PyArray_DATA(a)
    cdef void *pd = cnp.PyArray_DATA(d)
    cdef const int64_t *labels = <const int64_t*>cnp.PyArray_DATA(t) if t.ndim == 1 else NULL
    cdef void *pq = cnp.PyArray_DATA(t) if t.ndim == 2 else NULL
    cdef void *pw = NULL if w is None else cnp.PyArray_DATA(w)
    cdef void *pv = NULL if v is None else cnp.PyArray_DATA(v)
    cdef void *pe = NULL if each is None else cnp.PyArray_DATA(each)
    cdef double loss = 0
    if rx.rows * rx.cols < KEEP_GIL:
        status = typed_rows(typenum, rx, px, labels, ignored, pq, rq.ld, pw, pv, smoothing, mean,
                            pd, rd.ld, pe, &loss)
    else:
        with nogil:
            status = typed_rows(typenum, rx, px, labels, ignored, pq, rq.ld, pw, pv, smoothing,
                                mean, pd, rd.ld, pe, &loss)
    if status == BAD_ARGUMENT and labels is not NULL:
        refuse_label(targets, t, rx.cols, ignored)
    if status == BAD_ARGUMENT and labels is NULL:
        refuse_probability(t, v)
    if status == BAD_ARGUMENT and mean and (w is not None or v is not None):
        refuse_total(mean_weight(t, ignored, w, v), x, "cross_entropy")
    check_status(status, "cross_entropy")
    return loss if each is None else each, finish_output(dlogits, d)
