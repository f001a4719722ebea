"""Features of the estimators beyond scikit-learn's, and errors for unsupported ones."""

import os
import re
import signal
import threading
import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import DataConversionWarning

import fastnn
from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (11, 7), "max_iter": 8, "random_state": 3, "batch_size": 32}


def examples(n_classes=3, n=150, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    return rng.normal(size=(n, 6)) + y[:, None], y


def all_weights(estimator):
    return np.concatenate([a.ravel() for a in estimator.coefs_ + estimator.intercepts_])


@pytest.mark.parametrize("activation", ["gelu", "silu"])
@pytest.mark.parametrize("solver", ["adamw", "sgd", "lbfgs"])
def test_new_activations_and_adamw_learn(activation, solver):
    X, y = examples()
    options = {"activation": activation, "solver": solver, "learning_rate_init": 0.01}
    model = MLPClassifier(**SMALL | options | {"max_iter": 100}).fit(X, y)
    assert model.score(X, y) > 0.8
    regressor = MLPRegressor(**SMALL | options | {"max_iter": 100}).fit(X, X[:, 0] - X[:, 1])
    assert regressor.score(X, X[:, 0] - X[:, 1]) > 0.9


def test_adamw_shrinks_weights_but_no_biases_by_the_learning_rate_times_alpha():
    X = np.zeros((4, 2))  # no gradient reaches the first layer's weights
    y = np.array([0.0, 0, 0, 0])
    model = MLPRegressor(
        hidden_layer_sizes=(3,), solver="adamw", alpha=0.5, learning_rate_init=0.1, max_iter=1
    )
    model.set_params(random_state=0, warm_start=True).fit(X, y)
    weights, output_bias = model.coefs_[0].copy(), model.intercepts_[1].copy()
    model.fit(X, y)
    np.testing.assert_allclose(model.coefs_[0], weights * (1 - 0.1 * 0.5), rtol=1e-12)
    assert abs(abs(model.intercepts_[1] - output_bias) - 0.1) < 1e-6  # Adam's first step is lr long


@pytest.mark.parametrize("labels", [["b", "a", "c"], [-1, 7, 3], [2.0, 0.0, -1.0], [True, False]])
def test_labels_of_any_type_come_back(labels):
    X, y = examples(len(labels))
    labels = np.array(labels)
    targets = [labels[y], list(labels[y])]
    if labels.dtype.kind == "U":
        targets.append(labels[y].astype(object))
    for target in targets:
        model = MLPClassifier(**SMALL | {"solver": "lbfgs", "max_iter": 50}).fit(X, target)
        np.testing.assert_array_equal(model.classes_, np.unique(labels))
        assert model.predict(X).dtype == labels.dtype
        assert np.mean(model.predict(X) == labels[y]) > 0.8
        p = model.predict_proba(X)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        np.testing.assert_allclose(model.predict_log_proba(X), np.log(p))


def test_one_class_is_certain():
    X, _ = examples()
    model = MLPClassifier(**SMALL).fit(X, ["only"] * len(X))
    assert set(model.predict(X)) == {"only"}
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((len(X), 1)))


def test_a_column_of_labels_is_flattened_with_a_warning():
    X, y = examples()
    for model in (MLPClassifier(**SMALL), MLPRegressor(**SMALL)):
        with pytest.warns(DataConversionWarning):
            model.fit(X, y[:, None])
        assert model.predict(X).shape == (len(X),)


def test_class_weights_are_sample_weights_by_class():
    X, y = examples()
    factors = np.array([1.0, 4.0, 0.5])
    by_class = MLPClassifier(**SMALL, class_weight=dict(enumerate(factors))).fit(X, y)
    by_sample = MLPClassifier(**SMALL).fit(X, y, factors[y])
    np.testing.assert_array_equal(all_weights(by_class), all_weights(by_sample))
    weight = np.random.default_rng(0).uniform(0, 2, len(X))
    sizes = np.bincount(y, weight)
    both = MLPClassifier(**SMALL, class_weight="balanced").fit(X, y, weight)
    product = MLPClassifier(**SMALL).fit(X, y, weight * (sizes.sum() / (3 * sizes))[y])
    np.testing.assert_allclose(all_weights(both), all_weights(product), rtol=1e-9)


def test_class_weights_of_several_labels_multiply():
    X, y = examples()
    labels = np.stack([y > 0, y == 1], axis=1).astype(int)
    factors = [{0: 1.0, 1: 3.0}, {0: 2.0, 1: 1.0}]
    weight = np.array([1.0, 3.0])[labels[:, 0]] * np.array([2.0, 1.0])[labels[:, 1]]
    by_class = MLPClassifier(**SMALL, class_weight=factors).fit(X, sparse.csr_array(labels))
    by_sample = MLPClassifier(**SMALL).fit(X, labels, weight)
    np.testing.assert_array_equal(all_weights(by_class), all_weights(by_sample))


