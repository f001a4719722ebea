"""What all optimizers share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from numpy.typing import NDArray

from .. import kernels
from ..checks import check_number
from ..parameters import Parameters
from .clip import clip_factor
from .schedules import Schedule
from .state import Stateful, checked


class Optimizer(Stateful, ABC):
    """What all optimizers share. `lr` and the other hyperparameters may be changed between steps,
    but whether there is momentum.

    Attributes
    ----------
    params : Parameters
    lr : float or Schedule
        A schedule is called with `steps` before each step. It is not part of the state: an
        optimizer that has one keeps it when it loads a state, and goes on where its `steps` say.
    steps : int
        Steps taken so far.
    """

    def __init__(self, params: Parameters, lr: float | Schedule, weight_decay: float) -> None:
        super().__init__(params)
        self.lr = lr if callable(lr) else checked("lr", lr)
        self.weight_decay = checked("weight_decay", weight_decay)
        self.steps = 0

    @property
    def current_lr(self) -> float:
        """The learning rate of the next step.

        TypeError or ValueError if it is not a number, negative or not finite.
        """
        if not callable(self.lr):
            return checked("lr", self.lr)
        try:
            return checked("lr", self.lr(self.steps))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error} at step {self.steps}") from None

    @abstractmethod
    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        """Change p in place by one step; `steps` counts those before it."""

    def step(
        self,
        lr: float | None = None,
        grad_scale: float = 1.0,
        max_norm: float | None = None,
    ) -> float | None:
        """Change the parameters by one step along their gradients, which are left unchanged.

        Parameters
        ----------
        lr : float, optional
            For this step alone, in place of `self.lr`.
        grad_scale : float
            Every gradient is multiplied by it as it is read.
        max_norm : float, optional
            Above 0. Where the norm of all gradients together, scaled, is greater they are scaled
            down to it, again as they are read: the same step as after `clip_grad_norm`, without a
            pass that writes them.

        Returns
        -------
        float or None
            That norm before clipping, with max_norm alone. When it is NaN or infinite nothing is
            clipped, and the step hands it on.

        Raises
        ------
        ValueError
            lr or max_norm is out of range. Nothing has been changed then.
        RuntimeError
            The parameters were moved into another model since the optimizer was made.
        """
        p, g = self.params.data, self.params.grad
        lr = self.current_lr if lr is None else checked("lr", lr)
        grad_scale = check_number("grad_scale", grad_scale)
        norm = None
        if max_norm is not None:
            max_norm = check_number("max_norm", max_norm, above=0)
            norm = abs(grad_scale) * kernels.frobenius_norm(g)
            grad_scale *= clip_factor(norm, max_norm)
        self._update(p, g, lr, grad_scale)
        self.steps += 1
        return norm

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        self.params.zero_grad()

    def _number_names(self) -> tuple[str, ...]:
        kept = [name for name in self._numbers if name != "lr" or not callable(self.lr)]
        return ("steps", *kept)
