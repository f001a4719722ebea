"""Score predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = dict[str, float]


def classification_scores(y: NDArray[Any], predicted: NDArray[Any]) -> Scores:
    """Return accuracy and the mean over classes of F1 = 2 TP / (2 TP + FP + FN).

    The classes are those that occur in either array, as scikit-learn counts them.
    """
    f1 = [
        2
        * np.count_nonzero((y == c) & (predicted == c))
        / (np.count_nonzero(y == c) + np.count_nonzero(predicted == c))
        for c in np.union1d(y, predicted)
    ]
    return {"accuracy": float(np.mean(y == predicted)), "macro F1": float(np.mean(f1))}


def regression_scores(y: NDArray[Any], predicted: NDArray[Any]) -> Scores:
    """Return RMSE, mean absolute error, and R2 = 1 - MSE / variance of y."""
    mse = float(np.mean((y - predicted) ** 2))
    variance = float(np.var(y))
    return {
        "RMSE": mse**0.5,
        "MAE": float(np.mean(np.abs(y - predicted))),
        "R2": 1 - mse / variance if variance else float("nan"),
    }


def table(rows: dict[str, Scores]) -> str:
    """Return a text table: a header with the names of the scores, and one line per row."""
    names = list(next(iter(rows.values())))
    cells = [["", *names]]
    cells += [[label, *(f"{scores[name]:.4g}" for name in names)] for label, scores in rows.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in cells
    )


def class_scores(
    y: NDArray[Any], predicted: NDArray[Any], names: Sequence[str]
) -> dict[str, Scores]:
    """Return precision, recall, F1 and the number of rows of each class; NaN for 0 / 0."""
    found = {}
    for label, name in enumerate(names):
        right = int(np.count_nonzero((y == label) & (predicted == label)))
        rows, guessed = (int(np.count_nonzero(each == label)) for each in (y, predicted))
        found[name] = {
            "precision": right / guessed if guessed else math.nan,
            "recall": right / rows if rows else math.nan,
            "F1": 2 * right / (rows + guessed) if rows + guessed else math.nan,
            "rows": float(rows),
        }
    return found


def guesses(y: NDArray[Any], predicted: NDArray[Any]) -> bool:
    """True if the mean recall over classes is within two standard errors of guessing."""
    labels, rows = np.unique(y, return_counts=True)
    k = len(labels)
    recall = [float(np.mean(predicted[y == label] == label)) for label in labels]
    spread = math.sqrt((1 / k) * (1 - 1 / k) * float(np.sum(1 / rows))) / k
    return k > 1 and float(np.mean(recall)) <= 1 / k + 2 * spread
