"""Evaluation: the mean loss over batches without learning, and `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, overload

from numpy.typing import NDArray

from .. import nn
from ..checks import check_count
from ..keywords import explained
from .arguments import check_model
from .batches import as_rows, in_order
from .examples import Batch, as_numbers
from .history import Logs
from .metrics import Means
from .objective import Loss, LossName, Objective, as_objective, measuring


def means_over(model: nn.Module, batches: Iterable[Batch], objective: Objective) -> Logs:
    """Return the means over all batches; learn nothing."""
    means = Means()
    for batch in batches:
        objective.measure(model, batch, means)
    return means.logs()


@overload
def evaluate(
    model: nn.Module,
    x: NDArray[Any] | Iterable[Any],
    y: NDArray[Any] | Iterable[Any],
    *,
    loss: Loss | Objective | LossName = ...,
    batch_size: int = ...,
    sample_weight: NDArray[Any] | None = ...,
    metrics: None = ...,
) -> tuple[float, float | None]: ...


@overload
def evaluate(
    model: nn.Module,
    x: NDArray[Any] | Iterable[Any],
    y: NDArray[Any] | Iterable[Any],
    *,
    loss: Loss | Objective | LossName = ...,
    batch_size: int = ...,
    sample_weight: NDArray[Any] | None = ...,
    metrics: Any,
) -> dict[str, float]: ...


@explained
def evaluate(
    model: nn.Module,
    x: NDArray[Any] | Iterable[Any],
    y: NDArray[Any] | Iterable[Any],
    *,
    loss: Loss | Objective | LossName = nn.cross_entropy,
    batch_size: int = 256,
    sample_weight: NDArray[Any] | None = None,
    metrics: Any = None,
) -> tuple[float, float | None] | dict[str, float]:
    """Return the mean loss over all rows, and the accuracy.

    Parameters
    ----------
    model, x, y, loss, sample_weight, metrics
        As in `fit`.
    batch_size : int
        Rows per forward pass; limits the memory.

    Returns
    -------
    loss : float
    accuracy : float or None
        Fraction of rows whose largest output is that of their class; None unless y has one integer
        class per row.
    scores : dict of str to float
        Instead of these two if metrics are given: "loss", "accuracy" of classes, and each metric.

    Raises
    ------
    ValueError
        x and y differ in length or are empty.

    Examples
    --------
    >>> x, y = fastnn.data.load_digits(split="test")
    >>> loss, accuracy = fastnn.evaluate(nn.Linear(64, 10, init="constant"), x, y)
    >>> round(loss, 3)  # log(10): all digits are equally likely
    2.303
    >>> model = nn.Linear(64, 1, init="constant")
    >>> scores = fastnn.evaluate(model, x, x[:, :1], loss="mse", metrics=["mae"])
    >>> list(scores)
    ['loss', 'mae']
    """
    dtype = check_model(model).dtype
    objective = measuring(metrics, as_objective(loss, model))
    of_numbers = getattr(objective, "of_numbers", False)
    rows = as_rows("", as_numbers(x, model, dtype), y, sample_weight, dtype, of_numbers)
    batches = in_order(*rows, check_count("batch_size", batch_size))
    logs = means_over(model, batches, objective)
    return (logs["loss"], logs.get("accuracy")) if metrics is None else logs
