"""What a training run went through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .atomic import PathLike

Logs = dict[str, float]


@dataclass
class History:
    """What a training run went through.

    Attributes
    ----------
    history : dict of str to list of float
        One value per finished epoch: "loss", and "accuracy" for a classifier; with validation data
        also "val_loss" and "val_accuracy". Accuracies are fractions of 1. The training values are
        means over the batches of the epoch, taken while the model was still changing.
    epoch : list of int
        The finished epochs, counted from 0.
    interrupted : bool
        Whether Ctrl-C ended the run early.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)
    interrupted: bool = False

    def _append(self, epoch: int, logs: Logs) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def plot(self, path: PathLike, **options: Any) -> None:
        """Draw loss and accuracy over the epochs: `fastnn.plot.loss_curve(self, path, **options)`.

        Raises
        ------
        ModuleNotFoundError
            matplotlib is not installed.
        """
        from .. import plot  # a floor above: it is loaded when it is asked for

        plot.loss_curve(self, path, **options)
