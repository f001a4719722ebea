"""The history of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import Any

from ..files.atomic import PathLike

Logs = dict[str, float]


@dataclass(repr=False)
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
    stopped : str
        Why a callback such as `EarlyStopping` stopped the run; "" if none did.

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
    stopped: str = ""

    def __repr__(self) -> str:
        n = len(self.epoch)
        last = {name: column[-1] for name, column in self.history.items() if column}
        values = "".join(f", {name} {value:.4g}" for name, value in last.items())
        how = ", interrupted" * self.interrupted + f", stopped: {self.stopped}" * bool(self.stopped)
        return f"<History of {n} epoch{'s' * (n != 1)}{values}{how}>"

    def _repr_html_(self) -> str:
        """Return a table for notebooks, with at most 20 epochs."""
        names = list(self.history)
        rows = list(zip(self.epoch, *self.history.values(), strict=True))
        shown = rows if len(rows) <= 20 else [*rows[:10], *rows[-10:]]
        head = "".join(f"<th>{escape(name)}</th>" for name in ("epoch", *names))
        body = "".join(
            f"<tr><td>{epoch + 1}</td>" + "".join(f"<td>{v:.4g}</td>" for v in values) + "</tr>"
            for epoch, *values in shown
        )
        why = f"<p>stopped: {escape(self.stopped)}</p>" if self.stopped else ""
        return f"<table><tr>{head}</tr>{body}</table>{why}"

    def to_frame(self) -> Any:
        """Return a pandas DataFrame: a row per epoch, a column per metric, `epoch` as index.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed; `dict(history.history)` has the same columns.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "History.to_frame needs pandas: pip install pandas"
            ) from error
        return pandas.DataFrame(self.history, index=pandas.Index(self.epoch, name="epoch"))

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
