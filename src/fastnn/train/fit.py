"""The training loop, with Keras's names."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..nn.linear import check_count
from ..optim import Optimizer
from .atomic import PathLike
from .batches import (
    ArraySource,
    ClassWeights,
    StreamSource,
    check_weights,
    split_rows,
    validation_batches,
    weights_of_classes,
)
from .callbacks import collect_hooks
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .evaluate import means_over
from .history import History, Logs
from .metrics import Means
from .objective import Loss, Objective, RowLoss
from .progress import display
from .tensors import ModelFileError

if TYPE_CHECKING:
    from ..optim import ExponentialMovingAverage

Examples = tuple[NDArray[Any], ...] | Iterable[Any]


def fit(
    model: nn.Module,
    x: NDArray[Any] | Iterable[Any],
    y: NDArray[Any] | None = None,
    *,
    optimizer: Optimizer,
    loss: Loss | Objective = nn.cross_entropy,
    epochs: int = 1,
    batch_size: int = 32,
    validation_data: Examples | None = None,
    validation_split: float = 0.0,
    shuffle: bool = True,
    callbacks: Iterable[Any] = (),
    class_weight: Mapping[int, float] | str | None = None,
    sample_weight: NDArray[Any] | None = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    verbose: int | str = "auto",
    seed: int | np.random.Generator | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    ema: ExponentialMovingAverage | None = None,
    resume: PathLike | None = None,
) -> History:
    """Train a model.

    Parameters
    ----------
    model : nn.Module
    x : ndarray (N, ...), or iterable of batches
        One example per row, of the dtype of the model. `np.memmap` is read batch by batch. An
        iterable gives (x, y) or (x, y, weight), and y, batch_size and shuffle are not used; each
        epoch runs through it anew.
    y : ndarray (N,) of integers, or (N, ...)
        Classes, or whatever the loss compares the output with.
    optimizer : Optimizer
        Over `model.parameters()`, or over those of a part of the model to train that part alone.
    loss : callable
        (output, targets) -> (loss, gradient of the output), a mean over rows. With weights it is
        called with `sample_weight=` too, an array (rows,) of the dtype of the model. Or an object
        with the methods of `train.objective.Objective`, such as `train.TokenLoss`.
    epochs : int
        The epoch to stop before: with initial_epoch or resume, so many less are run.
    batch_size : int
        At least 1. The last batch of an epoch may be smaller.
    validation_data : (x, y), (x, y, weight) or iterable of batches, optional
        Evaluated after each epoch; nothing is learnt from it. A list of arrays is as a tuple.
    validation_split : float
        In [0, 1): this share of the rows, the last ones, is validation data.
    shuffle : bool
        Visit the rows in a new random order in each epoch.
    callbacks : iterable
        Each is a callable `(epoch, logs)` called after every epoch, or an object with some of the
        methods of `train.callbacks`. Epochs and batches count from 0; logs are the values of
        `History.history`, for a batch the means since the epoch began.
    class_weight : dict of int to float, or "balanced", optional
        How much a row of a class counts, 1 where none is given; "balanced" is
        n / (classes * count). Multiplies the sample weights.
    sample_weight : ndarray (N,), optional
        How much each row counts.
    initial_epoch : int
        The number of the first epoch.
    steps_per_epoch : int, optional
        Batches in an epoch; needed for an iterator that never ends.
    verbose : {"auto", 0, 1, 2}
        0 is silent; 1 and "auto" show a bar where stderr is a terminal (and rich is installed),
        else one line per epoch on stderr, if there is one; 2 shows lines in any case.
    seed : None, int or numpy.random.Generator
        Of the order of the rows. The same seed, model and data give the same bits again, for any
        number of threads.
    clip_norm : float, optional
        Greatest norm of all gradients of a step together, see `optim.clip_grad_norm`.
    accumulate : int
        Batches whose mean gradient makes one step. What is left at the end of an epoch makes one
        too.
    ema : optim.ExponentialMovingAverage, optional
        Updated after each step; validation and the files of `ModelCheckpoint` have the averages.
    resume : path-like, optional
        A file of `ModelCheckpoint` or `save_checkpoint` to go on from, bit by bit as if the run
        had not ended: model, optimizer, generators, history, callbacks and the place in the epoch
        are those of the file; data and options are yours to give again, within an epoch with the
        same rows and batch_size. An iterable with `state()` and `load_state(state)`, such as
        `data.batches`, goes on where it was; any other begins anew and is run through up to there,
        so it must give the same batches again (without steps_per_epoch: in every epoch).

    Returns
    -------
    History
        After Ctrl-C too, with `interrupted` set: the model is then as its last step left it, and
        ready for use. An unfinished epoch is not in the history.

    Raises
    ------
    ValueError
        x and y differ in length or are empty, an option is out of range, or the optimizer or ema
        belongs to another model.
    TypeError
        An option or a batch has the wrong type, or a callback has no method and cannot be called.
    ModelFileError
        The file to resume from is damaged, or not of this model and optimizer.

    Warns
    -----
    RuntimeWarning
        Once, at the first epoch whose loss is NaN or infinite. The training goes on:
        `train.TerminateOnNaN` ends it, and so does `train.EarlyStopping`.
    """
    epochs = check_count("epochs", epochs)
    batch_size = check_count("batch_size", batch_size)
    if not np.may_share_memory(optimizer.params.data, model.parameters().data):
        raise ValueError("the optimizer does not hold the parameters of this model")
    if ema is not None and not np.may_share_memory(ema.params.data, model.parameters().data):
        raise ValueError("ema does not hold the average of the parameters of this model")
    run = Run(model, optimizer, loss, epochs)
    run.epoch = 0 if initial_epoch == 0 else check_count("initial_epoch", initial_epoch)
    run.rng = np.random.default_rng(seed)
    run.clip_norm = _check_norm(clip_norm)
    run.accumulate = check_count("accumulate", accumulate)
    run.ema = ema
    rows, validation_data = split_rows(x, y, sample_weight, validation_data, validation_split)
    dtype = model.parameters().dtype
    steps = None if steps_per_epoch is None else check_count("steps_per_epoch", steps_per_epoch)
    if rows is None:
        run.source = StreamSource(x, steps, dtype)
    else:
        weights = check_weights(rows.weight, len(rows.x), dtype)
        run.source = ArraySource(rows.x, rows.y, weights, batch_size, shuffle, steps)
    if validation_data is not None:
        run.validation = validation_batches(validation_data, batch_size, dtype)
    run.class_weights = weights_of_classes(class_weight, None if rows is None else rows.y, dtype)
    with display(verbose) as shown:
        run.set_callbacks([*callbacks, *shown])
        if resume is not None:
            run.restore(resume)
        run.train()
    return run.history


class Run:
    """A training run, as callbacks get it in `on_train_begin`.

    Attributes
    ----------
    model : nn.Module
    optimizer : Optimizer
    history : History
    epochs : int
        The epoch to stop before.
    epoch, step : int
        The epoch that is running, and its batches that are done.
    pending : int
        Batches whose gradients wait for a step (see `accumulate`).
    steps_per_epoch : int or None
        Batches in an epoch, where that is known.
    stop_training : bool
        Set it to end the run after the epoch.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, loss: Loss | Objective, epochs: int
    ) -> None:
        self.model, self.optimizer, self.epochs = model, optimizer, epochs
        self.objective = loss if isinstance(loss, Objective) else RowLoss(loss)
        self.epoch = self.step = self.pending = 0
        self.stop_training = False
        self.history = History()
        self.means = Means()
        self.source: ArraySource | StreamSource
        self.validation: Any = None
        self.class_weights: ClassWeights | None = None
        self.clip_norm: float | None = None
        self.accumulate = 1
        self.ema: ExponentialMovingAverage | None = None
        self.rng = np.random.default_rng()
        self.order_state: Mapping[str, Any] | None = None

    @property
    def steps_per_epoch(self) -> int | None:
        return self.source.steps

    def set_callbacks(self, callbacks: list[Any]) -> None:
        """Take the callbacks; those that save the run come last, when the others are up to date."""
        callbacks = sorted(callbacks, key=lambda callback: hasattr(callback, "saves_run"))
        self.hooks = collect_hooks(callbacks)
        counts: dict[str, int] = {}
        self.stateful: dict[str, Any] = {}
        for callback in callbacks:
            if hasattr(callback, "load_state"):
                kind = type(callback).__name__
                counts[kind] = counts.get(kind, -1) + 1
                self.stateful[f"{kind}.{counts[kind]}"] = callback

    def call(self, hook: str, *args: Any) -> None:
        """Call that method of every callback that has it."""
        for function in self.hooks[hook]:
            function(*args)

    def train(self) -> None:
        """All epochs, until the last one, a callback or Ctrl-C."""
        try:
            self.call("on_train_begin", self)
            while self.epoch < self.epochs and not self.stop_training:
                logs = _train_epoch(self)
                if self.validation is not None:
                    logs |= {f"val_{name}": value for name, value in self._validate().items()}
                self._check_loss(logs["loss"])
                self.history._append(self.epoch, logs)
                self.epoch, self.step, self.means = self.epoch + 1, 0, Means()
                for hook in self.hooks["on_epoch_end"]:
                    hook(self.epoch - 1, dict(logs))
        except KeyboardInterrupt:
            self.history.interrupted = True
        self.call("on_train_end")

    def _check_loss(self, loss: float) -> None:
        before = self.history.history.get("loss", [])
        if not math.isfinite(loss) and all(map(math.isfinite, before)):
            warnings.warn(
                f"the loss of epoch {self.epoch + 1} is {loss}: a smaller learning rate or "
                "clip_norm may help, or an example is not finite",
                RuntimeWarning,
                stacklevel=4,  # at the call of fit
            )

    def _validate(self) -> Logs:
        if self.ema is None:
            return means_over(self.model, self.validation(), self.objective)
        with self.ema.applied():
            return means_over(self.model, self.validation(), self.objective)

    def update(self) -> None:
        """A step of the optimizer along the mean of the gradients that are pending."""
        self.optimizer.step(grad_scale=1 / self.pending, max_norm=self.clip_norm)
        self.pending = 0
        if self.ema is not None:
            self.ema.update()

    def save(self, path: PathLike) -> None:
        """Write what `fit(..., resume=path)` goes on from; between two steps only."""
        save_checkpoint(
            path,
            self.model,
            self.optimizer,
            epoch=self.epoch,
            step=self.step,
            rng=self.order_state if self.step else self.rng,
            history=self.history,
            ema=self.ema,
            extra={
                "means": self.means.state(),
                "cut": self.source.cut(),
                "source": self.source.state(),
                "callbacks": {name: c.state() for name, c in self.stateful.items()},
            },
        )

    def restore(self, path: PathLike) -> None:
        """Go on from a file that `save` wrote."""
        check = partial(self._check_cut, os.fspath(path))
        found = load_checkpoint(
            path, self.model, self.optimizer, rng=self.rng, ema=self.ema, check=check
        )
        self.epoch, self.step, self.history = found.epoch, found.step, found.history
        self.history.interrupted = False
        try:
            self.means.load_state(found.extra.get("means", Means().state()))
            self.source.load_state(found.extra.get("source", {}))
            for name, state in found.extra.get("callbacks", {}).items():
                if name in self.stateful:
                    self.stateful[name].load_state(state)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelFileError(f"{os.fspath(path)} holds no run of fit: {error!r}") from error

    def _check_cut(self, path: str, found: Checkpoint) -> None:
        before, now = found.extra.get("cut"), self.source.cut()
        if found.step and before is not None and before != now:
            raise ModelFileError(
                f"{path} was saved after {found.step} batches of an epoch, and goes on with the "
                f"same batches only: they were {before}, and are {now}"
            )


def _train_epoch(run: Run) -> Logs:
    """The batches of an epoch that are left, each forward and backward."""
    model, means, hooks = run.model, run.means, run.hooks
    gradients = model.parameters()
    run.call("on_epoch_begin", run.epoch)
    run.order_state = run.rng.bit_generator.state
    for batch in run.source.epoch(run.rng, skip=run.step):
        for hook in hooks["on_train_batch_begin"]:
            hook(run.step)
        if run.class_weights is not None:
            batch = run.class_weights(batch)
        if run.pending == 0:
            gradients.zero_grad()
        run.objective.learn(model, batch, means)
        run.pending += 1
        if run.pending == run.accumulate:
            run.update()
        run.step += 1
        if hooks["on_train_batch_end"]:
            logs = means.logs()
            for hook in hooks["on_train_batch_end"]:
                hook(run.step - 1, dict(logs))
    if run.pending:
        run.update()
    return means.logs()


def _check_norm(clip_norm: float | None) -> float | None:
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm (max_norm of all gradients) must be above 0, got {clip_norm}")
    return clip_norm
