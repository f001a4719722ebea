"""Loss and accuracy over many batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batches import Batch
from .history import Logs


class Means:
    """Loss and accuracy, averaged over all rows seen so far.

    The loss of a batch is a mean over its rows, so it counts as often as there are rows: those
    whose class is negative are ignored, and a row with a weight counts that much. The accuracy is
    a fraction of rows, without weights; there is one if targets are integers and the outputs of a
    row more than one: integers beside a single output are numbers, and none is ignored.
    """

    def __init__(self) -> None:
        self.loss, self.weight = 0.0, 0.0
        self.n_right, self.n_classified = 0, 0

    def add(self, loss: float, output: NDArray[Any], batch: Batch) -> None:
        """Take in a batch."""
        y, weights, n = batch.y, batch.weight, len(batch.y)
        if y.dtype.kind in "iu" and output.shape[:-1] == y.shape and output.shape[-1] > 1:
            kept = y >= 0
            n = int(np.count_nonzero(kept))
            self.n_right += int(np.count_nonzero(output.argmax(axis=-1) == y))
            self.n_classified += n
            if weights is not None and n < y.size:
                per_row = weights.reshape(-1, *[1] * (y.ndim - 1))
                weights = np.broadcast_to(per_row, y.shape)[kept]
        weight = n if weights is None else float(weights.sum(dtype=np.float64))
        self.add_mean(loss, weight)

    def add_mean(self, loss: float, weight: float) -> None:
        """Take in a loss that is a mean over that many."""
        self.loss += float(loss) * weight
        self.weight += weight

    def logs(self) -> Logs:
        """The means by name."""
        logs = {"loss": self.loss / self.weight if self.weight else 0.0}
        if self.n_classified:
            logs["accuracy"] = self.n_right / self.n_classified
        return logs

    def state(self) -> dict[str, float]:
        """The sums, from which `load_state` goes on."""
        return dict(vars(self))

    def load_state(self, state: dict[str, float]) -> None:
        """Go on from the sums of `state`; ValueError if it is something else."""
        if state.keys() != vars(self).keys() or set(map(type, state.values())) - {int, float}:
            raise ValueError(f"these are no sums of metrics: {state!r:.200}")
        vars(self).update(state)
