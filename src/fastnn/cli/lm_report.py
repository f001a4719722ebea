"""What `fastnn train lm` prints while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .report import Lines, clock, sample

# Seconds between two movements of the bar.
REFRESH = 0.1


class Progress:
    """A callback: iterations, losses, tokens per second, time left; a sample at each evaluation.

    Parameters
    ----------
    shown : Lines
        Where all that goes.
    max_iters, batch_tokens : int
        Iterations of the run, and tokens of each.
    text : callable
        A line that the model writes.
    """

    def __init__(
        self, shown: Lines, max_iters: int, batch_tokens: int, text: Callable[[], str]
    ) -> None:
        self.shown, self.text = shown, text
        self.max_iters, self.batch_tokens = max_iters, batch_tokens

    def on_train_begin(self, run: Any) -> None:
        """Take the time; a run that goes on has iterations behind it."""
        self.optimizer, self.first = run.optimizer, run.optimizer.steps
        self.start = self.moved = time.perf_counter()
        if self.first:
            self.shown.write(f"going on after {self.first} iterations")

    def on_epoch_begin(self, epoch: int) -> None:
        """Take the time of the iterations up to the next evaluation."""
        self.begun = self.now = time.perf_counter()
        self.before = self.optimizer.steps

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Move the bar."""
        self.now = time.perf_counter()
        if self.now - self.moved >= REFRESH or self.optimizer.steps == self.max_iters:
            self.moved = self.now
            note = f"  {self._speed():,.0f} tokens/s"
            self.shown.move(self.optimizer.steps, logs["loss"], note)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """A line, and one of the model's own."""
        done = self.optimizer.steps
        # none are this run's own where it goes on from the last iteration before an evaluation
        per_iteration = (time.perf_counter() - self.start) / max(done - self.first, 1)
        self.shown.write(
            f"iteration {done:{len(str(self.max_iters))}d}/{self.max_iters}"
            f"  loss {logs['loss']:.4f}  validation loss {logs['val_loss']:.4f}"
            f"  {self._speed():,.0f} tokens/s"
            f"  {clock(per_iteration * (self.max_iters - done))} left"
        )
        self.shown.write(f"  {sample(self.text)}")

    def _speed(self) -> float:
        steps: int = self.optimizer.steps - self.before
        return steps * self.batch_tokens / (self.now - self.begun) if steps else 0.0
