"""Losses and their gradients: *Dive into Deep Learning*, sections 3.1, 4.1 and 5.4.

Huber (1964); Szegedy et al. (2016) for label smoothing. The weights and the mean are PyTorch's.
"""

import numpy as np

from .elementwise import FUNCTIONS, sigmoid_of
from .real import Real, exp, log, real, total, where


def reduced(each, gradient, weights, reduction, divisor):
    """The weighted loss and its gradient for a reduction."""
    each, gradient = where(weights == 0, 0, each * weights), where(weights == 0, 0, gradient)
    if reduction == "none":
        return each, gradient
    if reduction == "sum":
        return total(each), gradient
    if divisor.value == 0:
        return real(np.float64(0), each.kind.real), where(True, 0, gradient)
    return total(each) / divisor, gradient / divisor


def elementwise(kind, pred, target, sample_weight=None, reduction="mean", delta=1.0, positive=None):
    """One of mse, l1, huber and bce_with_logits: the loss and the gradient of pred."""
    weights = np.ones(pred.shape)
    if sample_weight is not None:
        weights = weights * np.reshape(sample_weight, (-1,) + (1,) * (pred.ndim - 1))
    divisor = total(Real(pred.kind, weights))
    with np.errstate(all="ignore"):
        if kind == "bce_with_logits":
            loss, slope = binary(pred, target, positive)
        else:
            loss, slope = of_difference(kind, pred - target, delta)
        return reduced(loss, slope * weights, weights, reduction, divisor)


def of_difference(kind, d, delta):
    if kind == "mse":
        return d * d, d * 2
    size = where(d.value < 0, -d, d)
    sign = Real(d.kind, np.sign(d.value))
    if kind == "l1":
        return size, sign
    near = np.abs(d.value) <= delta
    return where(near, d * d / 2, (size - delta / 2) * delta), where(near, d, sign * delta)


def binary(x, t, positive):
    """-w t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), terms of factor 0 left out."""
    softplus = FUNCTIONS["softplus"][0]
    up, down = x.apply(softplus, 1, 2), (-x).apply(softplus, 1, 2)
    w = real(np.ones(()), x.kind.real) if positive is None else positive
    wt, rest = w * t, 1 - t
    loss = where(wt.value == 0, 0, wt * down) + where(rest.value == 0, 0, rest * up)
    s, s_minus = x.apply(sigmoid_of, 0.25, 2), (-x).apply(sigmoid_of, 0.25, 2)
    return loss, rest * s - wt * s_minus


def cross_entropy(
    logits,
    targets,
    ignore_index=-100,
    weight=None,
    sample_weight=None,
    label_smoothing=0.0,
    reduction="mean",
):
    """-sum over the classes of w q log softmax(logits), and its gradient; q is the smoothed target.

    Labels: the mean divides by the weights of the rows' labels; probabilities: by the rows'.
    """
    n, c = logits.shape
    rows = np.ones(n) if sample_weight is None else np.asarray(sample_weight)
    w = np.ones(c) if weight is None else np.asarray(weight)
    rows, w = rows.astype(logits.kind.wide), w.astype(logits.kind.wide)
    if targets.ndim == 2 and targets.shape[1] == 1 and targets.dtype.kind in "iu":
        targets = targets[:, 0]
    if targets.ndim == 1:
        seen = (targets != ignore_index) & (rows != 0)
        labels = np.where(seen, targets, 0)
        q = np.zeros((n, c)) if n == 0 else np.eye(c)[labels]
        divisor = total(Real(logits.kind, (rows * w[labels])[seen]))
    else:
        seen, q = rows != 0, np.asarray(targets)
        divisor = total(Real(logits.kind, rows[seen]))
    q = q.astype(logits.kind.wide) * (1 - label_smoothing) + np.asarray(label_smoothing) / c
    q = real(q * w, logits.kind.real)
    q.error = q.error + 2 * logits.kind.u * np.abs(q.value).astype(float)
    mask = seen[:, None]
    with np.errstate(all="ignore"):
        x = where(mask, logits, 0)
        d = x - x.max()
        logs = d - log(exp(d).sum(-1, True))
        each = where(q.value == 0, 0, -(q * logs)).sum(-1)
        y = exp(d) / exp(d).sum(-1, True)
        slope = where(mask, (y * q.sum(-1, True) - q) * rows[:, None], 0)
        weights = np.where(seen, rows, 0)
        if reduction == "none":
            return where(seen, each * weights, 0), slope
        if reduction == "mean" and divisor.value == 0:
            return real(np.float64(0), logits.kind.real), where(True, 0, slope)
        scale = divisor if reduction == "mean" else 1
        return total(where(seen, each * weights, 0)) / scale, slope / scale
