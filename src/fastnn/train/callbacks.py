"""Callbacks of `fit`. Any object with some of these methods is a callback:

    on_train_begin(run)             before the first step, with the `Run`: run.model, run.optimizer,
                                    run.history, run.stop_training ...
    on_epoch_begin(epoch)           on_train_batch_begin(batch)
    on_train_batch_end(batch, logs) on_epoch_end(epoch, logs)
    on_train_end()                  also after Ctrl-C

Any function (epoch, logs) is a callback too; it is called after every epoch. A callback with
`state()` and `load_state(state)` is restored from checkpoints; its state consists of numbers,
strings and arrays.

With `fit(..., comm=...)` callbacks are called on every rank, with the same logs: one that prints or
writes files does so if `run.is_first`, one that changes the model does so on all ranks alike.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from ..checks import check_choice, check_count, check_flag, given
from ..files.atomic import PathLike, check_writable, write_atomically
from ..files.model import save
from ..optim.state import checked
from .arguments import check_path, check_signature
from .history import Logs
from .hooks import Monitor, Shown

if TYPE_CHECKING:
    from .run import Run


class EarlyStopping(Shown):
    """Stop training once a metric has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
        A name in the logs.
    patience : int
        Epochs without improvement after which training stops; 0 and 1 stop at the first.
    min_delta : float
        Improvements of at most this much do not count.
    mode : {"auto", "min", "max"}
        Whether lower or higher is better; "auto" means "max" for names that end in "accuracy",
        "auc" or "f1".
    restore_best_weights : bool
        Restore the weights of the best epoch when training ends for any reason: those that were
        evaluated, so with `ema` the averages, which are restored too.

    Attributes
    ----------
    best_epoch, stopped_epoch : int or None
        Counted from 0. `History.stopped` says why training was stopped.

    Examples
    --------
    >>> stop = fastnn.train.EarlyStopping("val_accuracy", patience=3)  # fit(..., callbacks=stop)
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
        self.best = Monitor(monitor, mode, min_delta)
        self.patience = check_count("patience", patience, 0)
        self.restore_best_weights = check_flag("restore_best_weights", restore_best_weights)
        self.reset()

    def check_names(self, names: list[str], batch_names: list[str]) -> None:
        """Raise ValueError unless the metric is measured."""
        self.best.check(names)

    def reset(self) -> None:
        """Reset the best epoch."""
        self.best.value, self.wait = math.nan, 0
        self.weights: NDArray[Any] | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None

    def on_train_begin(self, run: Run) -> None:
        """Reset unless the run was resumed."""
        self.run = run
        if not run.history.epoch:
            self.reset()
        run.stop_training = run.stop_training or self._is_over()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Compare with the best epoch."""
        if self.best.improved(logs):
            self.wait, self.best_epoch = 0, epoch
            if self.restore_best_weights:
                self.weights = self._measured_weights()
            return
        self.wait += 1
        if self._is_over():
            self.stopped_epoch = epoch
            self.run.stop_training = True
            since = "of any epoch" if self.best_epoch is None else f"of epoch {self.best_epoch + 1}"
            self.run.history.stopped = (
                f"{self.best.monitor} has not improved on {self.best.value:.6g} {since} "
                f"for {self.wait} epoch{'s' * (self.wait != 1)}"
            )

    def _measured_weights(self) -> NDArray[Any]:
        data = self.run.model.parameters().data
        if self.run.ema is None:
            return data.copy()
        with self.run.ema.applied():
            return data.copy()

    def _is_over(self) -> bool:
        return self.wait >= max(self.patience, 1)

    def on_train_end(self) -> None:
        """Restore the weights of the best epoch."""
        if self.weights is not None:
            self.run.model.parameters().data[...] = self.weights
            if self.run.ema is not None:
                self.run.ema.average[...] = self.weights

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        state: dict[str, Any] = {"monitor": str(self.best), "best": self.best.value}
        state |= {"wait": self.wait, "best_epoch": self.best_epoch}
        return state if self.weights is None else state | {"weights": self.weights}

    def load_state(self, state: dict[str, Any]) -> None:
        """Load the state of a checkpoint."""
        self.reset()
        self.best.value, self.wait = float(state["best"]), int(state["wait"])
        self.best_epoch, self.weights = state["best_epoch"], state.get("weights")


class ModelCheckpoint(Shown):
    """Save the model, or the whole run, after every epoch or every `save_freq` batches.

    A new file replaces the old one atomically, so a kill at any time leaves one or the other.
    `fastnn.load` reads both kinds; `fit(..., resume=path)` resumes from a whole run.

    Parameters
    ----------
    path : path-like
        May contain fields: "model-{epoch:02d}-{val_loss:.2f}.safetensors". Fields and write access
        are checked before the first step.
    monitor, mode
        As in `EarlyStopping`; for save_best_only.
    save_best_only : bool
        Save only after epochs that are the best so far.
    save_weights_only : bool
        Save only the model, without optimizer and generators: a third of the size with Adam.
    save_freq : "epoch" or int
        Batches between two files, counted across epochs; with accumulated gradients it waits for
        the next step.

    Examples
    --------
    >>> x, y = fastnn.data.load_digits(split="train")
    >>> model, save = nn.Linear(64, 10, rng=0), fastnn.train.ModelCheckpoint("run.safetensors")
    >>> history = fastnn.fit(model, x, y, optimizer="adam", callbacks=save, verbose=0)
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
        self.path = check_path("path", path)
        self.best = Monitor(monitor, mode)
        self.save_best_only = check_flag("save_best_only", save_best_only)
        self.save_weights_only = check_flag("save_weights_only", save_weights_only)
        is_epoch = isinstance(save_freq, str) and save_freq == "epoch"
        self.mode = mode
        self.save_freq = None if is_epoch else check_count("save_freq", save_freq)
        if save_best_only and self.save_freq:
            raise ValueError("save_best_only compares epochs: it needs save_freq='epoch'")
        self.batches = 0

    def check_names(self, names: list[str], batch_names: list[str]) -> None:
        """Raise ValueError unless the metric and the fields of the path are measured."""
        if self.save_best_only:
            self.best.check(names)
        self._path(0, dict.fromkeys(names if self.save_freq is None else batch_names, 0.0))

    def reset(self) -> None:
        """Reset the best epoch and the count of batches."""
        self.best.value, self.batches = math.nan, 0

    def on_train_begin(self, run: Run) -> None:
        """Reset unless the run was resumed; check that the file can be written."""
        self.run = run
        if not run.history.epoch and not run.step:
            self.reset()
        folder, name = os.path.split(self.path)
        if "{" not in folder and run.is_first:
            check_writable(os.path.join(folder, "model") if "{" in name else self.path)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Save every save_freq batches."""
        if self.save_freq is None:
            return
        self.batches += 1
        if self.batches >= self.save_freq and self.run.pending == 0:
            self.batches = 0
            self._write(self.run.epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Save after the epoch."""
        if self.save_freq is None and (not self.save_best_only or self.best.improved(logs)):
            self._write(epoch, logs)

    def _path(self, epoch: int, logs: Logs) -> str:
        try:
            return self.path.format(epoch=epoch, **logs)
        except (KeyError, IndexError) as error:
            known = ", ".join(map(repr, ("epoch", *logs)))
            raise ValueError(
                f"{self.path}: {error} is not a known field; known: {known}"
            ) from error
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{self.path}: its fields are malformed: {error}") from error

    def _write(self, epoch: int, logs: Logs) -> None:
        path = self._path(epoch, logs)
        if not self.run.is_first:
            return
        if not self.save_weights_only:
            self.run.save(path)
        elif self.run.ema is None:
            save(self.run.model, path)
        else:
            with self.run.ema.applied():
                save(self.run.model, path)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"best": self.best.value, "batches": self.batches, "monitor": str(self.best)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Load the state of a checkpoint."""
        self.best.value, self.batches = float(state["best"]), int(state["batches"])


class LRSchedule(Shown):
    """Set the optimizer's learning rate from a schedule.

    >>> halve = fastnn.train.LRSchedule(optim.schedules.step_decay(1e-3, every=1, factor=0.5))

    An optimizer created with a schedule as its `lr` needs no callback. Use this one for rates per
    epoch, or to change the rate of an existing optimizer.

    Parameters
    ----------
    schedule : callable
        number -> learning rate, such as those in `fastnn.optim.schedules`.
    per : {"epoch", "step"}
        The argument of the schedule, from 0: epochs, or steps of the optimizer.
    """

    def __init__(
        self, schedule: Callable[[int], float], per: Literal["epoch", "step"] = "epoch"
    ) -> None:
        if not callable(schedule):
            raise TypeError(
                f"schedule must be a function number -> learning rate, got {given(schedule)}"
            )
        check_signature("schedule", schedule, 0)
        self.schedule, self.per = schedule, check_choice("per", per, ("epoch", "step"))

    def on_train_begin(self, run: Run) -> None:
        """Keep the optimizer."""
        self.optimizer = run.optimizer

    def on_epoch_begin(self, epoch: int) -> None:
        """Set the learning rate of the epoch."""
        if self.per == "epoch":
            self.optimizer.lr = checked("lr", self.schedule(epoch))

    def on_train_batch_begin(self, batch: int) -> None:
        """Set the learning rate of the next step."""
        if self.per == "step":
            self.optimizer.lr = checked("lr", self.schedule(self.optimizer.steps))


class CSVLogger(Shown):
    """Write the history to a CSV file: a header, and a row per finished epoch.

    >>> logger = fastnn.train.CSVLogger("log.csv")  # fit(..., callbacks=logger)

    The file is replaced atomically after each epoch, so it is always complete. After resuming from
    a checkpoint it contains the earlier epochs too.

    Parameters
    ----------
    path : path-like
    separator : str
    """

    def __init__(self, path: PathLike, separator: str = ",") -> None:
        self.path = check_path("path", path)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise ValueError(f"separator must be one character, got {given(separator)}")
        self.separator = separator

    def on_train_begin(self, run: Run) -> None:
        """Keep the history; check that the file can be written."""
        self.is_first = run.is_first
        if self.is_first:
            check_writable(self.path)
        self.history = run.history

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write all rows."""
        if not self.is_first:
            return
        table = io.StringIO()
        writer = csv.writer(table, delimiter=self.separator, lineterminator="\n")
        columns = self.history.history
        writer.writerow(["epoch", *columns])
        writer.writerows(zip(self.history.epoch, *columns.values(), strict=True))
        write_atomically(self.path, table.getvalue().encode())
