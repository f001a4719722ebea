"""Optimizers: one fused kernel call per step over the flat arrays of a model.

>>> optimizer = AdamW(model.parameters(), lr=1e-3)  # once the model is complete
>>> optimizer.zero_grad()
>>> model.backward(dlogits, ctx, need_dx=False)
>>> optimizer.step()
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .nn.parameters import Parameters

# The numbers an optimizer may have, with their limits beside "finite and at least 0".
_LIMITS: dict[str, dict[str, Any]] = {
    "lr": {},
    "weight_decay": {},
    "momentum": {"below": 1.0},
    "beta1": {"below": 1.0},
    "beta2": {"below": 1.0},
    # 0 would turn a parameter that never had a gradient into 0 / 0
    "eps": {"above_0": True},
    "steps": {},
}


def _number(name: str, value: float, *, below: float = math.inf, above_0: bool = False) -> float:
    """`value` as a float within its limits; TypeError or ValueError naming it otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 <= value < below or (above_0 and value == 0):  # also refuses NaN
        low = "above 0" if above_0 else "at least 0"
        high = "finite" if below == math.inf else f"below {below:g}"
        raise ValueError(f"{name} must be {low} and {high}, got {value}")
    return float(value)


def _checked(name: str, value: float) -> float:
    return _number(name, value, **_LIMITS[name])


class Optimizer(ABC):
    """What all optimizers share. `lr` and the other hyper-parameters may be changed between steps,
    but whether there is momentum.

    Attributes
    ----------
    params : Parameters
    lr : float
    steps : int
        Steps taken so far.
    """

    # Names of the numbers and of the flat arrays that make up the state, beside `steps`.
    _numbers: tuple[str, ...] = ()
    _arrays: tuple[str, ...] = ()

    def __init__(self, params: Parameters, lr: float, weight_decay: float) -> None:
        if not isinstance(params, Parameters):
            raise TypeError(f"params must be model.parameters(), got {type(params).__name__}")
        self.params = params
        self.lr = _checked("lr", lr)
        self.weight_decay = _checked("weight_decay", weight_decay)
        self.steps = 0

    @abstractmethod
    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        """Change p in place by one step; `steps` counts those before it."""

    def step(self, lr: float | None = None, grad_scale: float = 1.0) -> None:
        """Change the parameters by one step along their gradients, which are left unchanged.

        Parameters
        ----------
        lr : float, optional
            For this step alone, in place of `self.lr`.
        grad_scale : float
            Every gradient is multiplied by it as it is read.

        Raises
        ------
        RuntimeError
            The parameters were moved into another model since the optimizer was made.
        """
        p, g = self.params.data, self.params.grad
        lr = self.lr if lr is None else _checked("lr", lr)
        self._update(p, g, lr, grad_scale)
        self.steps += 1

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        self.params.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """`steps` and hyper-parameters as numbers, running means as copies of flat arrays."""
        state: dict[str, Any] = {name: getattr(self, name) for name in ("steps", *self._numbers)}
        return state | {name: getattr(self, name).copy() for name in self._arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict()` of such an optimizer returned; all or nothing.

        Raises
        ------
        ValueError
            A key is missing or unexpected, or an array has another shape than the parameters.
        TypeError
            A value has the wrong type, an array another dtype than the parameters.
        """
        expected = {"steps", *self._numbers, *self._arrays}
        if state.keys() != expected:
            raise ValueError(
                f"the state is not one of {type(self).__name__}: missing "
                f"{sorted(expected - state.keys())}, unexpected {sorted(state.keys() - expected)}"
            )
        for name in ("steps", *self._numbers):
            _checked(name, state[name])
        if state["steps"] != int(state["steps"]):
            raise ValueError(f"steps must be a whole number, got {state['steps']}")
        for name in self._arrays:
            new, old = np.asarray(state[name]), getattr(self, name)
            if new.shape != old.shape:
                raise ValueError(f"{name!r} has shape {new.shape}, the parameters {old.shape}")
            if new.dtype != old.dtype:
                raise TypeError(f"{name!r} is {new.dtype}, the parameters are {old.dtype}")
        self.steps = int(state["steps"])
        for name in self._numbers:
            setattr(self, name, float(state[name]))
        for name in self._arrays:
            getattr(self, name)[:] = state[name]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    g += weight_decay * p; m = momentum * m + g; p -= lr * m, or with Nesterov's momentum
    p -= lr * (g + momentum * m).

    Parameters
    ----------
    params : Parameters
        `model.parameters()` of the complete model.
    lr : float
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
        A hyper-parameter is no number or out of range; the message names it.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013.
    """

    _numbers = ("lr", "momentum", "weight_decay")

    def __init__(
        self,
        params: Parameters,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.momentum = _checked("momentum", momentum)
        self.nesterov = bool(nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0")
        self.m = np.zeros_like(params.data) if self.momentum else None
        self._arrays = ("m",) if self.momentum else ()

    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        kernels.sgd_update(
            p,
            g,
            self.m,
            lr=lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            grad_scale=grad_scale,
        )


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
    p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).

    Parameters
    ----------
    params : Parameters
        `model.parameters()` of the complete model.
    lr : float
        At least 0.
    betas : (float, float)
        Both in [0, 1).
    eps : float
        Above 0, so that a parameter that never had a gradient stays where it is.
    weight_decay : float
        At least 0; L2, added to the gradient.

    Raises
    ------
    TypeError, ValueError
        A hyper-parameter is no number or out of range; the message names it.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    _numbers = ("lr", "beta1", "beta2", "eps", "weight_decay")
    _arrays = ("m", "v")
    _kernel = staticmethod(kernels.adam_update)

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        beta1, beta2 = betas
        self.beta1 = _checked("beta1", beta1)
        self.beta2 = _checked("beta2", beta2)
        self.eps = _checked("eps", eps)
        self.m = np.zeros_like(params.data)
        self.v = np.zeros_like(params.data)

    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        self._kernel(
            p,
            g,
            self.m,
            self.v,
            step=self.steps + 1,
            lr=lr,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            grad_scale=grad_scale,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: p *= 1 - lr * weight_decay before each step.

    Parameters are those of `Adam`; weight_decay defaults to 0.01 and acts on every parameter.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    _kernel = staticmethod(kernels.adamw_update)

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


def clip_grad_norm(params: Parameters, max_norm: float) -> float:
    """Scale all gradients together so that their norm is at most `max_norm`.

    Parameters
    ----------
    params : Parameters
    max_norm : float
        Above 0.

    Returns
    -------
    float
        The Frobenius norm of all gradients before. When it is NaN or infinite the gradients are
        left unchanged, since no factor could mend them: check it where that may happen.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013, algorithm 1.
    """
    max_norm = _number("max_norm", max_norm, above_0=True)
    grad = params.grad
    norm = kernels.frobenius_norm(grad)
    if math.isfinite(norm) and norm > max_norm:
        kernels.scale(grad, max_norm / norm)
    return norm
