"""The estimators in pipelines, searches, copies and files."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn.sklearn import MLPClassifier, MLPRegressor

from .test_estimators import SMALL, all_weights, examples

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Threads(MLPClassifier):
    """Tells how many threads a fit has, wherever a search runs it."""

    def fit(self, X, y):
        self.had_ = fastnn.get_num_threads()
        return super().fit(X, y)

    def score(self, X, y):
        return float(self.had_)


def test_pipeline():
    X, y = examples()
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**SMALL | {"max_iter": 60}))
    pipeline.set_output(transform="default")
    weight = np.ones(len(X))
    pipeline.fit(1e3 * X, y, mlpclassifier__sample_weight=weight)
    assert pipeline.score(1e3 * X, y) > 0.7
    pipeline.set_params(mlpclassifier__alpha=0.5)
    assert pipeline.get_params()["mlpclassifier__alpha"] == 0.5


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_grid_search(backend):
    import joblib

    X, y = examples()
    search = GridSearchCV(
        MLPClassifier(**SMALL),
        {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(4,), (8, 4)]},
        cv=2,
        n_jobs=2,
    )
    with joblib.parallel_config(backend):
        search.fit(X, y)
        alone = clone(search).set_params(n_jobs=None).fit(X, y)
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(search.cv_results_[name], alone.cv_results_[name])
    if backend == "loky":
        had = cross_val_score(Threads(**SMALL), X, y, cv=2, n_jobs=2)
        assert max(had) <= max(1, joblib.cpu_count() // 2)


def test_clone_takes_parameters_and_nothing_learnt():
    X, y = examples()
    model = MLPClassifier(**SMALL, dropout=0.2, class_weight={0: 2.0}, n_threads=1).fit(X, y)
    fresh = clone(model)
    assert fresh.get_params() == model.get_params()
    assert not hasattr(fresh, "coefs_")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("options", [{}, {"solver": "sgd", "dropout": 0.3}, {"solver": "lbfgs"}])
def test_a_copy_goes_on_where_the_original_stood(duplicate, options):
    X, y = examples()
    X = X.astype(np.float32)
    model = MLPClassifier(**SMALL, **options, warm_start=True).fit(X, y)
    twin = duplicate(model)
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    for _ in range(2):
        for estimator in (model, twin):
            if options.get("solver") == "lbfgs":
                estimator.fit(X, y)
            else:
                estimator.partial_fit(X, y)
        np.testing.assert_array_equal(all_weights(twin), all_weights(model))


def test_a_pickle_holds_arrays_and_plain_values():
    X, y = examples()
    model = MLPRegressor(**SMALL, dropout=0.1).fit(X, y)

    def check(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                assert isinstance(key, str)
                check(inner)
        elif isinstance(value, (list, tuple)):
            for inner in value:
                check(inner)
        else:
            assert value is None or isinstance(
                value, (bool, int, float, str, np.ndarray, np.generic)
            ), type(value)

    check(model.__getstate__())


def test_weights_that_came_read_only_can_be_learnt_on(tmp_path):
    import joblib

    X, y = examples()
    model = MLPClassifier(**SMALL).fit(X, y)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    mapped.partial_fit(X, y), model.partial_fit(X, y)
    np.testing.assert_array_equal(all_weights(mapped), all_weights(model))
