"""Cross entropy of cross_entropy.pyx as a function on arrays: targets, weights and errors."""
cimport numpy as cnp
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t

import numpy as np

from ..ground.arrays cimport (
    BAD_ARGUMENT, Rows, call_typed, check_in_place, check_overlap, check_status, data_of,
    finish_output, int64_array, is_plain, output_rows, real_type, same_shape, shaped_like,
    with_rows,
)
from ..ground.memory cimport new_array
from ..ground.scalars cimport probability, whole_number
from .cross_entropy cimport weighted_cross_entropy_real, wrong_label
from .elementwise_arrays cimport is_mean, is_none, refuse_total, weight_array

cnp.import_array()

cdef enum:
    KEEP_GIL = 4096     # elements below which a call keeps the GIL (docs/tuning.md)
    NO_LABEL = -100     # PyTorch's default of ignore_index


cdef bint is_one_hot(cnp.ndarray targets, cnp.ndarray logits) noexcept:
    """True if targets are bools or integers of the shape of logits; integers (N, 1) are labels."""
    if not same_shape(targets, logits):
        return False
    return cnp.PyArray_ISBOOL(targets) or (cnp.PyArray_ISINTEGER(targets)
                                           and cnp.PyArray_DIM(targets, 1) != 1)


cdef cnp.ndarray one_hot(cnp.ndarray targets, cnp.ndarray logits):
    """Convert rows of 0 and 1 to probabilities in the type of logits; ValueError otherwise."""
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
        if (cnp.PyArray_NDIM(t) != 1 or cnp.PyArray_NDIM(logits) != 2
                or cnp.PyArray_DIM(t, 0) != cnp.PyArray_DIM(logits, 0)):
            refuse_targets(targets, logits)
    if cnp.PyArray_NDIM(logits) != 2:
        refuse_targets(targets, logits)
    if cnp.PyArray_DIM(logits, 1) == 0 or (mean and cnp.PyArray_DIM(logits, 0) == 0):
        raise ValueError("cross_entropy: the mean over no examples or classes is undefined "
                         f"(logits {np.shape(logits)})")
    return t


cdef int refuse_targets(object targets, cnp.ndarray logits) except -1:
    raise ValueError("cross_entropy: logits must be (N, C) and targets labels (N,) or (N, 1), or "
                     "probabilities or one-hot rows (N, C), "
                     f"got {np.shape(logits)} and {np.shape(targets)}")


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

    Examples
    --------
    >>> logits = np.float32([[2, 0, 0], [0, 2, 0]])
    >>> loss, dlogits = fastnn.cross_entropy(logits, np.array([0, 2]))
    >>> print(round(float(loss), 3), dlogits.round(3))
    1.24 [[-0.107  0.053  0.053]
     [ 0.053  0.393 -0.447]]
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
            sample_weight, cnp.PyArray_DIM(x, 0), x, "cross_entropy", "sample_weight", "logits"
        )
    if dlogits is not None:
        check_in_place(<cnp.ndarray>dlogits, x, "cross_entropy", "dlogits", "logits")
        for name, other in (("targets", t), ("weight", w), ("sample_weight", v)):
            if other is not None:
                check_overlap(<cnp.ndarray>dlogits, other, "cross_entropy", "dlogits", name)
    if is_none(reduction):
        each = new_array(1, cnp.PyArray_DIMS(x), typenum)
    cdef const int64_t *labels = <const int64_t*>data_of(t if t.ndim == 1 else None)
    cdef void *probs = data_of(t if t.ndim == 2 else None)
    cdef double loss = 0
    status = call_typed(
        typenum, rx.rows * rx.cols >= KEEP_GIL, weighted_cross_entropy_real[float],
        weighted_cross_entropy_real[double], rx.rows, rx.cols, data_of(a), rx.ld, labels, ignored,
        probs, rq.ld, data_of(w), data_of(v), smoothing, mean, data_of(d), rd.ld, data_of(each),
        &loss
    )
    if status == BAD_ARGUMENT and labels is not NULL:
        refuse_label(targets, t, rx.cols, ignored)
    if status == BAD_ARGUMENT and labels is NULL:
        refuse_probability(t, v)
    if status == BAD_ARGUMENT and mean and (w is not None or v is not None):
        refuse_total(mean_weight(t, ignored, w, v), x, "cross_entropy")
    check_status(status, "cross_entropy")
    return loss if each is None else each, finish_output(dlogits, d)
