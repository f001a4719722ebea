"""Against scikit-learn's estimators: the same names, and the same numbers up to rounding."""

import inspect
import warnings

import numpy as np
import pytest
import sklearn.neural_network as upstream
from scipy import sparse

from fastnn.sklearn import MLPClassifier, MLPRegressor

from .test_estimators import examples

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (11, 7), "max_iter": 8, "random_state": 3, "batch_size": 32}


def pair(ours, **options):
    """Our estimator and scikit-learn's, with the same settings."""
    theirs = getattr(upstream, ours.__name__)
    return ours(**SMALL | options), theirs(**SMALL | options)


def assert_same_run(ours, theirs, rtol=1e-9):
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("loss_curve_", "validation_scores_"):
        if getattr(theirs, name, None) is not None:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=rtol)
    for name in ("loss_", "best_loss_", "best_validation_score_"):
        if getattr(theirs, name, None) is not None:
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=rtol)
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e3 * rtol, atol=1e3 * rtol)


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_parameters_have_the_same_names_order_and_defaults(name):
    ours = inspect.signature(globals()[name]).parameters
    theirs = inspect.signature(getattr(upstream, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for parameter in theirs.values():
        mine = ours[parameter.name]
        assert (mine.default, mine.kind) == (parameter.default, parameter.kind), parameter.name
    assert all(p.kind is p.KEYWORD_ONLY for p in list(ours.values())[len(theirs) :])
    assert set(globals()[name]._parameter_constraints) >= set(
        getattr(upstream, name)._parameter_constraints
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False, "batch_size": "auto"},
        {"activation": "logistic", "alpha": 0.3},
        {"activation": "tanh", "epsilon": 1e-3},
        {"activation": "identity", "hidden_layer_sizes": 5},
        {"hidden_layer_sizes": ()},
        {"early_stopping": True, "validation_fraction": 0.2, "max_iter": 30, "tol": 0.03},
        {"solver": "sgd", "learning_rate_init": 0.05},
        {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
        {"solver": "sgd", "momentum": 0.0, "alpha": 0.0},
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.2, "n_iter_no_change": 1},
        {"solver": "lbfgs"},
    ],
    ids=str,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_random_state_gives_the_same_run(options, weighted, rng):
    X, y = examples()
    weight = rng.uniform(0, 2, len(X)) if weighted else None
    rtol = 1e-6 if options.get("solver") == "lbfgs" else 1e-9
    for target in (y, y > 0, np.stack([y > 0, y > 1], axis=1).astype(int)):
        ours, theirs = pair(MLPClassifier, **options)
        assert_same_run(ours.fit(X, target, weight), theirs.fit(X, target, weight), rtol)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e3 * rtol)
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    ours, theirs = pair(MLPRegressor, **options)
    assert_same_run(ours.fit(X, X[:, 1] * y, weight), theirs.fit(X, X[:, 1] * y, weight), rtol)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e3 * rtol)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("weighted", [False, True])
def test_several_outputs_and_poisson(loss, weighted, rng):
    X, y = examples()
    weight = rng.uniform(0, 2, len(X)) if weighted else None
    target = np.stack([y, 2 * y, np.abs(X[:, 0])], axis=1)
    ours, theirs = pair(MLPRegressor, loss=loss)
    assert_same_run(ours.fit(X, target, weight), theirs.fit(X, target, weight))
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-7)


def test_lbfgs_with_several_outputs_follows_one_objective(rng):
    """scikit-learn's line search gets a loss averaged over outputs, but the gradient of their sum.

    So its result is worse.
    """
    X = rng.normal(size=(80, 4))
    target = np.stack([np.sin(X[:, 0]), X[:, 1] ** 2, X[:, 2] * X[:, 3]], axis=1)
    ours, theirs = pair(MLPRegressor, solver="lbfgs", max_iter=200, alpha=0.0)
    ours.fit(X, target), theirs.fit(X, target)
    assert ours.loss_ < 2 * theirs.loss_
    assert ours.loss_ == pytest.approx(np.mean((ours.predict(X) - target) ** 2) / 2)


def test_float32_follows_float64():
    X, y = examples()
    for estimator in pair(MLPClassifier, max_iter=3):
        estimator.fit(X.astype(np.float32), y)
        assert {a.dtype for a in estimator.coefs_ + estimator.intercepts_} == {np.dtype("f4")}
        assert estimator.predict_proba(X.astype(np.float32)).dtype == np.float32
    ours, theirs = pair(MLPClassifier, max_iter=3)
    ours.fit(X.astype(np.float32), y), theirs.fit(X, y)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-5)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_goes_on_as_upstream(solver):
    X, y = examples()
    ours, theirs = pair(MLPClassifier, solver=solver, learning_rate="invscaling")
    for part in (slice(0, 50), slice(50, 100), slice(100, 150), slice(0, 150)):
        for estimator in (ours, theirs):
            estimator.partial_fit(X[part], y[part], classes=[0, 1, 2])
    assert_same_run(ours, theirs)
    for estimator in (ours, theirs):  # `fit` starts again, but its optimizer continues
        estimator.fit(X, y).partial_fit(X, y)
    assert_same_run(ours, theirs)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_warm_start_goes_on_as_upstream(solver):
    X, y = examples()
    ours, theirs = pair(MLPClassifier, solver=solver, warm_start=True)
    for estimator in (ours, theirs):
        estimator.fit(X, y).fit(X, y)
    assert_same_run(ours, theirs, 1e-6 if solver == "lbfgs" else 1e-9)


