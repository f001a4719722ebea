"""RMSprop."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import kernels
from ..checks import check_flag
from ..parameters import Parameters
from .optimizer import Optimizer
from .schedules import Schedule
from .state import checked


class RMSprop(Optimizer):
    """RMSprop: gradients divided by the root of a running mean of their squares.

    g += weight_decay * p; v = alpha v + (1 - alpha) g^2; u = g / (sqrt(v) + eps);
    m = momentum m + u; p -= lr m. If centered, the root is of v - c^2, an estimate of the variance,
    with c = alpha c + (1 - alpha) g.

    Parameters
    ----------
    params : Parameters
        `model.parameters()` of the complete model.
    lr : float or Schedule
        At least 0.
    alpha : float
        In [0, 1).
    eps : float
        Above 0, so that a parameter that never had a gradient does not move.
    weight_decay : float
        At least 0; L2, added to the gradient.
    momentum : float
        In [0, 1).
    centered : bool

    Raises
    ------
    TypeError, ValueError
        A hyperparameter is not a number or out of range; the message names it.

    References
    ----------
    Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012; centered:
    Graves, "Generating sequences with recurrent neural networks", 2013.

    Examples
    --------
    >>> model = nn.Linear(1, 1, init="constant")
    >>> optimizer = optim.RMSprop(model.parameters(), lr=0.01)
    >>> model.weight.grad += 2
    >>> optimizer.step()
    >>> model.weight.data.round(3)
    array([[-0.1]], dtype=float32)
    """

    _numbers = ("lr", "alpha", "eps", "momentum", "weight_decay")

    def __init__(
        self,
        params: Parameters,
        lr: float | Schedule = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.alpha = checked("alpha", alpha)
        self.eps = self._checked("eps", eps)
        self.momentum = checked("momentum", momentum)
        self.v = self._new_array()
        self.m = self._new_array() if self.momentum else None
        self.c = self._new_array() if check_flag("centered", centered) else None
        self._arrays = tuple(name for name in "vmc" if getattr(self, name) is not None)

    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        kernels.rmsprop_update(p, g, self.v, self.m, self.c, **self._rates(lr, grad_scale))
