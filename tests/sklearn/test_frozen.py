"""`estimator.freeze()`: the estimator's predictions, kept when it learns on, pickled and by C."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from fastnn import capi
from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
HOW = {"hidden_layer_sizes": (9, 5), "max_iter": 30, "random_state": 0}
X = np.random.default_rng(0).standard_normal((120, 4))
WORDS = np.array(["no", "perhaps", "yes"])[np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5])]
CASES = {
    "classes": (MLPClassifier, WORDS),
    "two classes": (MLPClassifier, X[:, 0] > 0),
    "one class": (MLPClassifier, np.full(120, "x")),
    "multilabel": (MLPClassifier, (X[:, :3] > 0).astype(int)),
    "numbers": (MLPRegressor, X @ [1, 2, 3, 4]),
    "several numbers": (MLPRegressor, X[:, :2] ** 2),
    "counts": (lambda **how: MLPRegressor(loss="poisson", **how), np.floor(np.exp(X[:, 0]))),
}


def same(frozen, model, x, real):
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if real is np.float32 else {"rtol": 1e-10}
    got, want = frozen.predict(x), model.predict(x)
    assert got.dtype == want.dtype and got.shape == want.shape
    if isinstance(model, MLPRegressor):
        np.testing.assert_allclose(got, want, **tolerance)
    else:
        np.testing.assert_array_equal(got, want)
        p = frozen.predict_proba(x)
        np.testing.assert_allclose(p, model.predict_proba(x), **tolerance)


@pytest.mark.parametrize("activation", ["relu", "gelu", "identity"])
@pytest.mark.parametrize("name", CASES)
def test_predictions(name, activation, real):
    make, y = CASES[name]
    x = X.astype(real)
    model = make(activation=activation, dropout=0.1, **HOW).fit(x, y)
    frozen = model.freeze(batch_max=16)
    same(frozen, model, x, real)
    same(frozen, model, x[:1], real)
    twins = [pickle.loads(pickle.dumps(frozen)), copy.deepcopy(frozen), copy.copy(frozen)]
    want = frozen.predict(x)
    for twin in twins:
        np.testing.assert_array_equal(twin.predict(x), want)
    model.fit(x[::-1], y)
    model.coefs_[0][...] = 0
    np.testing.assert_array_equal(frozen.predict(x), want)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(frozen)).predict(x), want)


def test_what_a_frozen_estimator_has():
    model = MLPClassifier(solver="sgd", **HOW).partial_fit(X, WORDS, classes=np.unique(WORDS))
    frozen = model.freeze()
    assert list(frozen.classes_) == ["no", "perhaps", "yes"] and frozen.n_features_in_ == 4
    assert b"_stepper" not in pickle.dumps(frozen)
    with pytest.raises(AttributeError, match="FrozenMLP has no attribute 'fit'"):
        frozen.fit(X, WORDS)
    with pytest.raises(AttributeError, match="MLPRegressor has no predict_proba"):
        MLPRegressor(**HOW).fit(X, X[:, 0]).freeze().predict_proba(X)


def test_what_is_refused():
    with pytest.raises(NotFittedError):
        MLPClassifier(**HOW).freeze()
    frozen = MLPRegressor(**HOW).fit(X, X[:, 0]).freeze()
    with pytest.raises(ValueError, match=r"X must be 2-D \(n_samples, 4\), got the shape \(4,\)"):
        frozen.predict(X[0])
    with pytest.raises(ValueError, match=r"x must be \(\.\.\., 4\), got \(120, 3\)"):
        frozen.predict(X[:, :3])
    np.testing.assert_array_equal(frozen.predict(X.tolist()), frozen.predict(X))


def test_its_plan_is_called_from_c():
    model = MLPClassifier(**HOW).fit(X.astype(np.float32), WORDS)
    frozen, z = model.freeze(), np.empty((120, 3), np.float32)
    x = np.ascontiguousarray(X, np.float32)
    run = capi.ctypes("plan_run_f32", void_pointers=True)
    assert run(frozen.plan.address, x.ctypes.data, z.ctypes.data, 120) == 0
    np.testing.assert_array_equal(model.classes_[z.argmax(axis=1)], frozen.predict(x))
