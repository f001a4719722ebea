"""Score predictions."""

from __future__ import annotations

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
