"""What may be called during `fit`. Any object with some of these methods is a callback:

    on_train_begin(run)             before the first step, with the `Run`: run.model, run.optimizer,
                                    run.history, run.stop_training ...
    on_epoch_begin(epoch)           on_train_batch_begin(batch)
    on_train_batch_end(batch, logs) on_epoch_end(epoch, logs)
    on_train_end()                  also after Ctrl-C

and so is any function (epoch, logs), which is called after every epoch. One with `state()` and
`load_state(state)` goes on from a checkpoint where it was; a state is numbers, strings and arrays.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from ..checks import check_count
from ..files.atomic import PathLike, check_writable, write_atomically
from ..files.model import save
from .history import Logs

if TYPE_CHECKING:
    from .run import Run

HOOKS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_epoch_end",
    "on_train_end",
)


def collect_hooks(callbacks: Iterable[Any]) -> dict[str, list[Callable[..., object]]]:
    """The functions to call at each of HOOKS; TypeError for what is no callback."""
    hooks: dict[str, list[Callable[..., object]]] = {name: [] for name in HOOKS}
    for callback in callbacks:
        found = [name for name in HOOKS if callable(getattr(callback, name, None))]
        if not found and not callable(callback):
            raise TypeError(f"a callback is called or has some of {', '.join(HOOKS)}: {callback!r}")
        for name in found:
            hooks[name].append(getattr(callback, name))
        if not found:
            hooks["on_epoch_end"].append(callback)
    return hooks


class _Best:
    """The best value of a monitored metric so far."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta must be at least 0 and finite, got {min_delta}")
        self.monitor, self.min_delta = monitor, min_delta
        is_max = mode == "max" or (mode == "auto" and monitor.endswith(("accuracy", "auc", "f1")))
        self.sign = -1.0 if is_max else 1.0
        self.value = math.nan

    def improved(self, logs: Logs) -> bool:
        """Whether the value in logs is better by more than min_delta, and so the best from now on.

        A NaN never is; the first other value always.
        """
        if self.monitor not in logs:
            raise ValueError(
                f"{self.monitor!r} is not measured here, only {', '.join(map(repr, logs))}"
            )
        new = logs[self.monitor]
        is_first = math.isnan(self.value) and not math.isnan(new)
        if is_first or self.sign * new < self.sign * self.value - self.min_delta:
            self.value = new
            return True
        return False


