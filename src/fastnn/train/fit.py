"""The training loop, with Keras's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..nn.linear import check_count
from ..optim import Optimizer, clip_grad_norm

Loss = Callable[[NDArray[Any], NDArray[Any]], tuple[float, NDArray[Any]]]
Logs = dict[str, float]


@dataclass
class History:
    """What a training run went through.

    Attributes
    ----------
    history : dict of str to list of float
        One value per finished epoch: "loss", and "accuracy" for a classifier; with validation data
        also "val_loss" and "val_accuracy". Accuracies are fractions of 1. The training values are
        means over the batches of the epoch, taken while the model was still changing.
    epoch : list of int
        The finished epochs, counted from 0.
    interrupted : bool
        Whether Ctrl-C ended the run early.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)
    interrupted: bool = False

    def _append(self, epoch: int, logs: Logs) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


def fit(
    model: nn.Module,
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    optimizer: Optimizer,
    loss: Loss = nn.cross_entropy,
    epochs: int = 1,
    batch_size: int = 32,
    validation_data: tuple[NDArray[Any], NDArray[Any]] | None = None,
    shuffle: bool = True,
    seed: int | np.random.Generator | None = None,
    clip_norm: float | None = None,
    callbacks: Iterable[Any] = (),
) -> History:
    """Train a model.

    Parameters
    ----------
    model : nn.Module
    x : ndarray (N, ...)
        One example per row, of the dtype of the model.
    y : ndarray (N,) of integers, or (N, ...)
        Classes, or whatever the loss compares the output with.
    optimizer : Optimizer
        Over `model.parameters()`, or over those of a part of the model to train that part alone.
    loss : callable
        (output, targets) -> (loss, gradient of the output), a mean over rows.
    epochs, batch_size : int
        At least 1. The last batch of an epoch may be smaller.
    validation_data : (x, y), optional
        Evaluated after each epoch; nothing is learnt from it.
    shuffle : bool
        Visit the rows in a new random order in each epoch.
    seed : None, int or numpy.random.Generator
        Of that order. The same seed, model and data give the same bits again, for any number of
        threads.
    clip_norm : float, optional
        Greatest norm of all gradients together, see `optim.clip_grad_norm`.
    callbacks : iterable
        Each is a callable `(epoch, logs)` called after every epoch, or an object with the methods
        `on_epoch_end(epoch, logs)`, `on_train_batch_end(batch, logs)` or both. Both count from 0;
        logs are the values of `History.history`, for a batch the means since the epoch began.

    Returns
    -------
    History
        After Ctrl-C too, with `interrupted` set: the model is then as its last step left it, and
        ready for use. An unfinished epoch is not in the history.

    Raises
    ------
    ValueError
        x and y differ in length or are empty, or the optimizer belongs to another model.
    TypeError
        A callback has neither method and cannot be called.
    """
    epochs = check_count("epochs", epochs)
    batch_size = check_count("batch_size", batch_size)
    _check_examples("x", x, "y", y)
    if validation_data is not None:
        _check_examples("validation x", validation_data[0], "validation y", validation_data[1])
    if not np.may_share_memory(optimizer.params.data, model.parameters().data):
        raise ValueError("the optimizer does not hold the parameters of this model")
    on_epoch_end, on_train_batch_end = _hooks(callbacks)
    rng = np.random.default_rng(seed)
    history = History()
    try:
        for epoch in range(epochs):
            order = rng.permutation(len(x)) if shuffle else np.arange(len(x))
            batches = _batches(order, batch_size)
            logs = _train_epoch(
                model, x, y, batches, loss, optimizer, clip_norm, on_train_batch_end
            )
            if validation_data is not None:
                logs |= _with_prefix("val_", _evaluate(model, *validation_data, loss, batch_size))
            history._append(epoch, logs)
            for hook in on_epoch_end:
                hook(epoch, dict(logs))
    except KeyboardInterrupt:
        history.interrupted = True
    return history


