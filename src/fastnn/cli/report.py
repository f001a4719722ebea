"""Report the progress of a training command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from .errors import UsageError


def report(n_epochs: int, n_batches: int, every: int = 1) -> Lines:
    """Return a callback that is also the context to train in.

    It prints a line for every `every`-th epoch and the last, and shows a progress bar if stdout
    is a terminal.
    """
    return Bar(n_epochs, n_batches, every) if sys.stdout.isatty() else Lines(n_epochs, every)


def line(epoch: int, n_epochs: int, logs: dict[str, float], held: str = "test") -> str:
    """Return the line of an epoch: loss and accuracy of training and held-out rows, if known."""
    parts = [f"epoch {epoch + 1:{len(str(n_epochs))}d}/{n_epochs}"]
    for prefix, label in (("", ""), ("val_", f"{held} ")):
        if f"{prefix}loss" in logs:
            parts.append(f"{label}loss {logs[f'{prefix}loss']:.4f}")
        if f"{prefix}accuracy" in logs:
            parts.append(f"accuracy {100 * logs[f'{prefix}accuracy']:5.1f} %")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Return a duration such as 1:02:03 or 0:07."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


def counted(n: int, what: str, suffix: str = "s") -> str:
    """Return a count such as "1 row" or "2 rows"; `suffix` makes the plural."""
    return f"{n:,} {what}{suffix * (n != 1)}"


def shown(text: str) -> str:
    """Replace the characters that the output's encoding lacks by question marks."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def plot_loss(args: argparse.Namespace, history: Any) -> None:
    """Plot the losses to the file of `--plot-loss`, if there is one and an epoch was finished."""
    if args.plot_loss and history.epoch:
        from ..plot import loss_curve

        loss_curve(history, args.plot_loss)
        print(f"curves written to {args.plot_loss}")


def sample(text: Callable[[], str]) -> str:
    """Return what a model writes, or why it cannot: a diverged model gives NaN."""
    try:
        return text()
    except ValueError as error:
        return f"no sample: {error}"


class Lines:
    """One plain line per reported epoch; `held` says what the rows held out are for."""

    held = "test"

    def __init__(self, n_epochs: int, every: int = 1) -> None:
        self.n_epochs, self.every = n_epochs, every

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Print the line of every `every`-th epoch and the last."""
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.n_epochs:
            self.write(line(epoch, self.n_epochs, logs, self.held))

    def move(self, n_batches: int, loss: float, note: str) -> None:
        """Do nothing: plain lines show no batches."""

    def write(self, text: str) -> None:
        """Print a line."""
        print(shown(text), flush=True)


class Bar(Lines):
    """The lines, and below them a progress bar that moves with every batch."""

    def __init__(self, n_epochs: int, n_batches: int, every: int = 1) -> None:
        super().__init__(n_epochs, every)
        try:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )
        except ModuleNotFoundError as error:
            raise UsageError("a progress bar needs rich: pip install 'fastnn-cpu[cli]'") from error
        self.progress: Any = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("batches  loss {task.fields[loss]:.4f}{task.fields[note]}"),
            TimeRemainingColumn(),
            transient=True,
        )
        fields: dict[str, Any] = {"loss": float("nan"), "note": ""}
        self.task = self.progress.add_task("", total=n_epochs * n_batches, **fields)

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Advance the bar by one batch."""
        self.progress.update(self.task, advance=1, loss=logs["loss"])

    def move(self, n_batches: int, loss: float, note: str) -> None:
        """Move the bar to `n_batches`, with a note beside the loss."""
        self.progress.update(self.task, completed=n_batches, loss=loss, note=note)

    def write(self, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(shown(text), highlight=False, markup=False, emoji=False)
