"""Callbacks of `fastnn train translate`: its progress and the average of its weights."""

from __future__ import annotations

import math
import time
from typing import Any

from .report import Bar, clock, counted, report

# Maximum number of lines per run; longer runs skip epochs.
MOST_LINES = 100


class Progress:
    """A callback and context that print speed, losses, time left and a sample translation."""

    def __init__(self, epochs: int, batches: Any, sample: Any) -> None:
        self.epochs, self.n_batches, self.sample = epochs, len(batches), sample
        self.tokens = int(batches.n_src.sum() + batches.n_tgt.sum())  # of an epoch
        self.every = math.ceil(epochs / MOST_LINES)
        self.shown = report(epochs, len(batches))

    def __enter__(self) -> Progress:
        self.shown.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.shown.__exit__(*error)

    def on_train_begin(self, run: Any) -> None:
        """Start the clock; a resumed run has done some steps already."""
        self.run, self.done = run, 0
        self.start = time.perf_counter()
        if isinstance(self.shown, Bar):
            left = (self.epochs - run.epoch) * self.n_batches - run.step
            self.shown.progress.update(self.shown.task, total=left)
        if run.optimizer.steps:
            self.shown.write(f"resuming after {counted(run.optimizer.steps, 'step')}")
        self.shown.write(self.sample.first())

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Count the batch and move the bar."""
        self.done += 1
        if isinstance(self.shown, Bar):
            self.shown.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Print two lines for every `every`-th epoch and the last."""
        if (epoch + 1) % self.every and epoch + 1 != self.epochs:
            return
        seconds = (time.perf_counter() - self.start) / max(self.done, 1)  # per batch
        parts = [f"epoch {epoch + 1:{len(str(self.epochs))}d}/{self.epochs}"]
        parts.append(f"loss {logs['loss']:.4f}")
        if "val_loss" in logs:
            parts.append(f"validation loss {logs['val_loss']:.4f}")
        parts.append(f"{self.tokens / self.n_batches / seconds:,.0f} tokens/s")
        parts.append(f"{clock(seconds * self.n_batches * (self.epochs - epoch - 1))} left")
        self.shown.write("  ".join(parts))
        self.shown.write(f"        {self.sample.now()}")


class Averaging:
    """Raise the decay of an average to its final value, as min(decay, (1 + n) / (10 + n)).

    With a constant decay, the average of a short run would be dominated by its first weights.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def on_train_begin(self, run: Any) -> None:
        """Remember the run."""
        self.run = run

    def on_train_batch_begin(self, batch: int) -> None:
        """Set the decay for the next step."""
        n = self.run.optimizer.steps
        self.run.ema.decay = min(self.decay, (1 + n) / (10 + n))
