"""The elementwise losses of elementwise.pyx as functions on arrays."""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport (
    BAD_ARGUMENT, Rows, call_typed, check_in_place, check_overlap, check_status, data_of,
    finish_output, output_rows, real_like, real_type, shaped_like,
)
from ..ground.dispatch cimport (
    FASTNN_LOSS_BCE, FASTNN_LOSS_HUBER, FASTNN_LOSS_L1, FASTNN_LOSS_MSE,
)
from ..ground.memory cimport new_array
from ..ground.scalars cimport any_number, choice, is_positive, refuse_value
from .elementwise cimport loss_real, wrong_target, wrong_weight

cnp.import_array()

cdef enum:
    KEEP_GIL = 4096     # elements below which a call keeps the GIL (docs/tuning.md)


cdef int refuse_total(double total, cnp.ndarray like, str op) except -1:
    raise ValueError(
        f"{op}: the weights of the mean add up to {total}, "
        f"whose reciprocal is no finite {like.dtype} above 0"
    )


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
            f"got {np.shape(w)}"
        )
    w = cnp.PyArray_GETCONTIGUOUS(w)
    i = call_typed(
        cnp.PyArray_TYPE(w), False, wrong_weight[float], wrong_weight[double], n, data_of(w)
    )
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
    cdef int64_t i, n = cnp.PyArray_SIZE(t)
    i = call_typed(
        cnp.PyArray_TYPE(t), False, wrong_target[float], wrong_target[double], n, data_of(t),
        data_of(weight), per_weight
    )
    if i >= 0:
        where = ", ".join(map(str, np.unravel_index(i, np.shape(t))))
        raise ValueError(f"{op}: {name}[{where}] is {t.flat[i]}; targets are from 0 to 1")
    return 0


cdef int check_dpred(object dpred, cnp.ndarray x, cnp.ndarray target, object weight,
                     object positive, str op, str pred_name, str target_name) except -1:
    """Raise unless dpred is an output that overlaps pred and target in place or not at all."""
    cdef Rows rows
    cdef str dpred_name = f"d{pred_name}"
    output_rows(dpred, x, op, dpred_name, pred_name, &rows)
    for name, other in ((pred_name, x), (target_name, target)):
        check_in_place(<cnp.ndarray>dpred, other, op, dpred_name, name)
    for name, other in (("sample_weight", weight), ("pos_weight", positive)):
        if other is not None:
            check_overlap(<cnp.ndarray>dpred, other, op, dpred_name, name)
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
    cdef double delta = any_number(huber_delta, op, "delta"), loss = 0
    if (
        kind == FASTNN_LOSS_HUBER
        and not is_positive(<float>delta if typenum == cnp.NPY_FLOAT else delta)
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
        check_dpred(dpred, x, like, w, p, op, pred_name, target_name)
        d = output_rows(dpred, x, op, f"d{pred_name}", pred_name, &rd)
    if dpred is None or not cnp.PyArray_IS_C_CONTIGUOUS(d):
        d = output_rows(None, a, op, f"d{pred_name}", pred_name, &rd)
    if is_none(reduction):
        each = new_array(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), typenum)
    status = call_typed(
        typenum, n >= KEEP_GIL, loss_real[float], loss_real[double], kind, n, data_of(a),
        data_of(b), data_of(w), per_weight, data_of(p), columns, delta, mean, data_of(d),
        data_of(each), &loss
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

    Examples
    --------
    >>> loss, dpred = fastnn.kernels.mse(np.float32([0, 3]), np.float32([0, 1]))
    >>> print(float(loss), dpred)
    2.0 [0. 2.]
    """
    return on_arrays(FASTNN_LOSS_MSE, pred, target, None, 0.0, sample_weight, reduction, dpred,
                     "mse", "pred", "target")


def l1(pred, target, *, sample_weight=None, reduction="mean", dpred=None):
    """Compute the absolute error abs(pred - target), and its gradient.

    The gradient is the sign of pred - target, 0 at 0. Parameters, results and errors are those of
    `mse`; the loss is in units of target.

    Examples
    --------
    >>> loss, dpred = fastnn.kernels.l1(np.float32([0, 3]), np.float32([0.5, 0]))
    >>> print(float(loss), dpred)
    1.75 [-0.5  0.5]
    """
    return on_arrays(FASTNN_LOSS_L1, pred, target, None, 0.0, sample_weight, reduction, dpred,
                     "l1", "pred", "target")


def huber(pred, target, *, delta=1.0, sample_weight=None, reduction="mean", dpred=None):
    """Compute Huber's loss (1964), and its gradient.

    The loss is d^2 / 2 for errors d up to delta, delta (abs(d) - delta / 2) beyond; the gradient is
    d clamped to +-delta. Parameters, results and errors are those of `mse`, and

    delta : float
        Finite and above 0, in the type of pred too; in units of target. ValueError otherwise.

    Examples
    --------
    >>> loss, dpred = fastnn.kernels.huber(np.float32([0, 3]), np.float32([0.5, 0]))
    >>> print(float(loss), dpred)
    1.3125 [-0.25  0.5 ]
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

    Examples
    --------
    >>> loss, dlogits = fastnn.kernels.bce_with_logits(np.float32([0, 0]), np.float32([0, 1]))
    >>> print(round(float(loss), 3), dlogits)
    0.693 [ 0.25 -0.25]
    """
    return on_arrays(FASTNN_LOSS_BCE, logits, targets, pos_weight, 0.0, sample_weight, reduction,
                     dlogits, "bce_with_logits", "logits", "targets")
