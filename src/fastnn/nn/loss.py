"""Losses: each returns the loss and the gradient of its first argument in one pass."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import kernels


def cross_entropy(logits: NDArray[Any], targets: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Mean over rows of -log softmax(logits)[target], and its gradient.

    Parameters
    ----------
    logits : ndarray (N, C) of float32 or float64
        Unnormalised: no softmax before this loss. Any finite size is safe.
    targets : ndarray (N,) of integers
        The class of each row, 0 to C - 1.

    Returns
    -------
    loss : float
        In nats.
    dlogits : ndarray (N, C)
        (softmax(logits) - onehot(targets)) / N.

    Raises
    ------
    IndexError
        A target is out of range; the message names the row and the target.
    ValueError
        N is 0, or the shapes do not fit.
    TypeError
        Wrong dtypes.

    References
    ----------
    Zhang et al., *Dive into Deep Learning*, 4.1, "Softmax Regression".
    """
    return kernels.cross_entropy(logits, targets)


def mse_loss(pred: NDArray[Any], target: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Mean over all elements of (pred - target)^2, and its gradient.

    Parameters
    ----------
    pred, target : ndarray of one shape and dtype (float32 or float64)

    Returns
    -------
    loss : float
        In squared units of target.
    dpred : ndarray
        2 (pred - target) / size, of the shape of pred.

    Raises
    ------
    ValueError
        The shapes differ, or the arrays are empty.
    TypeError
        Wrong or different dtypes.
    """
    return kernels.mse(pred, target)
