"""Loss and accuracy over many batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .history import Logs

_SUMS = ("loss", "weight", "n_right", "n_classified")


class Means:
    """Loss and accuracy, averaged over all rows seen so far.

    The loss of a batch is a mean, so it counts as often as what it is the mean of: rows or tokens
    that are not ignored, by weight. The accuracy is a fraction of them without weights; there is
    one if targets are classes.
    """

    def __init__(self) -> None:
        self.loss, self.weight = 0.0, 0.0
        self.n_right, self.n_classified = 0, 0
        self.elements = 0.0  # of a row, in the first batch
        self.classifies = False

    def add_mean(self, loss: float, weight: float, elements: float = 1.0) -> None:
        """Take in a loss that is a mean over rows of that weight together.

        With rows of different lengths the mean is over the elements of a row, too.
        """
        self.elements = self.elements or elements
        weight *= elements / self.elements
        self.loss += float(loss) * weight
        self.weight += weight

    def add_sum(self, loss: float) -> None:
        """Take in a loss that is a sum over its rows, as all others then have to be."""
        self.loss += float(loss)

    def add_classes(
        self, output: NDArray[Any], y: NDArray[Any], counted: NDArray[np.bool_]
    ) -> None:
        """Take in how often the greatest output is that of the class, where `counted` is True."""
        self.classifies = True
        self.n_right += int(np.count_nonzero((output.argmax(axis=-1) == y) & counted))
        self.n_classified += int(np.count_nonzero(counted))

    def names(self) -> list[str]:
        """The names that `logs` has once something counts."""
        return ["loss", "accuracy"] if self.classifies else ["loss"]

    def logs(self) -> Logs:
        """The means by name; of losses that are sums the total."""
        logs = {"loss": self.loss / self.weight if self.weight else self.loss}
        if self.n_classified:
            logs["accuracy"] = self.n_right / self.n_classified
        return logs

    def state(self) -> dict[str, float]:
        """The sums, from which `load_state` goes on."""
        return {name: getattr(self, name) for name in (*_SUMS, "elements")}

    def load_state(self, state: dict[str, float]) -> None:
        """Go on from the sums of `state`; ValueError if it is something else."""
        if {*state, "elements"} != {*_SUMS, "elements"} or {*map(type, state.values())} - {
            int,
            float,
        }:
            raise ValueError(f"these are no sums of metrics: {sorted(state)!r:.200}")
        vars(self).update(state)
