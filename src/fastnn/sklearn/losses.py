"""Losses of the estimators over raw outputs z (n, k), and what turns z into predictions.

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

    `averaged`: scikit-learn reports it as a mean over outputs, though it descends along the
    gradient of their sum; so do we, and only what is reported is divided.
    """

    function: LossFunction
    averaged: bool = False


def _mean(rows: Array, weight: Array | None) -> float:
    """Weighted mean over rows of losses (n, k) summed over k."""
    if weight is None:
        return float(rows.sum(dtype=np.float64)) / len(rows)
    by_row = rows.sum(axis=1, dtype=np.float64)
    return float(by_row @ weight / weight.sum(dtype=np.float64))


def _weighted(dz: Array, weight: Array | None) -> Array:
    """dz, overwritten by its rows times weight / sum of weights."""
    if weight is None:
        dz /= len(dz)
    else:
        dz *= (weight / weight.sum(dtype=np.float64)).astype(dz.dtype)[:, None]
    return dz


def softmax_cross_entropy(z: Array, y: Array, weight: Array | None) -> tuple[float, Array]:
    """l = -log softmax(z)[y] for classes y (n,)."""
    if weight is None:
        return kernels.cross_entropy(z, y)
    p = kernels.softmax(z)
    rows = np.arange(len(z))
    shifted = z - z.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, y]
    p[rows, y] -= 1
    return _mean(losses[:, None], weight), _weighted(p, weight)


def logistic(z: Array, y: Array, weight: Array | None) -> tuple[float, Array]:
    """l = log(1 + e^z) - y z for y in [0, 1] (n, k)."""
    losses = np.logaddexp(0, z) - y * z
    return _mean(losses, weight), _weighted(kernels.sigmoid(z) - y, weight)


def squared_error(z: Array, y: Array, weight: Array | None) -> tuple[float, Array]:
    """l = (z - y)^2 / 2."""
    dz = z - y
    return _mean(np.square(dz), weight) / 2, _weighted(dz, weight)


def poisson(z: Array, y: Array, weight: Array | None) -> tuple[float, Array]:
    """Half the Poisson deviance of y >= 0 from exp(z): l = y log y - y z - y + e^z."""
    mu = np.exp(z)
    losses = xlogy(y, y) - y * z - y + mu
    return _mean(losses, weight), _weighted(mu - y, weight)


LOSSES = {
    "softmax": Loss(softmax_cross_entropy),
    "logistic": Loss(logistic),
    "squared_error": Loss(squared_error, averaged=True),
    "poisson": Loss(poisson),
}


def user_loss(function: Callable[[Array, Array], tuple[float, Array]]) -> Loss:
    """A loss (pred, target) -> (loss, dpred), which knows of no weights."""

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
