"""The training loop."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import nn
from ..files.atomic import PathLike
from ..files.tensors import ModelFileError
from ..optim import Optimizer
from .batches import ArraySource, ClassWeights, StreamSource
from .callbacks import collect_hooks
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .evaluate import means_over
from .history import History, Logs
from .metrics import Means
from .objective import Loss, Objective, RowLoss

if TYPE_CHECKING:
    from ..optim import ExponentialMovingAverage


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
        self.order_state = self.rng.bit_generator.state  # of the beginning of the epoch, as saved
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