def evaluate(
    model: nn.Module,
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    loss: Loss = nn.cross_entropy,
    batch_size: int = 256,
) -> tuple[float, float | None]:
    """Mean loss over all rows, and the fraction of rows whose greatest output is that of the class.

    Parameters
    ----------
    model, x, y, loss
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
    _check_examples("x", x, "y", y)
    logs = _evaluate(model, x, y, loss, check_count("batch_size", batch_size))
    return logs["loss"], logs.get("accuracy")


class _Means:
    """Loss and accuracy, averaged over all rows seen so far."""

    def __init__(self, y: NDArray[Any]) -> None:
        self.has_classes = y.ndim == 1 and np.issubdtype(y.dtype, np.integer)
        self.loss, self.n_right, self.n = 0.0, 0, 0

    def add(self, loss: float, output: NDArray[Any], y: NDArray[Any]) -> None:
        self.loss += loss * len(y)
        self.n += len(y)
        if self.has_classes:
            self.n_right += int(np.count_nonzero(output.argmax(axis=-1) == y))

    def logs(self) -> Logs:
        logs = {"loss": self.loss / self.n}
        if self.has_classes:
            logs["accuracy"] = self.n_right / self.n
        return logs


def _train_epoch(
    model: nn.Module,
    x: NDArray[Any],
    y: NDArray[Any],
    batches: Iterator[NDArray[np.intp]],
    loss: Loss,
    optimizer: Optimizer,
    clip_norm: float | None,
    on_train_batch_end: list[Callable[[int, Logs], object]],
) -> Logs:
    """One step of the optimizer per batch of rows."""
    means = _Means(y)
    parameters = model.parameters()
    for i, rows in enumerate(batches):
        targets = y[rows]
        output, ctx = model.forward(x[rows])
        value, doutput = loss(output, targets)
        parameters.zero_grad()
        model.backward(doutput, ctx, need_dx=False)
        if clip_norm is not None:
            clip_grad_norm(optimizer.params, clip_norm)
        optimizer.step()
        means.add(value, output, targets)
        for hook in on_train_batch_end:
            hook(i, means.logs())
    return means.logs()


def _evaluate(
    model: nn.Module, x: NDArray[Any], y: NDArray[Any], loss: Loss, batch_size: int
) -> Logs:
    means = _Means(y)
    for start in range(0, len(x), batch_size):
        targets = y[start : start + batch_size]
        output = model(x[start : start + batch_size])
        means.add(loss(output, targets)[0], output, targets)
    return means.logs()


def _batches(order: NDArray[np.intp], batch_size: int) -> Iterator[NDArray[np.intp]]:
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def _with_prefix(prefix: str, logs: Logs) -> Logs:
    return {prefix + name: value for name, value in logs.items()}


def _check_examples(x_name: str, x: NDArray[Any], y_name: str, y: NDArray[Any]) -> None:
    for name, array in ((x_name, x), (y_name, y)):
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise TypeError(f"{name} must be a NumPy array of examples, got {array!r:.80}")
    if len(x) != len(y):
        raise ValueError(f"{x_name} has {len(x)} rows {x.shape}, {y_name} has {len(y)} {y.shape}")
    if len(x) == 0:
        raise ValueError(f"{x_name} has no rows: its shape is {x.shape}")


def _hooks(callbacks: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """The functions to call after each epoch, and after each batch."""
    after_epoch, after_batch = [], []
    for callback in callbacks:
        epoch_hook = getattr(callback, "on_epoch_end", None)
        batch_hook = getattr(callback, "on_train_batch_end", None)
        if epoch_hook is None and batch_hook is None:
            if not callable(callback):
                raise TypeError(
                    f"a callback is called or has on_epoch_end or on_train_batch_end: {callback!r}"
                )
            epoch_hook = callback
        if epoch_hook is not None:
            after_epoch.append(epoch_hook)
        if batch_hook is not None:
            after_batch.append(batch_hook)
    return after_epoch, after_batch
