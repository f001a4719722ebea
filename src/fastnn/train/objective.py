"""What a training run minimizes, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from .. import nn
from .batches import Batch
from .metrics import Means

Loss = Callable[..., tuple[float, NDArray[Any]]]


@runtime_checkable
class Objective(Protocol):
    """Two passes over a batch; both take its loss into the means."""

    def learn(self, model: nn.Module, batch: Batch, means: Means) -> None:
        """Add the gradients of the parameters."""

    def measure(self, model: nn.Module, batch: Batch, means: Means) -> None:
        """Learn nothing, and drop nothing."""


class RowLoss:
    """A loss (output, targets) -> (loss, gradient of the output), a mean over rows.

    A loss without weights need not know the word `sample_weight`.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def learn(self, model: nn.Module, batch: Batch, means: Means) -> None:
        output, ctx = model.forward(*batch.inputs)
        value, doutput = self(output, batch)
        model.backward(doutput, ctx, need_dx=False)
        means.add(value, output, batch)

    def measure(self, model: nn.Module, batch: Batch, means: Means) -> None:
        output = model(*batch.inputs)
        means.add(self(output, batch)[0], output, batch)

    def __call__(self, output: NDArray[Any], batch: Batch) -> tuple[float, NDArray[Any]]:
        """The loss of a batch and its gradient."""
        if batch.weight is None:
            return self.loss(output, batch.y)
        return self.loss(output, batch.y, sample_weight=batch.weight)


class TokenLoss:
    """Cross entropy of a model of tokens (`fastnn.models`), which computes it itself: a mean over tokens.

    Parameters
    ----------
    label_smoothing : float
        In training; validation is without, so that its loss is the logarithm of the perplexity.
    ignore_index : int
        A target that does not count.
    """

    def __init__(self, label_smoothing: float = 0.0, ignore_index: int = -100) -> None:
        self.label_smoothing, self.ignore_index = label_smoothing, ignore_index

    def learn(self, model: Any, batch: Batch, means: Means) -> None:
        value, n = model.loss_and_grad(
            batch.x,
            batch.y,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )
        means.add_mean(value, n)

    def measure(self, model: Any, batch: Batch, means: Means) -> None:
        means.add_mean(*model.loss(batch.x, batch.y, ignore_index=self.ignore_index))