def test_a_batch_without_weight_teaches_nothing():
    X, y = examples(n=96)
    weight = np.r_[np.ones(32), np.zeros(64)]
    options = SMALL | {"shuffle": False, "max_iter": 3}
    padded = MLPClassifier(**options).fit(X, y, weight)
    np.testing.assert_array_equal(
        all_weights(padded), all_weights(MLPClassifier(**options).fit(X[:32], y[:32]))
    )


def test_a_validation_set_of_ones_own():
    X, y = examples()
    X_val, y_val = examples(seed=1)
    watched = MLPClassifier(**SMALL).fit(X, y, X_val=X_val, y_val=y_val)
    alone = MLPClassifier(**SMALL).fit(X, y)
    np.testing.assert_array_equal(all_weights(watched), all_weights(alone))
    assert len(watched.validation_scores_) == watched.n_iter_
    assert watched.validation_scores_[-1] == watched.score(X_val, y_val)
    assert watched.best_validation_score_ == max(watched.validation_scores_)

    stopped = MLPClassifier(**SMALL | {"max_iter": 300, "learning_rate_init": 0.01})
    stopped.set_params(early_stopping=True, n_iter_no_change=3)
    stopped.fit(X, y, X_val=sparse.csr_array(X_val), y_val=y_val)
    assert stopped.n_iter_ < 300 and stopped.t_ == stopped.n_iter_ * len(X)
    assert stopped.score(X_val, y_val) == stopped.best_validation_score_

    regressor = MLPRegressor(**SMALL).fit(X, y, X_val=X_val, y_val=y_val)
    assert regressor.validation_scores_[-1] == pytest.approx(regressor.score(X_val, y_val))


def test_dropout():
    X, y = examples()
    plain = MLPClassifier(**SMALL).fit(X, y)
    dropped = MLPClassifier(**SMALL, dropout=0.3).fit(X, y)
    again = MLPClassifier(**SMALL, dropout=0.3).fit(X, y)
    assert dropped.loss_curve_[0] != plain.loss_curve_[0]
    np.testing.assert_array_equal(all_weights(dropped), all_weights(again))
    np.testing.assert_array_equal(dropped.predict_proba(X), dropped.predict_proba(X))
    long = MLPClassifier((32,), dropout=0.2, max_iter=100, random_state=0, learning_rate_init=0.01)
    assert long.fit(X, y).score(X, y) > 0.8


def test_absolute_error_and_huber_are_not_led_astray_by_outliers():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 1))
    clean = np.stack([X[:, 0], -X[:, 0]], axis=1)
    spoilt = clean + 100 * (rng.uniform(size=clean.shape) < 0.1)
    options = SMALL | {"max_iter": 200, "learning_rate_init": 0.01}
    far = {}
    for loss in ("squared_error", "absolute_error", "huber"):
        model = MLPRegressor(loss, **options).fit(X, spoilt)
        far[loss] = np.abs(model.predict(X) - clean).mean()
        residual = np.abs(model.predict(X) - spoilt)
        if loss == "absolute_error":
            expected = residual.sum(axis=1).mean()
            assert model.loss_curve_[-1] == pytest.approx(expected, rel=0.1)
    assert max(far["absolute_error"], far["huber"]) < 0.5 < far["squared_error"]


def test_a_loss_of_ones_own():
    X, y = examples()

    def half_squared_error(pred, target):
        return ((pred - target) ** 2).sum() / (2 * len(pred)), (pred - target) / len(pred)

    for solver in ("adam", "lbfgs"):
        named = MLPRegressor(**SMALL, solver=solver).fit(X, y)
        own = MLPRegressor(**SMALL, solver=solver, loss=half_squared_error).fit(X, y)
        np.testing.assert_allclose(own.predict(X), named.predict(X), rtol=1e-9)
        assert own.loss_ == pytest.approx(named.loss_)
    with pytest.raises(ValueError, match="sample_weight cannot be combined"):
        own.fit(X, y, np.ones(len(X)))
    with pytest.raises(ValueError, match=re.escape("shape (1,) for outputs of (32, 1)")):
        MLPRegressor(**SMALL, loss=lambda pred, target: (0.0, np.zeros(1))).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_same_bits_for_any_number_of_threads(solver):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 100)).astype(np.float32)
    y = rng.integers(0, 4, 600)
    options = {"hidden_layer_sizes": (128,), "solver": solver, "max_iter": 3, "random_state": 0}
    runs = [MLPClassifier(**options, n_threads=n).fit(X, y) for n in (1, 2, 3, 8)]
    for run in runs[1:]:
        np.testing.assert_array_equal(all_weights(run), all_weights(runs[0]))
        np.testing.assert_array_equal(run.predict_proba(X), runs[0].predict_proba(X))


