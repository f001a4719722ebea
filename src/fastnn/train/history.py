"""The history of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ..files.atomic import PathLike

Logs = dict[str, float]


@dataclass
class History:
    """The history of a training run.

    Attributes
    ----------
    history : dict of str to list of float
        One value per finished epoch: "loss", and "accuracy" for a classifier; with validation data
        also "val_loss" and "val_accuracy". Accuracies are from 0 to 1. Training values are means
        over the batches of the epoch, computed while the model was still changing. NaN if an epoch
        was not measured, for example if validation data was only added on resuming.
    epoch : list of int
        The finished epochs, counted from 0.
    interrupted : bool
        True if Ctrl-C ended the run early.

    Examples
    --------
    >>> x, y = fastnn.data.load_digits(split="train")
    >>> model = nn.MLP((64, 10), rng=0)
    >>> history = fastnn.fit(model, x, y, optimizer="adam", epochs=2, verbose=0)
    >>> history.epoch, sorted(history.history)
    ([0, 1], ['accuracy', 'loss'])
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)
    interrupted: bool = False

    def _append(self, epoch: int, logs: Logs) -> None:
        for name in logs:
            self.history.setdefault(name, [math.nan] * len(self.epoch))
        for name, column in self.history.items():
            column.append(logs.get(name, math.nan))
        self.epoch.append(epoch)

    def plot(self, path: PathLike | None = None, **options: Any) -> Any:
        """Draw loss and accuracy over the epochs: `fastnn.plot.loss_curve(self, path, **options)`.

        Returns the figure, which a notebook shows; with a path it is also written to that file.

        Raises
        ------
        ModuleNotFoundError
            matplotlib is not installed.
        """
        from .. import plot  # lazily: it needs matplotlib

        return plot.loss_curve(self, path, **options)
