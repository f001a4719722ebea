"""Report the progress of `fastnn train lm`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .report import Lines, clock, counted, sample

# Seconds between updates of the progress bar.
REFRESH = 0.1


class Progress:
    """A callback that prints losses, tokens per second, time left and a sample per evaluation.

    Parameters
    ----------
    shown : Lines
        Where the output goes.
    max_iters, batch_tokens : int
        Iterations of the run, and tokens per iteration.
    text : callable
        Returns a line written by the model.
    """

    def __init__(
        self, shown: Lines, max_iters: int, batch_tokens: int, text: Callable[[], str]
    ) -> None:
        self.shown, self.text = shown, text
        self.max_iters, self.batch_tokens = max_iters, batch_tokens

    def on_train_begin(self, run: Any) -> None:
        """Start the clock; a resumed run has done some iterations already."""
        self.optimizer, self.first = run.optimizer, run.optimizer.steps
        self.start = self.moved = time.perf_counter()
        if self.first:
            self.shown.write(f"resuming after {counted(self.first, 'iteration')}")

    def on_epoch_begin(self, epoch: int) -> None:
        """Start the clock of the iterations before the next evaluation."""
        self.begun = self.now = time.perf_counter()
        self.before = self.optimizer.steps

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Update the progress bar."""
        self.now = time.perf_counter()
        if self.now - self.moved >= REFRESH or self.optimizer.steps == self.max_iters:
            self.moved = self.now
            note = f"  {self._speed():,.0f} tokens/s"
            self.shown.move(self.optimizer.steps, logs["loss"], note)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Print the losses, and a line written by the model."""
        done = self.optimizer.steps
        # max(..., 1): a run resumed right before an evaluation has done no iterations yet
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
