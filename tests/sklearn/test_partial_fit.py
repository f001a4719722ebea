"""What `partial_fit` keeps between calls, and what may change."""

import pickle

import numpy as np
import pytest

from fastnn.sklearn import MLPClassifier, MLPRegressor

SMALL = {"hidden_layer_sizes": (5,), "random_state": 0, "n_threads": 1, "shuffle": False}
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
def test_another_dtype_of_x_goes_on_with_the_same_optimizer(kind, solver):
    def first():
        model = kind(**SMALL, solver=solver)
        return model.partial_fit(X, Y, **({"classes": [0, 1]} if kind is MLPClassifier else {}))

    same, other = first(), first()
    for _ in range(3):
        same.partial_fit(X, Y)
        other.partial_fit(X.astype(np.float64), Y, np.ones(len(X)))
    assert {coef.dtype for coef in other.coefs_} == {np.dtype(np.float32)}
    for a, b in zip(same.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("stored", [False, True])
def test_alpha_may_change_between_calls(solver, stored):
    model = MLPRegressor(**SMALL, solver=solver, alpha=0.0, learning_rate_init=0.01)
    model.partial_fit(X, Y)
    if stored:
        model = pickle.loads(pickle.dumps(model))
    plain = pickle.loads(pickle.dumps(model)).partial_fit(X, Y)
    model.set_params(alpha=50.0).partial_fit(X, Y)
    assert _norm(model) < _norm(plain) - 1e-3


def _norm(model):
    return np.sqrt(sum((coef**2).sum() for coef in model.coefs_))
