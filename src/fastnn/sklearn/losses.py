"""Losses of the estimators over raw outputs z (n, k), and the maps from z to predictions.

A loss is summed over the outputs of a row and averaged over rows by their weights w:
L = sum_i w_i l(z_i, y_i) / sum_i w_i. Each is returned with its gradient dL/dz.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from .. import kernels

Array = NDArray[Any]
LossFunction = Callable[[Array, Array, Array | None], tuple[float, Array]]


class Loss(NamedTuple):
    """A loss over raw outputs.

    `averaged` is True if scikit-learn reports a mean over outputs although it follows the gradient
    of their sum; we do the same.
    """

    function: LossFunction
    averaged: bool = False


def softmax_cross_entropy(z: Array, y: Array, weight: Array | None) -> tuple[float, Array]:
    """Return the mean of l = -log softmax(z)[y] for classes y (n,)."""
    return kernels.cross_entropy(z, y, sample_weight=weight)


def _summed(kernel: Callable[..., tuple[float, Array]], factor: float = 1.0) -> LossFunction:
    """Scale a kernel's mean over all elements to a sum over outputs and mean over rows."""

    def loss(z: Array, y: Array, weight: Array | None) -> tuple[float, Array]:
        value, dz = kernel(z, y, sample_weight=weight)
        scale = factor * z.shape[1]
        if scale != 1:
            dz *= scale
        return scale * value, dz

    return loss


def poisson(z: Array, y: Array, weight: Array | None) -> tuple[float, Array]:
    """Half the Poisson deviance of y >= 0 from exp(z): l = y log y - y z - y + e^z."""
    mu = np.exp(z)
    losses = (xlogy(y, y) - y * z - y + mu).sum(axis=1, dtype=np.float64)
    dz = mu - y
    if weight is None:
        return float(losses.mean()), dz / z.dtype.type(len(z))
    total = weight.sum(dtype=np.float64)
    dz *= (weight / total).astype(z.dtype)[:, None]
    return float(losses @ weight / total), dz


LOSSES = {
    "softmax": Loss(softmax_cross_entropy),
    "logistic": Loss(_summed(kernels.bce_with_logits)),
    "squared_error": Loss(_summed(kernels.mse, 0.5), averaged=True),
    "absolute_error": Loss(_summed(kernels.l1)),
    "huber": Loss(_summed(kernels.huber)),
    "poisson": Loss(poisson),
}


def user_loss(function: Callable[[Array, Array], tuple[float, Array]]) -> Loss:
    """Wrap a user's loss (pred, target) -> (loss, dpred), which takes no weights."""

    def checked(z: Array, y: Array, weight: Array | None) -> tuple[float, Array]:
        value, dz = function(z, y)
        dz = np.asarray(dz, z.dtype)
        if dz.shape != z.shape:
            raise ValueError(
                f"loss returned a gradient of shape {dz.shape} for outputs of {z.shape}"
            )
        return float(value), dz

    return Loss(checked)


# out_activation_ -> predictions of the raw outputs
LINKS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "exp": np.exp,
    "softmax": kernels.softmax,
    "logistic": kernels.sigmoid,
}
