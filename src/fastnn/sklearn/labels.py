"""Labels of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import LabelBinarizer


def check_labels(labels: NDArray[Any], classes: NDArray[Any], all_of_them: bool) -> None:
    """ValueError if there are labels that are no classes, or (`all_of_them`) some are missing."""
    if all_of_them and set(labels) != set(classes):
        raise ValueError(
            "warm_start can only be used where `y` has the same classes as in the previous call to "
            f"fit. Previously got {classes}, `y` has {labels}"
        )
    if set(labels) - set(classes):
        raise ValueError(
            "`y` has classes not in `self.classes_`. "
            f"`self.classes_` has {classes}. 'y' has {labels}."
        )


def balanced(y: NDArray[Any], weight: NDArray[Any] | None) -> NDArray[Any]:
    """For each row n / (n_classes * size of its class), sizes being sums of weights."""
    codes = np.unique(y, return_inverse=True)[1]
    sizes = np.bincount(codes, weight).astype(np.float64)
    sizes[sizes == 0] = np.inf  # rows of weight 0 count for nothing
    return sizes[np.isfinite(sizes)].sum() / (np.isfinite(sizes).sum() * sizes[codes])


def label_binarizer(classes: Any, is_multilabel: bool) -> LabelBinarizer:
    """What scikit-learn's classifier turns outputs into labels with."""
    if is_multilabel:
        return LabelBinarizer().fit(np.eye(len(classes), dtype=int))
    return LabelBinarizer().fit(classes)
