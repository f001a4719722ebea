"""Check and encode the labels of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import LabelBinarizer


def check_labels(labels: NDArray[Any], classes: NDArray[Any], all_of_them: bool) -> None:
    """Raise ValueError for labels not in the classes, or with `all_of_them` if some are missing."""
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
    """Return n / (n_classes * size of its class) for each row; a size is a sum of weights."""
    codes = np.unique(y, return_inverse=True)[1]
    sizes = np.bincount(codes, weight).astype(np.float64)
    sizes[sizes == 0] = np.inf  # rows of weight 0 do not count
    return sizes[np.isfinite(sizes)].sum() / (np.isfinite(sizes).sum() * sizes[codes])


def label_binarizer(classes: Any, is_multilabel: bool) -> LabelBinarizer:
    """Return the binarizer by which scikit-learn's classifier decodes labels."""
    if is_multilabel:
        return LabelBinarizer().fit(np.eye(len(classes), dtype=int))
    return LabelBinarizer().fit(classes)
