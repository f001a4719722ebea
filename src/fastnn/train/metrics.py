"""Loss and accuracy over many batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, given
from .arguments import check_signature
from .history import Logs

# (output, targets) of a batch -> a number, a mean over its rows.
Metric = Callable[[NDArray[Any], NDArray[Any]], float]

_SUMS = ("loss", "weight", "n_right", "n_classified")


class Means:
    """Loss and accuracy, averaged over all rows seen so far.

    The loss of a batch is a mean, weighted here by what it is a mean over: rows or tokens that are
    not ignored, times their weights. The accuracy is unweighted and exists if targets are classes.
    """

    NUMBERS: ClassVar = (*_SUMS, "elements", "classifies")

    def __init__(self) -> None:
        self.loss, self.weight = 0.0, 0.0
        self.n_right, self.n_classified = 0, 0
        self.elements = 0.0  # elements per row in the first batch
        self.classifies = False
        self.metrics: dict[str, tuple[float, int]] = {}  # name -> sum over rows, and their number

    def add_metric(self, name: str, value: Any, rows: int) -> None:
        """Add the value of a metric of a batch; TypeError if it is not a number."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"metric {name!r} must return a number, got {given(value)}") from None
        total, n = self.metrics.get(name, (0.0, 0))
        self.metrics[name] = total + number * rows, n + rows

    def add_mean(self, loss: float, weight: float, elements: float = 1.0) -> None:
        """Add a loss that is a mean over rows with this total weight.

        If rows differ in length between batches, the mean is over their elements.
        """
        self.elements = self.elements or elements
        weight *= elements / self.elements
        self.loss += float(loss) * weight
        self.weight += weight

    def add_sum(self, loss: float) -> None:
        """Add a loss that is a sum over its rows; all others must then be sums too."""
        self.loss += float(loss)

    def add_classes(
        self, output: NDArray[Any], y: NDArray[Any], counted: NDArray[np.bool_]
    ) -> None:
        """Count how often the largest output is that of the class, where `counted` is True."""
        self.classifies = True
        self.n_right += int(np.count_nonzero((output.argmax(axis=-1) == y) & counted))
        self.n_classified += int(np.count_nonzero(counted))

    def numbers(self, metrics: Iterable[str] = ()) -> list[float]:
        """Return everything as numbers, for `merge`: those of `NUMBERS`, and two for a metric."""
        found = [float(getattr(self, name)) for name in self.NUMBERS]
        for name in metrics:
            found += map(float, self.metrics.get(name, (0.0, 0)))
        return found

    def merge(self, numbers: Iterable[float], metrics: Iterable[str] = ()) -> None:
        """Add the `numbers` of other means, as if their rows came after those so far."""
        found = [*map(float, numbers)]
        loss, weight, n_right, n_classified, elements, classifies = found[: len(self.NUMBERS)]
        for i, name in enumerate(metrics):
            total, n = found[len(self.NUMBERS) + 2 * i :][:2]
            before, rows = self.metrics.get(name, (0.0, 0))
            if n or rows:
                self.metrics[name] = before + total, rows + int(n)
        self.elements = self.elements or elements
        scale = elements / self.elements if elements else 1.0
        self.loss += loss * scale
        self.weight += weight * scale
        self.n_right += int(n_right)
        self.n_classified += int(n_classified)
        self.classifies = self.classifies or bool(classifies)

    def names(self) -> list[str]:
        """Return the names that `logs` will have."""
        return ["loss", *["accuracy"] * self.classifies, *self.metrics]

    def logs(self) -> Logs:
        """Return the means by name; the total for losses that are sums."""
        logs = {"loss": self.loss / self.weight if self.weight else self.loss}
        if self.n_classified:
            logs["accuracy"] = self.n_right / self.n_classified
        return logs | {name: total / n for name, (total, n) in self.metrics.items() if n}

    def state(self) -> dict[str, float]:
        """Return the sums, for `load_state`."""
        sums = {name: getattr(self, name) for name in (*_SUMS, "elements")}
        for name, (total, n) in self.metrics.items():
            sums |= {f"metric {name}": total, f"rows {name}": n}
        return sums

    def load_state(self, state: dict[str, float]) -> None:
        """Restore the sums of `state`; raise ValueError if it is something else."""
        own = {key: state[key] for key in state if not key.startswith(("metric ", "rows "))}
        kinds = {*map(type, state.values())}
        if {*own, "elements"} != {*_SUMS, "elements"} or kinds - {int, float}:
            raise ValueError(f"not the sums of metrics: {sorted(state)!r:.200}")
        vars(self).update(own)
        for key in state:
            if key.startswith("metric "):
                name = key.removeprefix("metric ")
                self.metrics[name] = float(state[key]), int(state[f"rows {name}"])


def as_metrics(metrics: Any) -> dict[str, Metric]:
    """Return metrics by name, given as functions, as a dict of them, or by name."""
    if metrics is None:
        return {}
    if isinstance(metrics, str) or callable(metrics):
        metrics = [metrics]
    if isinstance(metrics, Mapping):
        named = dict(metrics)
    elif isinstance(metrics, Iterable) and not hasattr(metrics, "__array__"):
        named = {}
        for metric in metrics:
            if isinstance(metric, str):
                metric = METRICS[check_choice("metrics", metric, METRICS)]
            if isinstance(metric, type):
                raise TypeError(f"metrics: {metric.__name__} is a class: give an instance")
            check_signature("metrics", metric, None, None)
            named[getattr(metric, "__name__", type(metric).__name__)] = metric
    else:
        raise TypeError(
            "metrics must be functions (output, targets) -> number, names such as 'mae', or a dict "
            f"of name to function, got {given(metrics)}"
        )
    for name, metric in named.items():
        check_signature(f"metrics[{name!r:.80}]", metric, None, None)
        if name in ("loss", "accuracy", "epoch") or str(name).startswith("val_"):
            raise ValueError(f"a metric cannot be called {name!r}: that is measured already")
    named.pop("_accuracy", None)
    return named


def _accuracy(output: NDArray[Any], y: NDArray[Any]) -> float:
    """Stand for the accuracy, which is measured anyway if the targets are classes."""
    return 0.0


def mae(output: NDArray[Any], y: NDArray[Any]) -> float:
    """Return the mean absolute error."""
    return float(np.mean(np.abs(output - y.reshape(output.shape)), dtype=np.float64))


def mse(output: NDArray[Any], y: NDArray[Any]) -> float:
    """Return the mean squared error."""
    return float(np.mean(np.square(output - y.reshape(output.shape)), dtype=np.float64))


METRICS: dict[str, Metric] = {"accuracy": _accuracy, "mae": mae, "mse": mse}
