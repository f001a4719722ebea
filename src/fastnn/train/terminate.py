"""Stop a training that diverged."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .history import Logs
from .hooks import Shown

if TYPE_CHECKING:
    from .run import Run


class TerminateOnNaN(Shown):
    """Stop training after an epoch whose loss is NaN or infinite.

    >>> stop = fastnn.train.TerminateOnNaN()  # fit(..., callbacks=[stop])
    """

    def on_train_begin(self, run: Run) -> None:
        """Keep the run."""
        self.run = run

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Check the loss."""
        if not math.isfinite(logs["loss"]):
            self.run.stop_training = True
            self.run.history.stopped = f"the loss of epoch {epoch + 1} is {logs['loss']}"
