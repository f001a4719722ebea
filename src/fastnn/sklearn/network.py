"""The network of an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels, nn
from ..nn.activation import Activation
from .losses import Loss
from .rows import Batch, dense_chunks

Arrays = Sequence[NDArray[Any]]

# scikit-learn's names of the activations -> ours
ACTIVATIONS: dict[str, Activation | None] = {
    "identity": None,
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "gelu": "gelu",
    "silu": "silu",
}


def first_weights(
    sizes: Sequence[int], activation: str, rng: np.random.RandomState, dtype: np.dtype[Any]
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Draw weights and biases, uniform in +-sqrt(c / (fan_in + fan_out)).

    c is 2 for "logistic" and 6 otherwise (Glorot and Bengio, 2010). The order of draws is that of
    scikit-learn, so the same generator gives the same weights.
    """
    coefs, intercepts = [], []
    for fan_in, fan_out in pairwise(sizes):
        limit = np.sqrt((2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out))
        coefs.append(rng.uniform(-limit, limit, (fan_in, fan_out)).astype(dtype, copy=False))
        intercepts.append(rng.uniform(-limit, limit, fan_out).astype(dtype, copy=False))
    return coefs, intercepts


def raw_outputs(X: Any, coefs: Arrays, intercepts: Arrays, activation: str) -> NDArray[Any]:
    """Return outputs (n, k) before the last activation, for X (n, features), dense or CSR."""
    last = len(coefs) - 1
    out = np.empty((X.shape[0], coefs[last].shape[1]), coefs[0].dtype)
    start = 0
    for h in dense_chunks(X, coefs[0].dtype):
        stop = start + len(h)
        for i in range(last):
            h = kernels.matmul(h, coefs[i], bias=intercepts[i], activation=ACTIVATIONS[activation])
        kernels.matmul(h, coefs[last], bias=intercepts[last], out=out[start:stop])
        start = stop
    return out


def _unset(shape: tuple[int, ...], rng: Any, dtype: Any) -> NDArray[Any]:
    """Return placeholder values for layers that `Network.load` fills."""
    return np.zeros(shape, dtype)


class Network:
    """The layers of an estimator in training, with flat parameters and gradients.

    Parameters
    ----------
    coefs, intercepts : sequence of ndarray
        The first weights (in, out) and biases (out,); copied.
    activation : str
        Activation of the hidden layers, one of ACTIVATIONS.
    dropout : float
        Dropout probability of the hidden layers' outputs.
    loss : Loss
    dtype : dtype
    """

    def __init__(
        self,
        coefs: Arrays,
        intercepts: Arrays,
        *,
        activation: str,
        dropout: float,
        loss: Loss,
        dtype: np.dtype[Any],
    ) -> None:
        layers: list[nn.Module] = []
        self.linears: list[nn.Linear] = []
        for i, coef in enumerate(coefs):
            is_hidden = i < len(coefs) - 1
            name = ACTIVATIONS[activation] if is_hidden else None
            n_in, n_out = coef.shape
            self.linears.append(nn.Linear(n_in, n_out, activation=name, dtype=dtype, init=_unset))
            layers.append(self.linears[i])
            if is_hidden and dropout > 0:
                layers.append(nn.Dropout(dropout))
        self.model = nn.Sequential(*layers)
        self.parameters = self.model.parameters()
        self.loss = loss
        self.load(coefs, intercepts)

    @property
    def coefs(self) -> list[NDArray[Any]]:
        """Weights, as views."""
        return [linear.weight.data for linear in self.linears]

    @property
    def intercepts(self) -> list[NDArray[Any]]:
        """Biases, as views."""
        return [linear.bias.data for linear in self.linears if linear.bias is not None]

    def load(self, coefs: Arrays, intercepts: Arrays) -> None:
        """Copy weights and biases in; ValueError if one has another shape."""
        for own, new in zip([*self.coefs, *self.intercepts], [*coefs, *intercepts], strict=True):
            if own.shape != np.shape(new):
                raise ValueError(f"weights of shape {own.shape} became {np.shape(new)}")
            own[...] = new

    def seed(self, rng: np.random.RandomState) -> None:
        """Seed the dropout layers; draws nothing from rng if there are none."""
        if self.model.random_state():
            self.model.seed(int(rng.randint(np.iinfo(np.int32).max)))

    def reported(self, value: float) -> float:
        """Return a loss as `loss_` reports it."""
        return value / self.coefs[-1].shape[1] if self.loss.averaged else value

    def penalty(self) -> float:
        """Return ||W||^2 / 2 over the weights of all layers, biases excluded."""
        norms = [kernels.frobenius_norm(coef) for coef in self.coefs]
        return sum(norm * norm for norm in norms) / 2

    def start_gradient(self, decay: float) -> None:
        """Set the gradients to those of decay * penalty(); backward passes add to them."""
        if decay == 0:
            self.parameters.zero_grad()
            return
        # one pass over all parameters, then clear the biases' part
        np.multiply(self.parameters.data, decay, out=self.parameters.grad)
        for linear in self.linears:
            if linear.bias is not None:
                linear.bias.grad.fill(0)

    def add_gradient(self, batch: Batch, part: float = 1.0) -> float:
        """Add the gradient of part * (loss of a batch) and return that loss."""
        z, ctx = self.model.forward(batch.x)
        value, dz = self.loss.function(z, batch.y, batch.weight)
        if part != 1:
            dz = dz * part  # copy: dz may belong to a user's loss
        self.model.backward(dz, ctx, need_dx=False)
        return value * part
