"""The hooks of callbacks, and the best value of a monitored metric."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

from ..checks import check_choice, check_number, did_you_mean, given
from ..keywords import explained
from .arguments import check_signature
from .history import History, Logs

# The methods of a callback, and example arguments.
HOOKS: dict[str, tuple[Any, ...]] = {
    "on_train_begin": (None,),
    "on_epoch_begin": (0,),
    "on_train_batch_begin": (0,),
    "on_train_batch_end": (0, {}),
    "on_epoch_end": (0, {}),
    "on_train_end": (),
}


def collect_hooks(callbacks: Iterable[Any]) -> dict[str, list[Callable[..., object]]]:
    """Return the functions to call at each of HOOKS; raise TypeError for a non-callback."""
    hooks: dict[str, list[Callable[..., object]]] = {name: [] for name in HOOKS}
    for callback in callbacks:
        kind = callback.__name__ if isinstance(callback, type) else type(callback).__name__
        if isinstance(callback, type):
            raise TypeError(f"the callback {kind} is a class: give an instance, {kind}(...)")
        found = [name for name in HOOKS if callable(getattr(callback, name, None))]
        if not found and not callable(callback):
            raise TypeError(
                "a callback is a function (epoch, logs) or an object with some of "
                f"{', '.join(HOOKS)}, got {kind}"
            )
        for name in found:
            check_signature(f"{kind}.{name}", getattr(callback, name), *HOOKS[name])
            hooks[name].append(getattr(callback, name))
        if not found:
            check_signature(f"the callback {kind}", callback, *HOOKS["on_epoch_end"])
            hooks["on_epoch_end"].append(callback)
    return hooks


class Shown:
    """A callback whose repr is the call that makes it, without arguments at their defaults."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            explained(cls)

    def __repr__(self) -> str:
        parts = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, getattr(getattr(self, "best", None), name, None))
            if name == "monitor" or (value is not None and value != parameter.default):
                parts.append(f"{name}={value!r:.80}")
        return f"{type(self).__name__}({', '.join(parts)})"


class Monitor:
    """The best value of a monitored metric so far."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be a name such as 'val_loss', got {given(monitor)}")
        check_choice("mode", mode, ("auto", "min", "max"))
        self.monitor, self.min_delta = monitor, check_number("min_delta", min_delta, least=0)
        self.mode = mode
        is_max = mode == "max" or (mode == "auto" and monitor.endswith(("accuracy", "auc", "f1")))
        self.sign = -1.0 if is_max else 1.0
        self.value = math.nan

    def __str__(self) -> str:
        return f"{self.monitor}, {'min' if self.sign > 0 else 'max'}"

    def fits(self, state: dict[str, Any], history: History) -> bool:
        """True if this state of a callback is for this metric.

        States of fastnn 0.1 do not name it; their best value must be in the metric's history.
        """
        if "monitor" in state:
            return bool(state["monitor"] == str(self))
        return math.isnan(state["best"]) or state["best"] in history.history.get(self.monitor, ())

    def check(self, names: Iterable[str]) -> None:
        """Raise ValueError unless the monitored metric is among these names."""
        known = list(names)
        if self.monitor not in known:
            raise ValueError(
                f"{self.monitor!r} is not measured; measured: {', '.join(map(repr, known))}"
                + did_you_mean(self.monitor, known)
            )

    def improved(self, logs: Logs) -> bool:
        """True if the value in logs is better by more than min_delta; it then becomes the best.

        NaN never is; the first value that is not NaN always is.
        """
        self.check(logs)
        new = logs[self.monitor]
        is_first = math.isnan(self.value) and not math.isnan(new)
        if is_first or self.sign * new < self.sign * self.value - self.min_delta:
            self.value = new
            return True
        return False