def test_weights_put_in_by_hand_are_used():
    X, y = examples()
    ours, theirs = pair(MLPClassifier, warm_start=True, max_iter=2)
    theirs.fit(X, y)
    coefs = [0.5 * coef for coef in theirs.coefs_]
    ours.fit(X, y)
    for estimator in (ours, theirs):
        estimator.coefs_ = [coef.copy(order="F") for coef in coefs]
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=0.05)
    theirs.intercepts_ = [b.copy() for b in ours.intercepts_]
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-12)
    for estimator in (ours, theirs):
        estimator.fit(X, y)
    np.testing.assert_allclose(ours.loss_curve_[-2:], theirs.loss_curve_[-2:], rtol=1e-9)


@pytest.mark.parametrize("format", [sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_is_dense(format, solver):
    X, y = examples()
    X[X < 0.5] = 0
    dense = MLPClassifier(**SMALL, solver=solver).fit(X, y)
    thin = MLPClassifier(**SMALL, solver=solver).fit(format(X), y)
    for a, b in zip(dense.coefs_, thin.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(dense.predict_proba(X), thin.predict_proba(format(X)))
    ours, theirs = pair(MLPRegressor, early_stopping=True)
    assert_same_run(ours.fit(format(X), y), theirs.fit(format(X), y))


def test_warnings_are_those_of_upstream():
    X, y = examples(n=20)
    for estimator in pair(MLPClassifier, max_iter=2, batch_size=50):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator.fit(X, y)
        assert [w.category.__name__ for w in caught] == ["UserWarning", "ConvergenceWarning"]
        assert "clipped" in str(caught[0].message) and "(2)" in str(caught[1].message)
        assert type(estimator).__module__.startswith("sklearn") or {w.filename for w in caught} == {
            __file__
        }


def test_verbose_prints_what_upstream_prints(capsys):
    X, y = examples()
    printed = []
    options = {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1}
    for more in ({"early_stopping": True}, options):
        for estimator in pair(MLPClassifier, verbose=True, **more):
            estimator.fit(X, y)
            printed.append(capsys.readouterr().out)
        assert printed[-1] == printed[-2] != ""


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_fitted_estimators_turn_into_each_other(solver):
    X, y = examples()
    names = np.array(["x", "y", "z"])
    targets = [names[y], names[np.minimum(y, 1)], np.eye(3, dtype=int)[y], names[0 * y]]
    for target in targets:
        ours, theirs = pair(MLPClassifier, solver=solver)
        theirs.fit(X, target)
        taken = MLPClassifier.from_sklearn(theirs)
        assert taken.get_params().items() >= theirs.get_params().items()
        np.testing.assert_array_equal(taken.predict(X), theirs.predict(X))
        returned = ours.fit(X, target).to_sklearn()
        assert type(returned) is upstream.MLPClassifier
        np.testing.assert_array_equal(returned.predict(X), ours.predict(X))
        if len(taken.classes_) > 1:
            np.testing.assert_allclose(taken.predict_proba(X), theirs.predict_proba(X))
            np.testing.assert_allclose(returned.predict_proba(X), ours.predict_proba(X))
    for loss in ("squared_error", "poisson"):
        ours, theirs = pair(MLPRegressor, solver=solver, loss=loss)
        theirs.fit(X, y)
        np.testing.assert_allclose(MLPRegressor.from_sklearn(theirs).predict(X), theirs.predict(X))
        np.testing.assert_allclose(ours.fit(X, y).to_sklearn().predict(X), ours.predict(X))


def test_estimators_that_cannot_turn_into_each_other():
    with pytest.raises(ValueError, match="no activation 'gelu'"):
        MLPClassifier(activation="gelu").to_sklearn()
    with pytest.raises(ValueError, match="no loss 'huber'"):
        MLPRegressor(loss="huber").to_sklearn()
    with pytest.raises(TypeError, match="takes scikit-learn's MLPRegressor, got MLPClassifier"):
        MLPRegressor.from_sklearn(upstream.MLPClassifier())
    unfitted = MLPClassifier.from_sklearn(upstream.MLPClassifier(alpha=0.5))
    assert unfitted.alpha == 0.5 and not hasattr(unfitted, "coefs_")
    assert MLPClassifier(solver="adamw", dropout=0.5).to_sklearn().solver == "adam"


def test_learning_goes_on_from_weights_of_upstream():
    X, y = examples()
    theirs = upstream.MLPClassifier(**SMALL).fit(X, y)
    ours = MLPClassifier.from_sklearn(theirs).set_params(warm_start=True, max_iter=50)
    assert ours.fit(X, y).loss_ < theirs.loss_
    assert ours.loss_curve_[: len(theirs.loss_curve_)] == theirs.loss_curve_
