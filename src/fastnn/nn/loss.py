"""Losses: each returns the loss and the gradient of its first argument in one pass.

These are the kernels under PyTorch's names, with the keywords that a training loop sets:
``fit(..., loss=functools.partial(nn.cross_entropy, label_smoothing=0.1))``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..checks import check_number, given

Array = NDArray[Any]


def cross_entropy(
    logits: Array,
    targets: Array,
    *,
    ignore_index: int = -100,
    weight: Array | None = None,
    sample_weight: Array | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Any, Array]:
    """Return the mean over rows of -log softmax(logits)[target], and its gradient.

    Parameters
    ----------
    logits : ndarray (N, C) of float32 or float64
        Unnormalized: do not apply softmax before this loss. Any finite values are safe. More axes,
        such as (batch, positions, C), count as rows.
    targets : ndarray (N,) or (N, 1) of integers
        The class of each row, 0 to C - 1. Or the probabilities of the classes, (N, C) with the
        dtype of logits; integers and bools of that shape are one-hot. More axes if logits have
        them.
    ignore_index : int
        Rows with this label are ignored; if all are, loss and gradient are 0.
    weight : ndarray (C,), optional
        Weights of the classes.
    sample_weight : ndarray, optional
        Weights of the rows, with the shape of logits without its last axis.
    label_smoothing : float
        Fraction of each target, from 0 to 1, that is spread over all classes.
    reduction : {"mean", "sum", "none"}
        The mean is weighted; "none" returns the loss of each row.

    Returns
    -------
    loss : float, or for "none" an ndarray like logits without its last axis
        In nats.
    dlogits : ndarray like logits
        (softmax(logits) - onehot(targets)) / N without weights and smoothing.

    Raises
    ------
    IndexError
        A target is out of range; the message names the row and the target.
    ValueError
        The mean is over no rows, the shapes do not fit, or an option is out of range.
    TypeError
        A dtype is wrong.

    References
    ----------
    Zhang et al., *Dive into Deep Learning*, 4.1, "Softmax Regression".

    Examples
    --------
    >>> loss, dlogits = nn.cross_entropy(np.float32([[0, 0], [0, 0]]), np.array([0, 1]))
    >>> print(round(float(loss), 3), dlogits)
    0.693 [[-0.25  0.25]
     [ 0.25 -0.25]]
    """
    are_arrays = isinstance(logits, np.ndarray) and isinstance(targets, np.ndarray)
    if not are_arrays or logits.ndim <= 2:
        return kernels.cross_entropy(
            logits,
            targets,
            ignore_index=ignore_index,
            weight=weight,
            sample_weight=sample_weight,
            label_smoothing=label_smoothing,
            reduction=reduction,
        )
    shape = logits.shape
    if targets.shape not in (shape[:-1], (*shape[:-1], 1), shape):
        raise ValueError(
            f"cross_entropy: targets must be labels {shape[:-1]} or {(*shape[:-1], 1)}, or "
            f"probabilities or one-hot rows {shape}, for logits {shape}, got {targets.shape}"
        )
    rows = targets.reshape(-1, *targets.shape[len(shape) - 1 :])
    weights = sample_weight
    if weights is not None:
        weights = np.asanyarray(weights)
        if weights.shape != shape[:-1]:
            raise ValueError(
                f"cross_entropy: sample_weight {weights.shape} does not fit logits {shape}"
            )
        weights = weights.reshape(-1)
    loss, dlogits = cross_entropy(
        logits.reshape(-1, shape[-1]),
        rows,
        ignore_index=ignore_index,
        weight=weight,
        sample_weight=weights,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )
    if reduction == "none":
        loss = loss.reshape(shape[:-1])
    return loss, dlogits.reshape(shape)


def bce_with_logits(
    logits: Array,
    targets: Array,
    *,
    pos_weight: float | Array | None = None,
    sample_weight: Array | None = None,
    reduction: str = "mean",
) -> tuple[Any, Array]:
    """Return the mean of -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), and its gradient.

    Parameters
    ----------
    logits, targets : ndarray (N, ...) of one shape and dtype (float32 or float64)
        Targets are from 0 to 1.
    pos_weight : float or ndarray (C,) for a last axis of C, optional
        Weight of the first term.
    sample_weight : ndarray (N,), optional
        Weights of the examples.
    reduction : {"mean", "sum", "none"}
        The mean is over all elements and weighted; "none" returns the loss of each.

    Returns
    -------
    loss : float, or ndarray like logits for "none"
        In nats.
    dlogits : ndarray like logits

    Raises
    ------
    ValueError, TypeError
        As in `mse_loss`.

    Examples
    --------
    >>> loss, dlogits = nn.bce_with_logits(np.float32([0, 0]), np.float32([0, 1]))
    >>> print(round(float(loss), 3), dlogits)
    0.693 [ 0.25 -0.25]
    """
    return kernels.bce_with_logits(
        logits, targets, pos_weight=pos_weight, sample_weight=sample_weight, reduction=reduction
    )


def mse_loss(
    pred: Array, target: Array, *, sample_weight: Array | None = None, reduction: str = "mean"
) -> tuple[Any, Array]:
    """Return the mean over all elements of (pred - target)^2, and its gradient.

    Parameters
    ----------
    pred, target : ndarray (N, ...) of one shape and dtype (float32 or float64)
    sample_weight : ndarray (N,), optional
        Weights of the examples.
    reduction : {"mean", "sum", "none"}
        The mean is weighted; "none" returns the loss of each element.

    Returns
    -------
    loss : float, or ndarray like pred for "none"
        In squared units of target.
    dpred : ndarray like pred
        2 (pred - target) / size without weights.

    Raises
    ------
    ValueError
        The shapes differ, the mean is over nothing, or a weight is negative or not finite.
    TypeError
        A dtype is wrong, or the dtypes differ.

    Examples
    --------
    >>> loss, dpred = nn.mse_loss(np.float32([0, 3]), np.float32([0, 1]))
    >>> print(float(loss), dpred)
    2.0 [0. 2.]
    """
    return kernels.mse(pred, target, sample_weight=sample_weight, reduction=reduction)


def l1_loss(
    pred: Array, target: Array, *, sample_weight: Array | None = None, reduction: str = "mean"
) -> tuple[Any, Array]:
    """Return the mean over all elements of abs(pred - target), and its gradient (0 at equality).

    Parameters, results and errors are those of `mse_loss`; the loss is in units of target.

    Examples
    --------
    >>> loss, dpred = nn.l1_loss(np.float32([0, 3]), np.float32([0.5, 0]))
    >>> print(float(loss), dpred)
    1.75 [-0.5  0.5]
    """
    return kernels.l1(pred, target, sample_weight=sample_weight, reduction=reduction)


def huber_loss(
    pred: Array,
    target: Array,
    *,
    delta: float = 1.0,
    sample_weight: Array | None = None,
    reduction: str = "mean",
) -> tuple[Any, Array]:
    """Return the mean over all elements of the Huber loss, and its gradient.

    With d = pred - target it is d^2 / 2 if abs(d) <= delta, else delta (abs(d) - delta / 2).
    Parameters, results and errors are those of `mse_loss`; delta is above 0, in units of target.

    Examples
    --------
    >>> loss, dpred = nn.huber_loss(np.float32([0, 3]), np.float32([0.5, 0]))
    >>> print(float(loss), dpred)
    1.3125 [-0.25  0.5 ]
    """
    return kernels.huber(
        pred, target, delta=delta, sample_weight=sample_weight, reduction=reduction
    )


def contrastive_loss(a: Array, b: Array, *, scale: float = 20.0) -> tuple[float, Any]:
    """Return the mean of -log softmax(scale a b^T)[i, i], and the gradients of a and b.

    Row i of b belongs to row i of a; the other rows of the batch are negatives. Henderson et al.,
    "Efficient natural language response suggestion", 2017; van den Oord et al., 2018 (InfoNCE).

    Parameters
    ----------
    a, b : ndarray (N, d) of one dtype, float32 or float64
        Vectors, of norm 1 as a rule.
    scale : float
        1 / temperature, above 0.

    Returns
    -------
    loss : float
        In nats.
    gradients : (ndarray, ndarray)
        Of the shape of a and b.

    Raises
    ------
    ValueError, TypeError
        a and b are not arrays (N, d) of one shape and dtype, or scale is out of range.

    Examples
    --------
    >>> loss, (da, db) = nn.contrastive_loss(np.eye(2), np.eye(2), scale=1)
    >>> print(round(loss, 3), da[0].round(3))
    0.313 [-0.134  0.134]
    """
    scale = check_number("scale", scale, above=0)
    for name, x in (("a", a), ("b", b)):
        if not isinstance(x, np.ndarray) or x.ndim != 2:
            raise TypeError(f"contrastive_loss: {name} must be an array (N, d), got {given(x)}")
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(
            f"contrastive_loss: a {a.shape} {a.dtype} and b {b.shape} {b.dtype} must be alike"
        )
    scores = kernels.matmul(a, b.T)
    scores *= scores.dtype.type(scale)
    loss, dscores = kernels.cross_entropy(scores, np.arange(len(a)))
    dscores *= dscores.dtype.type(scale)
    return float(loss), (kernels.matmul(dscores, b), kernels.matmul(dscores.T, a))
