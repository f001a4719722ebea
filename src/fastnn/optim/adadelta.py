"""Adadelta."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..parameters import Parameters
from .optimizer import Optimizer
from .schedules import Schedule
from .state import checked

# Elements updated at a time, so that temporaries stay in cache.
_BLOCK = 1 << 14


class Adadelta(Optimizer):
    """Adadelta: gradients scaled by the ratio of typical past changes to typical past gradients.

    g += weight_decay * p; v = rho v + (1 - rho) g^2; d = sqrt(u + eps) / sqrt(v + eps) * g;
    u = rho u + (1 - rho) d^2; p -= lr d. *Dive into Deep Learning*, section 12.9.

    It is a NumPy pass, several times slower than the other optimizers.

    Parameters
    ----------
    params : Parameters
        `model.parameters()` of the complete model.
    lr : float or Schedule
        At least 0.
    rho : float
        Decay of both running means; in [0, 1).
    eps : float
        Above 0; also the size of the first changes, which are about sqrt(eps).
    weight_decay : float
        At least 0; L2, added to the gradient.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter is not a number or out of range; the message names it.

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", 2012.

    Examples
    --------
    >>> model = nn.MLP((4, 8, 3), rng=0)
    >>> optimizer = optim.Adadelta(model.parameters(), rho=0.9)
    >>> optimizer.step()
    """

    _numbers = ("lr", "rho", "eps", "weight_decay")
    _arrays = ("v", "u")

    def __init__(
        self,
        params: Parameters,
        lr: float | Schedule = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.rho = checked("rho", rho)
        self.eps = self._checked("eps", eps)
        self.v = self._new_array()
        self.u = self._new_array()

    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        # a finite sum of squares: an infinite one would freeze its parameter forever
        most = np.finfo(p.dtype).max
        with np.errstate(all="ignore"):
            for start in range(0, p.size, _BLOCK):
                part = slice(start, start + _BLOCK)
                q, v, u = p[part], self.v[part], self.u[part]
                d = g[part] * p.dtype.type(grad_scale)
                if self.weight_decay:
                    d += self.weight_decay * q
                v *= self.rho
                v += np.minimum(d * d, most) * (1 - self.rho)
                d *= np.sqrt(u + self.eps) / np.sqrt(v + self.eps)
                u *= self.rho
                u += np.minimum(d * d, most) * (1 - self.rho)
                q -= lr * d
