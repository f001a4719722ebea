"""Objectives: what a training run minimizes, batch by batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .. import kernels, nn
from ..checks import check_choice, check_integer, check_probability
from ..keywords import explained
from .arguments import check_signature
from .examples import Batch
from .metrics import Means, Metric, as_metrics

Loss = Callable[..., tuple[float, NDArray[Any]]]
LossName = Literal["cross_entropy", "bce_with_logits", "mse", "l1", "huber"]

# Weight that the loss of a batch is a mean over (None: a sum) -> factor of its gradients, so that
# the batches of one step are weighted correctly.
Weigh = Callable[[float | None], float]

LOSSES: dict[str, Loss] = {
    "cross_entropy": nn.cross_entropy,
    "bce_with_logits": nn.bce_with_logits,
    "mse": nn.mse_loss,
    "l1": nn.l1_loss,
    "huber": nn.huber_loss,
}
# Names in other libraries -> names in fastnn.
_ELSEWHERE = {
    "sparse_categorical_crossentropy": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "nll_loss": "cross_entropy",
    "binary_crossentropy": "bce_with_logits",
    "bce": "bce_with_logits",
    "mean_squared_error": "mse",
    "mse_loss": "mse",
    "mean_absolute_error": "l1",
    "mae": "l1",
    "l1_loss": "l1",
    "huber_loss": "huber",
    "smooth_l1": "huber",
}
_OF_CLASSES = (nn.cross_entropy, kernels.cross_entropy)
_OF_NUMBERS = (
    *(nn.mse_loss, nn.l1_loss, nn.huber_loss, nn.bce_with_logits),
    *(kernels.mse, kernels.l1, kernels.huber, kernels.bce_with_logits),
)


@runtime_checkable
class Objective(Protocol):
    """Protocol of an objective: two kinds of pass over a batch, both add its loss to the means."""

    def learn(self, model: nn.Module, batch: Batch, means: Means, weigh: Weigh) -> None:
        """Add the gradients of the parameters, times `weigh(what the loss is a mean over)`."""

    def measure(self, model: nn.Module, batch: Batch, means: Means) -> None:
        """Run inference without dropout; learn nothing."""


class RowLoss:
    """A loss (output, targets) -> (loss, gradient of the output), a mean over rows.

    A loss that is used without weights need not accept `sample_weight`. For losses in `nn`, also
    inside `functools.partial`, it is known what the mean is over; any other is assumed to be a mean
    over rows without classes below 0.
    """

    metrics: Mapping[str, Metric] = MappingProxyType({})

    def __init__(self, loss: Loss) -> None:
        if isinstance(loss, type) or not callable(loss):
            kind = f"the class {loss.__name__}" if isinstance(loss, type) else type(loss).__name__
            raise TypeError(
                "loss must be a function (output, targets) -> (loss, gradient), one of "
                f"{', '.join(map(repr, LOSSES))}, or an objective such as TokenLoss(), got {kind}"
            )
        check_signature("loss", loss, None, None)
        self.loss = loss
        function, how = (loss.func, loss.keywords) if isinstance(loss, partial) else (loss, {})
        self.of_classes = any(function is known for known in _OF_CLASSES)
        self.of_numbers = any(function is known for known in _OF_NUMBERS)
        is_known = self.of_classes or self.of_numbers
        self.ignore_index: int = how.get("ignore_index", -100)
        self.class_weight = how.get("weight") if self.of_classes else None
        self.is_sum = is_known and how.get("reduction") == "sum"
        if is_known and how.get("reduction") == "none":
            raise ValueError("loss: training needs one number, so reduction cannot be 'none'")

    def learn(self, model: nn.Module, batch: Batch, means: Means, weigh: Weigh) -> None:
        output, ctx = model.forward(*batch.inputs)
        batch = self.fitted(output, batch)
        value, doutput = self(output, batch)
        weight, elements = self._add(value, output, batch, means)
        factor = weigh(None if self.is_sum else weight * elements)
        if factor != 1:
            doutput = _scaled(doutput, factor)
        model.backward(doutput, ctx, need_dx=False)

    def measure(self, model: nn.Module, batch: Batch, means: Means) -> None:
        output = model(*batch.inputs)
        batch = self.fitted(output, batch)
        self._add(self(output, batch)[0], output, batch, means)

    def __call__(self, output: NDArray[Any], batch: Batch) -> tuple[float, NDArray[Any]]:
        """Return the loss of a batch and its gradient."""
        how = {} if batch.weight is None else {"sample_weight": batch.weight}
        found = self.loss(output, batch.y, **how)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(
                "loss must return (loss, gradient of the output), got "
                + (f"{len(found)} values" if isinstance(found, tuple) else type(found).__name__)
            )
        return found

    def fitted(self, output: NDArray[Any], batch: Batch) -> Batch:
        """Return the batch with labels as the loss needs them: (N, 1) as (N,), bool as 0 and 1."""
        y = batch.y
        if not self.of_classes or y.dtype.kind not in "iub":
            return batch
        if y.shape == (*output.shape[:-1], 1):
            y = y[..., 0]
        if y.dtype == bool and y.shape == output.shape[:-1]:
            y = y.astype(np.int64)
        return batch if y is batch.y else batch._replace(y=y)

    def check_labels(self, model: nn.Module, x: NDArray[Any], y: NDArray[Any], name: str) -> None:
        """Raise IndexError for the first label in y that is not one of the model's classes."""
        if not self.of_classes or y.dtype.kind not in "iu":
            return
        output = model(x)
        labels = self.fitted(output, Batch(x, y[:1])).y
        if labels.shape != output.shape[:-1]:
            return  # the loss raises the error
        wrong = ((y < 0) | (y >= output.shape[-1])) & (y != self.ignore_index)
        if wrong.any():
            at = tuple(map(int, np.argwhere(wrong)[0]))
            raise IndexError(
                f"cross_entropy: target {y[at]} of row {at[0]} of {name} is not one of "
                f"{output.shape[-1]} classes, numbered from 0"
            )

    def _add(
        self, value: float, output: NDArray[Any], batch: Batch, means: Means
    ) -> tuple[float, float]:
        """Add the batch to the means; return the weight of its rows and the elements per row."""
        y, weights = batch.y, batch.weight
        for name, metric in self.metrics.items():
            means.add_metric(name, metric(output, y), len(y))
        counted = self._counted(output, y)
        elements = 1.0
        if counted is None:
            weight = len(y) if weights is None else float(weights.sum(dtype=np.float64))
            if self.of_numbers or self.of_classes:
                elements = float(np.prod(output.shape[1 : output.ndim - self.of_classes]))
        else:
            weight = self._weight_of(y, weights, counted)
            if output.shape[-1] > 1:
                means.add_classes(output, y, counted)
        if self.is_sum:
            means.add_sum(value)
        else:
            means.add_mean(value, weight, elements)
        return weight, elements

    def _counted(self, output: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return which targets are not ignored; None if they are not classes."""
        if y.dtype.kind not in "iu" or output.shape[:-1] != y.shape:
            return None
        if not self.of_classes and output.shape[-1] == 1:
            return None  # integer targets of a single output are numbers
        counted: NDArray[np.bool_] = y != self.ignore_index if self.of_classes else y >= 0
        return counted

    def _weight_of(
        self, y: NDArray[Any], weights: NDArray[Any] | None, counted: NDArray[np.bool_]
    ) -> float:
        if weights is None and self.class_weight is None:
            return int(np.count_nonzero(counted))
        each = np.ones(len(y)) if weights is None else weights
        found = np.broadcast_to(each.reshape(-1, *[1] * (y.ndim - 1)), y.shape)[counted]
        if self.class_weight is not None:
            found = found.astype(np.float64) * np.asarray(self.class_weight)[y[counted]]
        return float(found.sum(dtype=np.float64))


@explained
class TokenLoss:
    """Cross entropy of a token model (`fastnn.models`), computed by the model.

    It is a mean over tokens.

    Parameters
    ----------
    label_smoothing : float
        In training only, so that the validation loss is the logarithm of the perplexity.
    ignore_index : int
        Targets with this value do not count.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range; the message names it.

    Examples
    --------
    >>> model = fastnn.models.TransformerLM(10, d_model=16, n_heads=2, n_layers=1, max_len=8, rng=0)
    >>> batches = fastnn.data.windows(np.arange(100) % 10, 8, 4)
    >>> loss = fastnn.train.TokenLoss(label_smoothing=0.1)
    >>> history = fastnn.fit(model, batches, optimizer="adam", loss=loss, verbose=0)
    """

    def __init__(self, label_smoothing: float = 0.0, ignore_index: int = -100) -> None:
        self.label_smoothing = check_probability("label_smoothing", label_smoothing)
        self.ignore_index = check_integer("ignore_index", ignore_index)

    def learn(self, model: Any, batch: Batch, means: Means, weigh: Weigh) -> None:
        value, n = model.loss_and_grad(
            batch.x,
            batch.y,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            scale=weigh(int(np.count_nonzero(batch.y != self.ignore_index))),
        )
        means.add_mean(value, n)

    def measure(self, model: Any, batch: Batch, means: Means) -> None:
        means.add_mean(*model.loss(batch.x, batch.y, ignore_index=self.ignore_index))


def _scaled(gradient: Any, factor: float) -> Any:
    """Return a gradient, or a tuple of gradients, times a factor, in new arrays."""
    if isinstance(gradient, tuple):
        return tuple(_scaled(each, factor) for each in gradient)
    return gradient * factor


def as_objective(loss: Any, model: nn.Module) -> Objective:
    """Return the objective for a loss given by name, as a function or as an objective."""
    if isinstance(loss, str):
        if loss in _ELSEWHERE:
            raise ValueError(f"unknown loss {loss!r}: fastnn calls it {_ELSEWHERE[loss]!r}")
        return RowLoss(LOSSES[check_choice("loss", loss, LOSSES)])
    if isinstance(loss, type) or not isinstance(loss, Objective):
        return RowLoss(loss)
    try:
        inspect.signature(loss.learn).bind(model, None, None, None)
    except TypeError as error:
        raise TypeError(
            f"loss: {type(loss).__name__}.learn must take (model, batch, means, weigh): {error}"
        ) from None
    if isinstance(loss, TokenLoss) and not hasattr(model, "loss_and_grad"):
        raise TypeError(
            "loss: TokenLoss is for models of tokens such as TransformerLM, not "
            f"{type(model).__name__}"
        )
    return loss


def measuring(metrics: Any, objective: Objective) -> Objective:
    """Return the objective, which measures these metrics too; see `fit`."""
    if named := as_metrics(metrics):
        if not isinstance(objective, RowLoss):
            raise ValueError(
                "metrics are functions of the outputs of rows, but the loss is computed by "
                f"{type(objective).__name__}, without outputs"
            )
        objective.metrics = named
    return objective
