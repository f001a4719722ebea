"""All of scikit-learn's checks of an estimator."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.sklearn import MLPClassifier, MLPRegressor

# Small and quick, but accurate enough for the checks that need a score.
SMALL = {"hidden_layer_sizes": (12,), "max_iter": 60, "learning_rate_init": 0.01, "n_threads": 1}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        MLPClassifier(**SMALL),
        MLPClassifier(**SMALL, solver="adamw", activation="gelu"),
        MLPRegressor(**SMALL),
        MLPRegressor(hidden_layer_sizes=(12,), max_iter=60, solver="lbfgs", activation="silu"),
    ]
)
def test_estimator(estimator, check):
    check(estimator)
