"""The loss over many batches from which nothing is learnt, and `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from .. import nn
from ..checks import check_count
from .batches import Batch, check_examples, check_weights, in_order
from .history import Logs
from .metrics import Means
from .objective import Loss, Objective, RowLoss


def means_over(model: nn.Module, batches: Iterable[Batch], objective: Objective) -> Logs:
    """The means over all batches; nothing is learnt."""
    means = Means()
    for batch in batches:
        objective.measure(model, batch, means)
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
    logs = means_over(model, batches, RowLoss(loss))
    return logs["loss"], logs.get("accuracy")
