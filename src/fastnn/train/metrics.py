"""Loss and accuracy over many batches, and `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..nn.linear import check_count
from .batches import Batch, check_examples, check_weights, in_order
from .history import Logs

Loss = Callable[..., tuple[float, NDArray[Any]]]


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


def loss_of(loss: Loss, output: NDArray[Any], batch: Batch) -> tuple[float, NDArray[Any]]:
    """The loss of a batch and its gradient; a loss without weights need not know the word."""
    if batch.weight is None:
        return loss(output, batch.y)
    return loss(output, batch.y, sample_weight=batch.weight)


def means_over(model: nn.Module, batches: Iterable[Batch], loss: Loss) -> Logs:
    """The means over all batches; nothing is learnt."""
    means = Means()
    for batch in batches:
        output = model(batch.x)
        means.add(loss_of(loss, output, batch)[0], output, batch)
    return means.logs()


def evaluate(
    model: nn.Module,
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    loss: Loss = nn.cross_entropy,
    batch_size: int = 256,
    sample_weight: NDArray[Any] | None = None,
) -> tuple[float, float | None]:
    """Mean loss over all rows, and the fraction of rows whose greatest output is that of the class.

    Parameters
    ----------
    model, x, y, loss, sample_weight
        As for `fit`.
    batch_size : int
        Rows per forward pass; bounds the memory.

    Returns
    -------
    loss : float
    accuracy : float or None
        None unless y holds one integer class per row.

    Raises
    ------
    ValueError
        x and y differ in length or are empty.
    """
    check_examples("x", x, "y", y)
    weights = check_weights(sample_weight, len(x), model.parameters().dtype)
    batches = in_order(x, y, weights, check_count("batch_size", batch_size))
    logs = means_over(model, batches, loss)
    return logs["loss"], logs.get("accuracy")
