"""Score a model of a table beside a guess that needs no model."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.target import Quantity, Target
from .scores import (
    Scores,
    class_scores,
    classification_scores,
    guesses,
    regression_scores,
    table,
)
from .streams import complain

# With more classes than this, the scores of each are not printed.
MOST_CLASSES = 20

# A class of at most this fraction of the rows is rare, and of at most this recall missed.
RARE, MISSED = 0.2, 0.5


class TableScores(NamedTuple):
    """Scores of a model and of a guess; printed as two tables."""

    rows: dict[str, Scores]
    classes: dict[str, Scores]  # class -> precision, recall, F1, rows; empty for a quantity
    is_guess: bool

    def __str__(self) -> str:
        summary = table(self.rows)
        if not 0 < len(self.classes) <= MOST_CLASSES:
            return summary
        return f"{table(self.classes)}\n{summary}"

    def as_json(self) -> dict[str, Any]:
        """Return the scores as values for JSON; NaN as None."""
        groups = {"scores": self.rows, **({"classes": self.classes} if self.classes else {})}
        return {
            key: {
                name: {what: None if math.isnan(v) else v for what, v in scores.items()}
                for name, scores in group.items()
            }
            for key, group in groups.items()
        }

    def warn(self, balanced: bool) -> None:
        """Warn if the model is no better than guessing, or misses a rare class."""
        if self.is_guess:
            complain(
                "fastnn: warning: on the test rows the model is no better than guessing: the "
                "columns may not tell the target, or try more --epochs, another --lr or more rows"
            )
            return
        n = sum(scores["rows"] for scores in self.classes.values())
        for name, scores in self.classes.items():
            if not balanced and 0 < scores["rows"] <= RARE * n and scores["recall"] <= MISSED:
                complain(
                    f"fastnn: warning: class {name!r:.80} is rare and only "
                    f"{100 * scores['recall']:.0f} % of its rows are found: "
                    "--class-weight balanced finds more, at more false alarms"
                )
                return


def baseline(target: Target, learnt: NDArray[Any]) -> float:
    """Return the guess for every row: the mean, or the most frequent label, of training rows."""
    return target.mean if isinstance(target, Quantity) else int(np.bincount(learnt).argmax())


def scored(
    target: Target, outputs: NDArray[Any], values: NDArray[Any], guess: float | None
) -> TableScores:
    """Return the scores of outputs (rows, width) for labels or quantities `values` (rows,)."""
    if isinstance(target, Quantity):
        scores = regression_scores(values, target.restored(outputs))
        rows = {"model": scores}
        if guess is not None:
            rows["mean"] = regression_scores(values, np.full(len(values), guess))
        return TableScores(rows, {}, scores["R2"] <= 0)
    predicted = outputs.argmax(axis=1)
    rows = {"model": classification_scores(values, predicted)}
    if guess is not None:
        most = np.full(len(values), int(guess))
        rows["most frequent"] = classification_scores(values, most)
    each = class_scores(values, predicted, target.classes)
    return TableScores(rows, each, guesses(values, predicted))
