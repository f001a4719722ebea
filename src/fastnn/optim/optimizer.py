"""Base class of the optimizers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from .. import kernels
from ..checks import check_number
from ..flat import pick
from ..parameters import Parameters
from .clip import clip_factor
from .schedules import Schedule
from .state import Stateful, checked


class Optimizer(Stateful, ABC):
    """Base class of the optimizers.

    `lr` and the other hyperparameters may be changed between steps, except for whether there is
    momentum.

    Attributes
    ----------
    params : Parameters
    lr : float or Schedule
        A schedule is called with `steps` before each step. It is not part of the state: an
        optimizer keeps its schedule when it loads a state, and continues it at the loaded `steps`.
    steps : int
        Number of steps taken so far.

    Examples
    --------
    >>> issubclass(optim.AdamW, optim.Optimizer)
    True
    """

    def __init__(self, params: Parameters, lr: float | Schedule, weight_decay: float) -> None:
        super().__init__(params)
        self._trained = params.trained()
        if self._trained == []:
            raise ValueError("every parameter is frozen (requires_grad=False): nothing to train")
        # Part of the state, as arrays of equal size may belong to other parameters.
        self._frozen = [name for name, p in params.named() if not p.requires_grad]
        self.lr = lr if callable(lr) else checked("lr", lr)
        self.weight_decay = checked("weight_decay", weight_decay)
        self.steps = 0

    @property
    def current_lr(self) -> float:
        """The learning rate of the next step.

        Raises TypeError if it is not a number, ValueError if it is negative or not finite.
        """
        if type(self.lr) is float and 0 <= self.lr < math.inf:
            return self.lr  # of nearly every step, without a call
        if not callable(self.lr):
            return checked("lr", self.lr)
        try:
            return checked("lr", self.lr(self.steps))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error} at step {self.steps}") from None

    @abstractmethod
    def _update(self, p: NDArray[Any], g: NDArray[Any], lr: float, grad_scale: float) -> None:
        """Update p in place by one step; `steps` is the number of earlier steps."""

    def _rates(self, lr: float, grad_scale: float) -> dict[str, Any]:
        """Return the hyperparameters of a step, by the names of the kernels' arguments."""
        numbers = {name: getattr(self, name) for name in self._numbers}
        return {**numbers, "lr": lr, "grad_scale": grad_scale}

    def step(
        self,
        lr: float | None = None,
        grad_scale: float = 1.0,
        max_norm: float | None = None,
    ) -> float | None:
        """Update the parameters by one step along their gradients, which are left unchanged.

        Parameters
        ----------
        lr : float, optional
            Learning rate of this step only, instead of `self.lr`.
        grad_scale : float
            Factor by which every gradient is multiplied as it is read.
        max_norm : float, optional
            Above 0. If the global norm of the scaled gradients is larger, they are scaled down to
            it as they are read: the same step as after `clip_grad_norm`, without writing them.

        Returns
        -------
        float or None
            The global norm before clipping if max_norm is given. If it is NaN or infinite, nothing
            is clipped and the step propagates it.

        Raises
        ------
        ValueError
            lr or max_norm is out of range; nothing is changed.
        RuntimeError
            The parameters were moved into another model, or frozen, after the optimizer was
            created.
        """
        p, g = self.params.data, self.params.grad
        if (trained := self.params.trained()) != self._trained:
            raise RuntimeError(
                "requires_grad of a parameter changed after the optimizer was created: create "
                "the optimizer again"
            )
        if trained is not None:
            p, g = pick(p, trained), pick(g, trained)
        lr = self.current_lr if lr is None else checked("lr", lr)
        if type(grad_scale) is not float or grad_scale != 1:
            grad_scale = check_number("grad_scale", grad_scale)
        norm = None
        if max_norm is not None:
            max_norm = check_number("max_norm", max_norm, above=0)
            norm = abs(grad_scale) * kernels.frobenius_norm(g)
            grad_scale *= clip_factor(norm, max_norm)
        self._update(p, g, lr, grad_scale)
        if trained is not None and len(trained) > 1:  # p is a copy
            for run in trained:
                size = run.stop - run.start
                self.params.data[run], p = p[:size], p[size:]
        self.steps += 1
        return norm

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        self.params.zero_grad()

    def state_dict(self, *, copy: bool = True) -> dict[str, Any]:
        """Return the state as `Stateful` does, and the names of frozen parameters if any."""
        state = super().state_dict(copy=copy)
        return state | {"frozen": list(self._frozen)} if self._frozen else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state of such an optimizer, all or nothing, with the errors of `Stateful`.

        Raises a ValueError, too, if other parameters were frozen.
        """
        if isinstance(state, Mapping):
            frozen, state = state.get("frozen", []), {k: state[k] for k in state if k != "frozen"}
            if frozen != self._frozen:
                raise ValueError(
                    f"the state was saved with frozen {frozen!r:.200}, here {self._frozen!r:.200} "
                    "are: set requires_grad as before, then create the optimizer"
                )
        super().load_state_dict(state)

    def _number_names(self) -> tuple[str, ...]:
        kept = [name for name in self._numbers if name != "lr" or not callable(self.lr)]
        return ("steps", *kept)
