"""Loss and accuracy over many batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .history import Logs

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

    def numbers(self) -> list[float]:
        """Return everything as numbers, for `merge`."""
        return [float(getattr(self, name)) for name in self.NUMBERS]

    def merge(self, numbers: Iterable[float]) -> None:
        """Add the `numbers` of other means, as if their rows came after those so far."""
        loss, weight, n_right, n_classified, elements, classifies = map(float, numbers)
        self.elements = self.elements or elements
        scale = elements / self.elements if elements else 1.0
        self.loss += loss * scale
        self.weight += weight * scale
        self.n_right += int(n_right)
        self.n_classified += int(n_classified)
        self.classifies = self.classifies or bool(classifies)

    def names(self) -> list[str]:
        """Return the names that `logs` will have."""
        return ["loss", "accuracy"] if self.classifies else ["loss"]

    def logs(self) -> Logs:
        """Return the means by name; the total for losses that are sums."""
        logs = {"loss": self.loss / self.weight if self.weight else self.loss}
        if self.n_classified:
            logs["accuracy"] = self.n_right / self.n_classified
        return logs

    def state(self) -> dict[str, float]:
        """Return the sums, for `load_state`."""
        return {name: getattr(self, name) for name in (*_SUMS, "elements")}

    def load_state(self, state: dict[str, float]) -> None:
        """Restore the sums of `state`; raise ValueError if it is something else."""
        if {*state, "elements"} != {*_SUMS, "elements"} or {*map(type, state.values())} - {
            int,
            float,
        }:
            raise ValueError(f"not the sums of metrics: {sorted(state)!r:.200}")
        vars(self).update(state)
