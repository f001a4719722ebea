"""Fits that are refused, which leave the estimator unchanged."""

import numpy as np
import pytest
import sklearn.neural_network

from fastnn.sklearn import MLPClassifier, MLPRegressor

SMALL = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, "n_threads": 1}
X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_failed_fit_keeps_what_was_learnt(kind):
    model = kind(**SMALL).fit(X, Y)
    attributes, outputs, curve = set(vars(model)), model.predict(X), list(model.loss_curve_)
    wide, three = np.hstack([X, X]), np.arange(40) % 3
    y_new = three if kind is MLPClassifier else np.column_stack([Y, Y])
    for params, args, validation in (
        ({}, (wide, y_new), {"X_val": X, "y_val": Y}),
        ({}, (wide, y_new), {"X_val": wide}),
        ({"solver": "lbfgs", "dropout": 0.5}, (wide, y_new), {}),
        ({"early_stopping": True, "validation_fraction": 0.01}, (wide, y_new), {}),
        ({"warm_start": True}, (wide, Y), {}),
        ({"warm_start": True, "hidden_layer_sizes": (6,)}, (X, Y), {}),
        ({"warm_start": True, "solver": "sgd", "learning_rate_init": 1e200}, (X, Y), {}),
    ):
        with np.errstate(all="ignore"), pytest.raises(ValueError):
            model.set_params(**params).fit(*args, **validation)
        model.set_params(**kind(**SMALL).get_params())
        assert set(vars(model)) == attributes and model.loss_curve_ == curve
        assert np.array_equal(model.predict(X), outputs)
    model.partial_fit(X, Y)


def test_a_first_partial_fit_that_fails_leaves_no_classes():
    model = MLPClassifier(**SMALL)
    with pytest.raises(ValueError, match="classes"):
        model.partial_fit(X, Y + 7, classes=[0, 1])
    assert model.partial_fit(X, Y + 7, classes=[7, 8]).classes_.tolist() == [7, 8]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_must_not_all_be_zero(solver):
    model = MLPClassifier(**SMALL, solver=solver, class_weight={0: 0, 1: 1})
    with pytest.raises(ValueError, match="times class_weight must not be zero for every sample"):
        model.fit(X, Y, sample_weight=1 - Y)
    with pytest.raises(ValueError, match="times class_weight must not be zero for every sample"):
        model.set_params(class_weight={0: 0, 1: 0}).fit(X, Y)
    assert not hasattr(model, "coefs_")


def test_weights_of_a_validation_set_must_not_all_be_zero():
    model = MLPClassifier(**SMALL, class_weight={0: 0, 1: 1})
    with pytest.raises(ValueError, match="class_weight in y_val must not be zero"):
        model.fit(X, Y, X_val=X[Y == 0], y_val=Y[Y == 0])
    held_out = MLPRegressor(**SMALL, early_stopping=True)
    with pytest.raises(ValueError, match="in the validation set must not be zero"):
        held_out.fit(X, Y, sample_weight=_one_of_weight(0))
    assert not hasattr(held_out, "coefs_")


def _one_of_weight(row):
    return (np.arange(len(X)) == row).astype(float)


@pytest.mark.parametrize("labels", [(False, True), (0, 1), ("often", "rare")])
def test_a_class_of_one_member_is_named_as_scikit_learn_names_it(labels):
    y = np.array(labels)[(np.arange(40) == 3).astype(int)]
    messages = []
    for kind in (MLPClassifier, sklearn.neural_network.MLPClassifier):
        with pytest.raises(ValueError, match="least populated") as caught:
            kind((5,), max_iter=3, early_stopping=True, random_state=0).fit(X, y)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