def test_estimators_that_learn_at_once_share_the_threads(monkeypatch):
    from fastnn.sklearn import sharing, stochastic

    seen, meet = [], threading.Barrier(2)
    step = stochastic.Stepper.step

    def recorded(self, batch):
        meet.wait(timeout=10)  # both are learning
        seen.append(fastnn.get_num_threads())
        return step(self, batch)

    monkeypatch.setattr(stochastic.Stepper, "step", recorded)
    X, y = examples(n=64)
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(4)
    try:
        jobs = [
            threading.Thread(target=MLPClassifier(**SMALL | {"max_iter": 2}).fit, args=(X, y))
            for _ in range(2)
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
    finally:
        fastnn.set_num_threads(before)
    # a fit that began alone had four threads in its first epoch
    assert len(seen) == 8 and seen.count(2) >= 4 and set(seen) <= {2, 4}
    assert sharing._n_learning == 0


def test_a_sparse_matrix_is_never_made_dense():
    n, d = 20_000, 1_000  # 160 MB when dense
    X = sparse.random_array((n, d), density=0.002, format="csr", rng=np.random.default_rng(0))
    y = np.arange(n) % 2
    tracemalloc.start()
    model = MLPClassifier((2,), max_iter=1, batch_size=1_000, random_state=0).fit(X, y)
    model.predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "lbfgs", "tol": 0.0}])
def test_ctrl_c_keeps_the_model(options):
    X, y = examples(n=2000)
    y = np.random.default_rng(0).integers(
        0, 3, 2000
    )  # random targets: nothing to learn, much to memorize
    forever = SMALL | {"max_iter": 10**6, "max_fun": 10**9, "n_iter_no_change": np.inf}
    model = MLPClassifier(**forever | options)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(X, y)
    assert model.n_iter_ > 0 and np.isfinite(model.loss_)
    assert model.predict(X).shape == (2000,)
    if options.get("early_stopping"):
        assert model.best_validation_score_ == max(model.validation_scores_)


def test_bad_parameters_and_data_are_named():
    X, y = examples()
    for options, message in [
        ({"dropout": 1.0}, "'dropout' parameter of MLPClassifier"),
        ({"solver": "rmsprop"}, "'solver' parameter of MLPClassifier"),
        ({"n_threads": 0}, "'n_threads' parameter of MLPClassifier"),
        ({"hidden_layer_sizes": (5, 0)}, re.escape("hidden_layer_sizes must be integers > 0")),
        ({"hidden_layer_sizes": (5.5,)}, re.escape("hidden_layer_sizes must be integers > 0")),
        ({"solver": "lbfgs", "dropout": 0.1}, "dropout must be 0"),
        ({"early_stopping": True, "validation_fraction": 0.005}, "validation set is too small"),
    ]:
        with pytest.raises(ValueError, match=message):
            MLPClassifier(**SMALL | options).fit(X, y)
    model = MLPClassifier(**SMALL)
    for weight, message in [(-np.ones(len(X)), "negative"), (np.zeros(len(X)), "zero")]:
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, weight)
    with pytest.raises(ValueError, match="X_val and y_val must be given together"):
        model.fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="classes not in"):
        model.fit(X, y, X_val=X, y_val=y + 1)
    with pytest.raises(ValueError, match="zeros and ones"):
        model.fit(X, np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match="y >= 0"):
        MLPRegressor(**SMALL, loss="poisson").fit(X, -1.0 - y)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPRegressor(**SMALL, solver="sgd", activation="identity", tol=0).fit(1e9 * X, 1e9 * y)


def test_what_partial_fit_and_warm_start_refuse():
    X, y = examples()
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    assert hasattr(MLPRegressor(solver="adamw"), "partial_fit")
    with pytest.raises(ValueError, match="early_stopping"):
        MLPRegressor(**SMALL, early_stopping=True).partial_fit(X, y)
    with pytest.raises(ValueError, match="balanced"):
        MLPClassifier(**SMALL, class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes not in"):
        MLPClassifier(**SMALL).partial_fit(X, y, classes=[0, 1])
    model = MLPClassifier(**SMALL, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="same classes"):
        model.fit(X, np.minimum(y, 1))
    with pytest.raises(ValueError, match="need layers of"):
        model.set_params(hidden_layer_sizes=(4,)).fit(X, y)
    with pytest.raises(ValueError, match="y has 2 outputs, but the model has 1"):
        MLPRegressor(**SMALL).partial_fit(X, y).partial_fit(X, np.stack([y, y], axis=1))


def test_multilabel_by_parts():
    X, y = examples()
    labels = np.stack([y > 0, y == 1, y == 2], axis=1).astype(int)
    model = MLPClassifier(**SMALL | {"learning_rate_init": 0.01})
    for _ in range(60):
        model.partial_fit(X, labels, classes=[0, 1, 2])
    assert model.predict(X).dtype == int and model.score(X, labels) > 0.7
    with pytest.raises(ValueError, match="zeros and ones"):
        model.partial_fit(X, y)
