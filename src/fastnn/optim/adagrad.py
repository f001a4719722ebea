"""Adagrad."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import kernels
from ..checks import check_number
from ..parameters import Parameters
from .optimizer import Optimizer
from .schedules import Schedule
from .state import checked


class Adagrad(Optimizer):
    """Adagrad: gradients divided by the root of the sum of their past squares.

    g += weight_decay * p; v += g^2;
    p -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(v) + eps).

    Parameters
    ----------
    params : Parameters
        `model.parameters()` of the complete model.
    lr : float or Schedule
        At least 0.
    lr_decay : float
        At least 0.
    weight_decay : float
        At least 0; L2, added to the gradient.
    initial_accumulator_value : float
        Initial value of v; at least 0.
    eps : float
        Above 0, so that a parameter that never had a gradient does not move.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter is not a number or out of range; the message names it.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 12, 2011.

    Examples
    --------
    >>> model = nn.Linear(1, 1, init="constant")
    >>> optimizer = optim.Adagrad(model.parameters(), lr=0.5)
    >>> model.weight.grad += 2
    >>> optimizer.step()
    >>> model.weight.data.round(3)
    array([[-0.5]], dtype=float32)
    """

    _numbers = ("lr", "lr_decay", "eps", "weight_decay")
    _arrays = ("v",)

    def __init__(
        self,
        params: Parameters,
        lr: float | Schedule = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.lr_decay = checked("lr_decay", lr_decay)
        self.eps = self._checked("eps", eps)
        self.v = self._new_array(
            check_number("initial_accumulator_value", initial_accumulator_value, least=0)
        )

    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        rates = self._rates(lr, grad_scale)
        kernels.adagrad_update(p, g, self.v, step=self.steps + 1, **rates)
