"""Convert fitted estimators of scikit-learn to ours and back."""

from __future__ import annotations

import copy
from typing import Any

from sklearn.base import BaseEstimator

# Fitted attributes with the same meaning on both sides.
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
    """Return a `kind` with the parameters and fitted attributes of `source`, and `changes`."""
    known = kind().get_params()
    own = {name: value for name, value in source.get_params().items() if name in known}
    target = kind(**own | changes)
    for name in LEARNT:
        if hasattr(source, name):
            setattr(target, name, copy.deepcopy(getattr(source, name)))
    return target
