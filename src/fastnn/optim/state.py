"""State of optimizers and averages: limits of their numbers, and loading all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_number
from ..kernels.ground import memory
from ..keywords import explained
from ..parameters import Parameters

# Limits of the numbers in a state, in addition to "finite and at least 0".
_LIMITS: dict[str, dict[str, Any]] = {
    "lr": {},
    "weight_decay": {},
    "lr_decay": {},
    "momentum": {"below": 1.0},
    "beta1": {"below": 1.0},
    "beta2": {"below": 1.0},
    "alpha": {"below": 1.0},
    "rho": {"below": 1.0},
    "decay": {"below": 1.0},
    # with 0, a parameter that never had a gradient would become 0 / 0
    "eps": {"above": 0},
    "steps": {"below": 2.0**63},
}


def checked(name: str, value: Any) -> float:
    """Return `value` as a number within the limits of this name."""
    return check_number(name, value, **{"least": 0, **_LIMITS[name]})


def check_params(params: Any) -> Parameters:
    """Return `params`; raise TypeError unless they are the parameters of a model."""
    if not isinstance(params, Parameters):
        raise TypeError(f"params must be model.parameters(), got {type(params).__name__}")
    return params


class Stateful:
    """Numbers and flat arrays over the parameters of a model, which can be saved and loaded.

    Subclasses name them in `_numbers` and `_arrays`. `_choices` names options that are fixed at
    construction and must be equal when a state is loaded.
    """

    _numbers: tuple[str, ...] = ()
    _arrays: tuple[str, ...] = ()
    _choices: tuple[str, ...] = ()
    _trained: list[slice] | None = None  # ranges of the parameters; None for all

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            explained(cls)

    def __init__(self, params: Parameters) -> None:
        self.params = check_params(params)

    def __repr__(self) -> str:
        """Return the class with its numbers, such as "Adam(lr=0.001, ..., 1,210 parameters)"."""
        names = dict.fromkeys((*self._numbers, *self._choices))
        shown = [f"{name}={getattr(self, name)!r:.80}" for name in names if hasattr(self, name)]
        return f"{type(self).__name__}({', '.join(shown)}, {self.params.size:,} parameters)"

    def _new_array(self, value: float = 0.0) -> NDArray[Any]:
        """Return a flat array for the trained parameters in order, aligned to a cache line."""
        runs = [slice(0, self.params.data.size)] if self._trained is None else self._trained
        array = memory.empty(sum(run.stop - run.start for run in runs), self.params.dtype)
        array.fill(value)
        return array

    def _checked(self, name: str, value: Any) -> float:
        """Return `checked` of `value`; also reject an eps that is 0 in the parameters' dtype."""
        found = checked(name, value)
        if name == "eps" and self.params.dtype.type(found) == 0:
            raise ValueError(f"eps must be above 0 in {self.params.dtype}, got {found}")
        return found

    def _number_names(self) -> tuple[str, ...]:
        return self._numbers

    def state_dict(self, *, copy: bool = True) -> dict[str, Any]:
        """Return numbers as they are, and running means and sums as flat arrays.

        Without `copy` the arrays are the optimizer's own, which the next step changes: enough to
        write them to a file immediately.
        """
        names = (*self._number_names(), *self._choices)
        state = {name: getattr(self, name) for name in names}
        arrays = {name: getattr(self, name) for name in self._arrays}
        return state | {name: a.copy() if copy else a for name, a in arrays.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state that `state_dict()` of such an object returned, all or nothing.

        Raises
        ------
        ValueError
            A key is missing or unexpected, a number is out of range, an array does not have the
            shape of the parameters, or the state belongs to an object with other options.
        TypeError
            A value has the wrong type, or an array does not have the dtype of the parameters.
        """
        names = self._number_names()
        self._check_keys(state, {*names, *self._choices, *self._arrays})
        numbers = {name: self._checked(name, state[name]) for name in names}
        if "steps" in numbers and state["steps"] != int(state["steps"]):
            raise ValueError(f"steps must be a whole number, got {state['steps']}")
        for name in self._choices:
            if state[name] != getattr(self, name):
                raise ValueError(f"the state has {name}={state[name]}, not {getattr(self, name)}")
        for name in self._arrays:
            new, old = np.asarray(state[name]), getattr(self, name)
            if new.shape != old.shape:
                raise ValueError(f"{name!r} has shape {new.shape}, the parameters {old.shape}")
            if new.dtype != old.dtype:
                raise TypeError(f"{name!r} is {new.dtype}, the parameters are {old.dtype}")
        for name, value in numbers.items():
            setattr(self, name, int(state[name]) if name == "steps" else value)
        for name in self._arrays:
            getattr(self, name)[:] = state[name]

    def _check_keys(self, state: Mapping[str, Any], expected: set[str]) -> None:
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping, as of state_dict(), got {type(state)!r:.80}")
        if state.keys() != expected:
            raise ValueError(
                f"the state is not one of {type(self).__name__}: missing "
                f"{sorted(expected - state.keys())}, unexpected {sorted(state.keys() - expected)}"
            )
