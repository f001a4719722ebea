"""Adam and AdamW."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..checks import check_flag, given
from ..parameters import Parameters
from .optimizer import Optimizer
from .schedules import Schedule
from .state import checked


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
    p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).

    Parameters
    ----------
    params : Parameters
        `model.parameters()` of the complete model.
    lr : float or Schedule
        At least 0.
    betas : (float, float)
        Both in [0, 1).
    eps : float
        Above 0, so that a parameter that never had a gradient does not move.
    weight_decay : float
        At least 0; L2, added to the gradient.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter is not a number or out of range; the message names it.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    Examples
    --------
    >>> model = nn.Linear(1, 1, init="constant")
    >>> optimizer = optim.Adam(model.parameters(), lr=0.5)
    >>> model.weight.grad += 2
    >>> optimizer.step()
    >>> model.weight.data.round(3)
    array([[-0.5]], dtype=float32)
    """

    _numbers = ("lr", "beta1", "beta2", "eps", "weight_decay")
    _arrays = ("m", "v")

    def __init__(
        self,
        params: Parameters,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas must be two numbers (beta1, beta2), got {given(betas)}")
        beta1, beta2 = betas
        self.beta1 = checked("beta1", beta1)
        self.beta2 = checked("beta2", beta2)
        self.eps = self._checked("eps", eps)
        self.m = self._new_array()
        self.v = self._new_array()

    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        rates = self._rates(lr, grad_scale)
        kernels.adam_update(p, g, self.m, self.v, step=self.steps + 1, **rates)


class AdamW(Adam):
    """Adam with decoupled weight decay: each step also does p -= lr * weight_decay * p.

    Arrays of two or more dimensions decay, that is, weights and embeddings; biases and the gains of
    norms do not. With `decay_1d=True` all parameters decay, as in PyTorch without groups.

    Parameters
    ----------
    params, lr, betas, eps
        As for `Adam`.
    weight_decay : float
        At least 0.
    decay_1d : bool
        True if arrays of fewer than two dimensions decay too.

    Raises
    ------
    TypeError, ValueError
        As `Adam`.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2. The
    choice of decaying arrays is nanoGPT's.

    Examples
    --------
    >>> model = nn.MLP((3, 4, 2), rng=0)
    >>> schedule = optim.schedules.warmup_cosine(1e-3, warmup=10, total=100)
    >>> optimizer = optim.AdamW(model.parameters(), lr=schedule, weight_decay=0.1)
    >>> optimizer.zero_grad()
    """

    _choices = ("decay_1d",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        decay_1d: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
        self.decay_1d = check_flag("decay_1d", decay_1d)
        self._decay_stops = None if self.decay_1d else _decay_stops(params)

    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        rates = self._rates(lr, grad_scale)
        stops = self._decay_stops
        kernels.adamw_update(p, g, self.m, self.v, step=self.steps + 1, decay_stops=stops, **rates)


def _decay_stops(params: Parameters) -> NDArray[np.int64]:
    """Return where alternating runs of decaying and other parameters end, decaying ones first."""
    stops: list[int] = []
    trained = (parameter for parameter in params if parameter.requires_grad)
    for decays, run in groupby(trained, key=lambda parameter: parameter.data.ndim >= 2):
        if not stops and not decays:
            stops.append(0)  # the first run is of decaying parameters: here it is empty
        size = sum(parameter._stop - parameter._start for parameter in run)
        stops.append(sum(stops[-1:]) + size)
    return np.array(stops, np.int64)
