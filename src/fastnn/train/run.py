"""The training loop."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels, nn
from ..checks import users_level
from ..files.atomic import PathLike
from ..files.tensors import ModelFileError
from ..optim import Optimizer
from .arguments import check_precision
from .batches import ArraySource, StreamSource
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .evaluate import means_over
from .examples import Batch, ClassWeights
from .history import History, Logs
from .hooks import Monitor, collect_hooks
from .metrics import Means
from .objective import Objective, RowLoss
from .team import Team

if TYPE_CHECKING:
    from ..optim import ExponentialMovingAverage


class Run:
    """A training run, the argument of `on_train_begin`.

    Attributes
    ----------
    model : nn.Module
    optimizer : Optimizer
    history : History
    epochs : int
        Last epoch (exclusive).
    epoch, step : int
        The current epoch, and the number of its batches that are done.
    pending : int
        Batches whose gradients are accumulated for the next step.
    steps_per_epoch : int or None
        Batches in an epoch, if known.
    stop_training : bool
        Set it to stop the run after the current epoch.

    Examples
    --------
    >>> class Report:
    ...     def on_train_begin(self, run):
    ...         print(type(run).__name__, run.epochs)
    >>> x, y = fastnn.data.load_digits(split="train")
    >>> history = fastnn.fit(
    ...     nn.MLP((64, 10), rng=0), x, y, optimizer="adam", callbacks=Report(), verbose=0
    ... )
    Run 1
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, objective: Objective, epochs: int
    ) -> None:
        self.model, self.optimizer, self.epochs = model, optimizer, epochs
        self.objective = objective
        self.epoch = self.step = self.pending = 0
        self.first_weight = self.weight = 0.0  # of the pending batches: see `weigh`
        self.stop_training = False
        self.history = History()
        self.means = Means()
        self.source: ArraySource | StreamSource
        # Function that iterates over the validation batches, and all targets if they are one array.
        self.validation: tuple[Callable[[], Iterator[Batch]], NDArray[Any] | None] | None = None
        self.validation_begun: Iterator[Batch] | None = None
        self.validation_names: list[str] = []
        self.are_names_checked = False
        self.resumed_from: str | None = None
        self.class_weights: ClassWeights | None = None
        self.clip_norm: float | None = None
        self.accumulate = 1
        self.ema: ExponentialMovingAverage | None = None
        self.precision: str | None = None
        self.rng = np.random.default_rng()
        self.order_state: Mapping[str, Any] | None = None
        self.team: Team | None = None

    @property
    def is_first(self) -> bool:
        """True on the rank that writes and prints, and without other ranks."""
        return self.team is None or self.team.is_first

    def any(self, flag: bool) -> bool:
        """True if the flag is True on any rank; all ranks must call this."""
        return flag if self.team is None else self.team.any(flag)

    @property
    def steps_per_epoch(self) -> int | None:
        return self.source.steps

    def set_callbacks(self, callbacks: list[Any]) -> None:
        """Set the callbacks; those that save the run come last, after the others have updated."""
        callbacks = sorted(callbacks, key=lambda callback: hasattr(callback, "saves_run"))
        self.hooks = collect_hooks(callbacks)
        self.callbacks = callbacks
        counts: dict[str, int] = {}
        self.stateful: dict[str, Any] = {}
        for callback in callbacks:
            if hasattr(callback, "load_state"):
                kind = type(callback).__name__
                counts[kind] = counts.get(kind, -1) + 1
                self.stateful[f"{kind}.{counts[kind]}"] = callback

    def call(self, hook: str, *args: Any) -> None:
        """Call this method of every callback that has it."""
        for function in self.hooks[hook]:
            function(*args)

    def check_data(self) -> None:
        """Raise early the errors that labels and validation data would cause after some steps."""
        if self.epoch >= self.epochs:
            return
        labels = self.objective.check_labels if isinstance(self.objective, RowLoss) else None
        if labels is not None and isinstance(self.source, ArraySource):
            labels(self.model, self.source.x[:1], self.source.y, "y")
        if self.validation is None:
            return
        batches, y = self.validation
        begun = batches()
        first = next(begun)
        probe = Means()
        try:
            self.objective.measure(self.model, first, probe)
            if labels is not None and y is not None:
                labels(self.model, first.x[:1], y, "the validation y")
        except (TypeError, ValueError, IndexError) as error:
            if type(error) not in (TypeError, ValueError, IndexError):
                raise
            raise type(error)(f"in the validation data: {error}") from error
        self.validation_names = probe.names()
        self.validation_begun = chain([first], begun)

    def check_names(self) -> None:
        """Let callbacks check the metrics they use, before the first step."""
        self.are_names_checked = True
        names = self.means.names()
        all_names = [*names, *(f"val_{name}" for name in self.validation_names)]
        for callback in self.callbacks:
            if hasattr(callback, "check_names"):
                callback.check_names(all_names, names)

    def train(self) -> None:
        """Run the epochs until the last one, a callback or Ctrl-C stops the run."""
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
                if self.team is not None:
                    self.stop_training = self.any(self.stop_training)
                    self.team.check_weights()
        except KeyboardInterrupt:
            self.history.interrupted = True
        self.call("on_train_end")

    def why_over(self) -> str | None:
        """Return why there is no epoch to run, or None if there is one."""
        if self.epoch >= self.epochs:
            why = f"{self.epoch} epochs are done and epochs={self.epochs}: give more epochs"
        elif self.stop_training:
            why = f"a callback stopped it after epoch {self.epoch}"
        else:
            return None
        what = f"the run of {self.resumed_from} is over" if self.resumed_from else "no epoch runs"
        return f"{what}: {why}"

    def _check_loss(self, loss: float) -> None:
        before = self.history.history.get("loss", [])
        if self.is_first and not math.isfinite(loss) and all(map(math.isfinite, before)):
            warnings.warn(
                f"the loss of epoch {self.epoch + 1} is {loss}: a smaller learning rate or "
                "clip_norm may help, or an example is not finite",
                RuntimeWarning,
                stacklevel=users_level(),
            )

    def _validate(self) -> Logs:
        assert self.validation is not None
        batches = self.validation_begun or self.validation[0]()
        self.validation_begun = None
        with nullcontext() if self.ema is None else self.ema.applied():
            if self.team is not None:
                return self.team.measure(batches)
            return means_over(self.model, batches, self.objective)

    def products(self) -> AbstractContextManager[None]:
        """Return the context of all passes of the run; warn if it makes them slower."""
        if self.precision != "bf16":
            return nullcontext()
        isa = kernels.build_info()["isa"]
        if self.is_first and "amx" not in isa:  # vdpbf16ps alone is slower (docs/low-precision.md)
            warnings.warn(
                f"precision='bf16': this CPU ({isa}) has no fast products of bfloat16; the results "
                "are those of a CPU that has, but float32 would be faster",
                RuntimeWarning,
                stacklevel=users_level(),
            )
        return nn.precision("bf16")

    def weigh(self, weight: float | None) -> float:
        """Return the factor for gradients of a batch whose loss is a mean over this weight.

        With it, the pending batches make the step of all their rows as one batch. The factor of the
        first is 1, so the bits of a step of one batch do not change. None: the loss is a sum.
        """
        if not weight:
            return 1.0
        self.first_weight = self.first_weight or weight
        self.weight += weight
        return weight / self.first_weight

    def update(self) -> None:
        """Take a step of the optimizer along the pending gradients; see `weigh`."""
        if self.team is not None:
            self.team.sum_gradients()
        scale = self.first_weight / self.weight if self.weight else 1.0
        self.optimizer.step(grad_scale=scale, max_norm=self.clip_norm)
        self.pending, self.first_weight, self.weight = 0, 0.0, 0.0
        if self.ema is not None:
            self.ema.update()

    def save(self, path: PathLike) -> None:
        """Write a checkpoint for `fit(..., resume=path)`; only between two steps.

        Of several ranks, the first writes it.
        """
        if not self.is_first:
            return
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
                **({"precision": "bf16"} if self.precision == "bf16" else {}),
            },
        )

    def restore(self, path: PathLike) -> None:
        """Resume from a file that `save` wrote."""
        check = partial(self._check_cut, os.fspath(path))
        found = load_checkpoint(
            path, self.model, self.optimizer, rng=self.rng, ema=self.ema, check=check
        )
        self.epoch, self.step, self.history = found.epoch, found.step, found.history
        self.resumed_from = os.fspath(path)
        self.history.interrupted = False
        self.order_state = self.rng.bit_generator.state  # at the start of the epoch, as saved
        try:
            self.means.load_state(found.extra.get("means", Means().state()))
            self.source.load_state(found.extra.get("source", {}))
            if self.precision is None and found.extra.get("precision") == "bf16":
                self.precision = check_precision("bf16", self.model.parameters().dtype)
            self._restore_callbacks(found.extra.get("callbacks", {}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelFileError(f"{os.fspath(path)} holds no run of fit: {error!r}") from error

    def _restore_callbacks(self, states: Mapping[str, Any]) -> None:
        """Load into each callback the state of one with its class and monitored metric.

        A callback without a match is reset: the best accuracy is not a best loss.
        """
        left = dict(states)
        for name, callback in self.stateful.items():
            best = getattr(callback, "best", None)
            if isinstance(best, Monitor):
                kind = name.rsplit(".", 1)[0]
                fitting = [
                    key
                    for key, state in left.items()
                    if key.rsplit(".", 1)[0] == kind and best.fits(state, self.history)
                ]
                name = fitting[0] if fitting else ""
            if name in left:
                callback.load_state(left.pop(name))
            elif hasattr(callback, "reset"):
                callback.reset()

    def _check_cut(self, path: str, found: Checkpoint) -> None:
        before, now = found.extra.get("cut"), self.source.cut()
        if found.step and before is not None and before != now:
            raise ModelFileError(
                f"{path} was saved after {found.step} batches of an epoch, and goes on with the "
                f"same batches only: they were {before}, and are {now}"
            )


def _train_epoch(run: Run) -> Logs:
    """Train on the remaining batches of an epoch; return the means."""
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
        if run.team is None:
            run.objective.learn(model, batch, means, run.weigh)
        else:
            run.team.learn(batch)
        if not run.are_names_checked:
            run.check_names()
        run.pending += 1
        if run.pending == run.accumulate:
            run.update()
        run.step += 1
        if hooks["on_train_batch_end"]:
            logs = means.logs()
            for hook in hooks["on_train_batch_end"]:
                hook(run.step - 1, dict(logs))
        if run.team is not None and run.team.is_interrupted and not run.pending:
            raise KeyboardInterrupt
    if run.pending:
        run.update()
    return means.logs()