class EarlyStopping:
    """Ends the training once a metric has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
        A name in the logs.
    patience : int
        Epochs without an improvement after which the training ends; 0 ends it at the first.
    min_delta : float
        Improvements of at most this much do not count.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" takes more for names that end in "accuracy".
    restore_best_weights : bool
        Give the model the weights of its best epoch when the training is over, however it ended:
        those that were measured, so with `ema` the averages. The averages are those again, too.

    Attributes
    ----------
    best_epoch, stopped_epoch : int or None
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 0,
        min_delta: float = 0.0,
        mode: Literal["auto", "min", "max"] = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 0:
            raise ValueError(f"patience must be an integer of at least 0, got {patience!r}")
        self.best = _Best(monitor, mode, min_delta)
        self.patience, self.restore_best_weights = patience, restore_best_weights
        self._start()

    def _start(self) -> None:
        self.best.value, self.wait = math.nan, 0
        self.weights: NDArray[Any] | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None

    def on_train_begin(self, run: Run) -> None:
        """Start anew, unless the run goes on from a checkpoint."""
        self.run = run
        if not run.history.epoch:
            self._start()
        run.stop_training = run.stop_training or self._is_over()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Compare with the best."""
        if self.best.improved(logs):
            self.wait, self.best_epoch = 0, epoch
            if self.restore_best_weights:
                self.weights = self._measured_weights()
            return
        self.wait += 1
        if self._is_over():
            self.stopped_epoch = epoch
            self.run.stop_training = True

    def _measured_weights(self) -> NDArray[Any]:
        data = self.run.model.parameters().data
        if self.run.ema is None:
            return data.copy()
        with self.run.ema.applied():
            return data.copy()

    def _is_over(self) -> bool:
        return self.wait >= max(self.patience, 1)

    def on_train_end(self) -> None:
        """Restore the weights."""
        if self.weights is not None:
            self.run.model.parameters().data[...] = self.weights
            if self.run.ema is not None:
                self.run.ema.average[...] = self.weights

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        state = {"best": self.best.value, "wait": self.wait, "best_epoch": self.best_epoch}
        return state if self.weights is None else state | {"weights": self.weights}

    def load_state(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._start()
        self.best.value, self.wait = float(state["best"]), int(state["wait"])
        self.best_epoch, self.weights = state["best_epoch"], state.get("weights")


class TerminateOnNaN:
    """Ends the training after an epoch whose loss is NaN or infinite."""

    def on_train_begin(self, run: Run) -> None:
        """Remember whose training it is."""
        self.run = run

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Look at the loss."""
        if not math.isfinite(logs["loss"]):
            self.run.stop_training = True


class ModelCheckpoint:
    """Writes the model, or the whole run, to a file after every epoch or every so many batches.

    A file is written beside the old one and takes its place in one step, so that a kill at any
    moment leaves one or the other. Either kind is read by `fastnn.load`; a whole run is what
    `fit(..., resume=path)` goes on from.

    Parameters
    ----------
    path : path-like
        May hold fields: "model-{epoch:02d}-{val_loss:.2f}.safetensors". Whether it can be written is
        found out before the training.
    monitor, mode
        As in `EarlyStopping`; for save_best_only.
    save_best_only : bool
        Write only after epochs that are the best so far.
    save_weights_only : bool
        Write the model alone, without optimizer and generators: a third of the size with Adam.
    save_freq : "epoch" or int
        Batches between two files; it counts through the epochs, and waits for the step where
        gradients are accumulated.
    """

    saves_run = True

    def __init__(
        self,
        path: PathLike,
        monitor: str = "val_loss",
        *,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: Literal["auto", "min", "max"] = "auto",
        save_freq: Literal["epoch"] | int = "epoch",
    ) -> None:
        self.path = os.fspath(path)
        self.best = _Best(monitor, mode)
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq = None if save_freq == "epoch" else check_count("save_freq", save_freq)
        if save_best_only and self.save_freq:
            raise ValueError("save_best_only compares epochs: it needs save_freq='epoch'")
        self.batches = 0

    def on_train_begin(self, run: Run) -> None:
        """Start anew, unless the run goes on from a checkpoint."""
        self.run = run
        if not run.history.epoch and not run.step:
            self.best.value, self.batches = math.nan, 0
        folder, name = os.path.split(self.path)
        if "{" not in folder:
            check_writable(os.path.join(folder, "model") if "{" in name else self.path)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Write every save_freq batches."""
        if self.save_freq is None:
            return
        self.batches += 1
        if self.batches >= self.save_freq and self.run.pending == 0:
            self.batches = 0
            self._write(self.run.epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write after the epoch."""
        if self.save_freq is None and (not self.save_best_only or self.best.improved(logs)):
            self._write(epoch, logs)

    def _write(self, epoch: int, logs: Logs) -> None:
        try:
            path = self.path.format(epoch=epoch, **logs)
        except (KeyError, IndexError) as error:
            known = ", ".join(map(repr, ("epoch", *logs)))
            raise ValueError(f"{self.path}: {error} is no field here, only {known}") from error
        if not self.save_weights_only:
            self.run.save(path)
        elif self.run.ema is None:
            save(self.run.model, path)
        else:
            with self.run.ema.applied():
                save(self.run.model, path)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best": self.best.value, "batches": self.batches}

    def load_state(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.best.value, self.batches = float(state["best"]), int(state["batches"])


class LRSchedule:
    """Sets the optimizer's learning rate from a schedule.

    An optimizer that was made with a schedule as its `lr` needs no callback: this one is for rates
    by epoch, or to change the rate of an optimizer from elsewhere.

    Parameters
    ----------
    schedule : callable
        number -> learning rate, such as those of `fastnn.optim`.
    per : {"epoch", "step"}
        What is counted, from 0: epochs, or steps of the optimizer.
    """

    def __init__(
        self, schedule: Callable[[int], float], per: Literal["epoch", "step"] = "epoch"
    ) -> None:
        if not callable(schedule):
            raise TypeError(f"a schedule is a function number -> learning rate, got {schedule!r}")
        if per not in ("epoch", "step"):
            raise ValueError(f"per must be 'epoch' or 'step', got {per!r}")
        self.schedule, self.per = schedule, per

    def on_train_begin(self, run: Run) -> None:
        """Remember whose rate it is."""
        self.optimizer = run.optimizer

    def on_epoch_begin(self, epoch: int) -> None:
        """Set the rate of the epoch."""
        if self.per == "epoch":
            self.optimizer.lr = float(self.schedule(epoch))

    def on_train_batch_begin(self, batch: int) -> None:
        """Set the rate of the next step."""
        if self.per == "step":
            self.optimizer.lr = float(self.schedule(self.optimizer.steps))


class CSVLogger:
    """Keeps the history in a CSV file: a header, and a row for every finished epoch.

    The file is written anew after each epoch, in one step, so it is whole at any moment; a run that
    goes on from a checkpoint has the earlier epochs in it too.

    Parameters
    ----------
    path : path-like
    separator : str
    """

    def __init__(self, path: PathLike, separator: str = ",") -> None:
        self.path, self.separator = path, separator

    def on_train_begin(self, run: Run) -> None:
        """Remember whose history it is."""
        check_writable(self.path)
        self.history = run.history

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write all rows."""
        table = io.StringIO()
        writer = csv.writer(table, delimiter=self.separator, lineterminator="\n")
        columns = self.history.history
        writer.writerow(["epoch", *columns])
        writer.writerows(zip(self.history.epoch, *columns.values(), strict=True))
        write_atomically(self.path, table.getvalue().encode())
