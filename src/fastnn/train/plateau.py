"""Lower the learning rate when a metric stops improving."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from ..checks import check_count, check_number
from .history import Logs
from .hooks import Monitor, Shown

if TYPE_CHECKING:
    from .run import Run


class ReduceLROnPlateau(Shown):
    """Multiply the learning rate by `factor` once a metric has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
        A name in the logs.
    factor : float
        Above 0 and below 1.
    patience : int
        Epochs without improvement, at least 1.
    min_delta : float
        Improvements of at most this much do not count.
    cooldown : int
        Epochs after a reduction in which none are counted.
    min_lr : float
        The learning rate is not lowered below this.
    mode : {"auto", "min", "max"}
        As in `EarlyStopping`.

    Attributes
    ----------
    reduced : list of int
        The epochs after which the learning rate was lowered.

    Examples
    --------
    >>> from fastnn.train import ReduceLROnPlateau
    >>> ReduceLROnPlateau(patience=3)
    ReduceLROnPlateau(monitor='val_loss', patience=3)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        mode: Literal["auto", "min", "max"] = "auto",
    ) -> None:
        self.best = Monitor(monitor, mode, min_delta)
        self.factor = check_number("factor", factor, above=0, below=1)
        self.patience = check_count("patience", patience)
        self.cooldown = check_count("cooldown", cooldown, 0)
        self.min_lr = check_number("min_lr", min_lr, least=0)
        self.reset()

    def check_names(self, names: list[str], batch_names: list[str]) -> None:
        """Raise ValueError unless the metric is measured."""
        self.best.check(names)

    def reset(self) -> None:
        """Forget the best epoch."""
        self.best.value, self.wait, self.rest = math.nan, 0, 0
        self.reduced: list[int] = []

    def on_train_begin(self, run: Run) -> None:
        """Reset unless the run was resumed; raise TypeError if the optimizer has a schedule."""
        if callable(run.optimizer.lr):
            raise TypeError(
                "ReduceLROnPlateau needs an optimizer with a number as lr, not a schedule"
            )
        self.optimizer = run.optimizer
        if not run.history.epoch:
            self.reset()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Compare with the best epoch, and lower the learning rate after `patience` others."""
        if self.best.improved(logs):
            self.wait = 0
        elif not self.rest:
            self.wait += 1
        self.rest = max(self.rest - 1, 0)
        lr = self.optimizer.current_lr
        if self.wait >= self.patience and lr > self.min_lr:
            self.optimizer.lr = max(lr * self.factor, self.min_lr)
            self.wait, self.rest = 0, self.cooldown
            self.reduced.append(epoch)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        state: dict[str, Any] = {"monitor": str(self.best), "best": self.best.value}
        return state | {"wait": self.wait, "rest": self.rest, "reduced": list(self.reduced)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Load the state of a checkpoint."""
        self.best.value, self.wait = float(state["best"]), int(state["wait"])
        self.rest, self.reduced = int(state["rest"]), [int(epoch) for epoch in state["reduced"]]
