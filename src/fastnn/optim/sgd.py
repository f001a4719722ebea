"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import kernels
from ..checks import check_flag
from ..parameters import Parameters
from .optimizer import Optimizer
from .schedules import Schedule
from .state import checked


class SGD(Optimizer):
    """Stochastic gradient descent with optional momentum.

    g += weight_decay * p; m = momentum * m + g; p -= lr * m, or with Nesterov momentum
    p -= lr * (g + momentum * m).

    Parameters
    ----------
    params : Parameters
        `model.parameters()` of the complete model.
    lr : float or Schedule
        At least 0.
    momentum : float
        In [0, 1).
    nesterov : bool
        Needs momentum above 0.
    weight_decay : float
        At least 0; L2, added to the gradient.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter is not a number or out of range; the message names it.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013.

    Examples
    --------
    >>> model = nn.Linear(1, 1, init="constant")
    >>> optimizer = optim.SGD(model.parameters(), lr=0.5)
    >>> model.weight.grad += 1
    >>> optimizer.step()
    >>> model.weight.data
    array([[-0.5]], dtype=float32)
    """

    _numbers = ("lr", "momentum", "weight_decay")
    _choices = ("nesterov",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Schedule,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.momentum = checked("momentum", momentum)
        self.nesterov = check_flag("nesterov", nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0")
        self.m = self._new_array() if self.momentum else None
        self._arrays = ("m",) if self.momentum else ()

    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        rates = self._rates(lr, grad_scale)
        kernels.sgd_update(p, g, self.m, nesterov=self.nesterov, **rates)
