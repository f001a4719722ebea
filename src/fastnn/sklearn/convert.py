"""Estimators of scikit-learn into ours and back, what they learnt included."""

from __future__ import annotations

import copy
from typing import Any

from sklearn.base import BaseEstimator

# Public attributes that mean the same on both sides.
LEARNT = (
    "best_loss_",
    "best_validation_score_",
    "classes_",
    "coefs_",
    "feature_names_in_",
    "intercepts_",
    "loss_",
    "loss_curve_",
    "n_features_in_",
    "n_iter_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
    "t_",
    "validation_scores_",
)


def convert(source: BaseEstimator, kind: type[Any], **changes: Any) -> Any:
    """A `kind` with the parameters of source that it has, `changes`, and copies of what it learnt."""
    known = kind().get_params()
    own = {name: value for name, value in source.get_params().items() if name in known}
    target = kind(**own | changes)
    for name in LEARNT:
        if hasattr(source, name):
            setattr(target, name, copy.deepcopy(getattr(source, name)))
    return target
