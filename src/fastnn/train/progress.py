"""Progress of `fit` on stderr: a bar on a terminal, otherwise one line per epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..checks import check_choice
from .history import Logs

if TYPE_CHECKING:
    from .run import Run

# Seconds between two updates of the bar: one costs as much as a step of a small model
# (docs/tuning.md).
REFRESH = 0.1


@contextmanager
def display(verbose: int | str) -> Iterator[list[Any]]:
    """Yield the callbacks that show progress as `verbose` requests; see `fit`."""
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    if not verbose or sys.stderr is None:  # None in a program without a console
        yield []
        return
    progress = _new_bar() if verbose in ("auto", 1) and sys.stderr.isatty() else None
    if progress is None:
        yield [Lines()]
        return
    with progress:
        yield [Bar(progress)]


def _new_bar() -> Any:
    """Return a progress bar of rich, or None if rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )
    except ModuleNotFoundError:
        return None
    return Progress(
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("batches  {task.fields[logs]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def described(logs: Logs) -> str:
    """Format logs as "loss 0.1234  accuracy 0.9500"."""
    return "  ".join(
        f"{name} {value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{name} {value:.3e}"
        for name, value in logs.items()
    )


class Lines:
    """One line per epoch."""

    def on_train_begin(self, run: Run) -> None:
        """Keep the number of epochs, and the history."""
        self.epochs, self.history = run.epochs, run.history

    def on_epoch_begin(self, epoch: int) -> None:
        """Start the timer."""
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the line of the epoch."""
        self.write(
            f"epoch {epoch + 1:{len(str(self.epochs))}d}/{self.epochs}  {described(logs)}"
            f"  {time.perf_counter() - self.start:.2f} s"
        )

    def on_train_end(self) -> None:
        """Write why a callback stopped the run."""
        if self.history.stopped:
            self.write(f"stopped: {self.history.stopped}")

    def write(self, line: str) -> None:
        """Write a line to stderr."""
        print(line, file=sys.stderr, flush=True)


class Bar(Lines):
    """One line per epoch, and below them a bar that advances with the batches."""

    def __init__(self, progress: Any) -> None:
        self.progress = progress
        self.task = progress.add_task("", total=None, epoch="", logs="")
        self.shown = 0.0

    def on_train_begin(self, run: Run) -> None:
        """Keep the run."""
        super().on_train_begin(run)
        self.run = run

    def on_epoch_begin(self, epoch: int) -> None:
        """Reset the bar."""
        super().on_epoch_begin(epoch)
        self.progress.reset(
            self.task,
            total=self.run.steps_per_epoch,
            completed=self.run.step,
            epoch=f"{epoch + 1}/{self.epochs}",
            logs="",
        )

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Advance the bar, at most every REFRESH seconds."""
        now = time.perf_counter()
        if now - self.shown >= REFRESH or batch + 1 == self.run.steps_per_epoch:
            self.shown = now
            self.progress.update(self.task, completed=batch + 1, logs=described(logs))

    def write(self, line: str) -> None:
        """Write a line above the bar."""
        self.progress.console.print(line, highlight=False, markup=False)
