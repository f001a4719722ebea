"""What `fit` and `evaluate` are given: by name, from other libraries, and wrong."""

import datetime
import traceback

import numpy as np
import pytest

from fastnn import nn, optim
from fastnn.train import (
    CSVLogger,
    EarlyStopping,
    LRSchedule,
    ModelCheckpoint,
    TerminateOnNaN,
    evaluate,
    fit,
)
from fastnn.train.arguments import OPTIMIZERS

from .test_fit import blobs

SECRET = 0.12345678


def new_model(dtype=np.float32):
    return nn.MLP((2, 8, 3), rng=0, dtype=dtype)


def trained(x, y, model=None, **options):
    """The weights after one epoch."""
    model = model or new_model()
    options = {"optimizer": "sgd", "seed": 0, "verbose": 0} | options
    history = fit(model, x, y, **options)
    return model.parameters().data.copy(), history.history


def refused(error, message, call):
    """Assert that a call raises this error, and that nothing in it shows data."""
    with pytest.raises(error, match=message) as caught:
        call()
    assert not any(str(SECRET) in line for line in traceback.format_exception_only(caught.value))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_by_name_are_those_with_their_defaults(name):
    kinds = {kind.__name__.lower(): kind for kind in (optim.Adam, optim.AdamW)}
    kinds |= {kind.__name__.lower(): kind for kind in (optim.Adagrad, optim.Adadelta)}
    kinds |= {"rmsprop": optim.RMSprop, "sgd": lambda p: optim.SGD(p, lr=0.01)}
    model = new_model()
    expected = trained(*blobs(), model, optimizer=kinds[name](model.parameters()))
    found = trained(*blobs(), optimizer=name)
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        ("adm", ValueError, r"optimizer must be 'sgd', .*got 'adm'; did you mean 'adam'\?"),
        ("Adam", ValueError, "did you mean 'adam'"),
        (optim.Adam, TypeError, "got the class Adam"),
        (None, TypeError, r"such as optim.Adam\(model.parameters\(\)\), or .* got NoneType"),
        (0.1, TypeError, "got float"),
    ],
)
def test_what_is_no_optimizer_is_named(optimizer, error, message):
    refused(error, message, lambda: trained(*blobs(), optimizer=optimizer))


def test_losses_by_name():
    x, y = blobs()
    expected = trained(x, y, loss=nn.cross_entropy)
    np.testing.assert_array_equal(trained(x, y, loss="cross_entropy")[0], expected[0])
    model, numbers = new_model(), np.eye(3, dtype=np.float32)[y]
    for name, loss in (
        ("mse", nn.mse_loss),
        ("l1", nn.l1_loss),
        ("huber", nn.huber_loss),
        ("bce_with_logits", nn.bce_with_logits),
    ):
        assert evaluate(model, x, numbers, loss=name) == evaluate(model, x, numbers, loss=loss)
    with pytest.raises(ValueError, match="fastnn calls it 'bce_with_logits'"):
        evaluate(model, x, numbers, loss="binary_crossentropy")


class Frame:
    """What pandas' and PyTorch's objects have in common."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __len__(self):
        return len(self.array)


class Tensor:
    """An array of which DLPack alone is offered."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("kind", [Frame, Tensor, np.ndarray.tolist, lambda a: list(a)])
@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_arrays_of_other_libraries_and_lists(kind, real):
    x, y = blobs(60)
    x = x.astype(real)
    expected = trained(x, y, new_model(real), validation_data=(x[:9], y[:9]))
    found = trained(kind(x), kind(y), new_model(real), validation_data=(kind(x[:9]), kind(y[:9])))
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]
    model = new_model(real)
    assert evaluate(model, kind(x), kind(y)) == evaluate(model, x, y)
    stream = [[x[:32], y[:32]], [x[32:], y[32:]]]
    ours, theirs = new_model(real), new_model(real)
    fit(ours, stream, optimizer="sgd", verbose=0)
    fit(theirs, [[kind(a) for a in batch] for batch in stream], optimizer="sgd", verbose=0)
    np.testing.assert_array_equal(ours.parameters().data, theirs.parameters().data)


def test_a_list_of_integers_is_numbers_for_a_loss_of_numbers():
    x = [[0.0], [1.0], [2.0]]
    expected = evaluate(nn.Linear(1, 1, rng=0), x, [[1.0], [2.0], [3.0]], loss="mse")
    assert evaluate(nn.Linear(1, 1, rng=0), x, [[1], [2], [3]], loss="mse") == expected


@pytest.mark.parametrize(
    "as_labels",
    [lambda y: y[:, None], lambda y: y.astype(bool), lambda y: y.astype(bool)[:, None]],
    ids=["column", "bool", "bool column"],
)
@pytest.mark.parametrize("integer", [np.int64, np.int8, np.uint16])
def test_columns_and_bools_are_labels(as_labels, integer):
    x, y = blobs(60)
    y = np.minimum(y, 1).astype(integer)
    labels = as_labels(y)
    options = {"class_weight": "balanced", "sample_weight": np.linspace(0, 1, 60)}
    for how in ({}, options):
        expected = trained(x, y, validation_data=(x, y), **how)
        found = trained(x, labels, validation_data=(x, labels), **how)
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1] == expected[1]
    assert evaluate(new_model(), x, labels) == evaluate(new_model(), x, y)
    assert evaluate(new_model(), x, labels)[1] is not None


def test_one_position_is_no_column():
    """Targets (N, 1) beside logits (N, 1, C)."""
    model = nn.Sequential(nn.Embedding(5, 4, rng=0), nn.Linear(4, 3, rng=0))
    ids, y = np.array([[1], [2], [3]]), np.array([[0], [2], [1]])
    loss, accuracy = evaluate(model, ids, y)
    expected = nn.cross_entropy(model(ids)[:, 0], y[:, 0])[0]
    assert loss == pytest.approx(expected, rel=1e-6) and accuracy is not None


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        ([[SECRET], [SECRET, 1.0]], [0, 1], TypeError, "x must be an array of .*this list cannot"),
        (Frame(np.array([[SECRET, "a"]], object)), [0], TypeError, "got Frame of object"),
        ([["a", "b"]], [0], TypeError, "x must be an array of numbers, got list of <U1"),
        ({"a": SECRET}, [0], TypeError, "x must be an array of numbers, got dict"),
        ((np.zeros((2, 2)),), [0, 1], TypeError, "got tuple"),
        (np.ma.array([[SECRET, 1.0]], mask=[[True, False]]), [0], TypeError, "x is a masked array"),
        (SECRET, SECRET, TypeError, "x must be an array of numbers, got float"),
        ([[1, 2], [3, 4]], [0, 1], TypeError, r"x is int64.*x.astype\(np.float32\)"),
        ([[SECRET, 1.0]], ["a"], TypeError, "y must be an array of numbers, got list of <U1"),
        ([[SECRET, 1.0]], None, TypeError, "a batch's y must be an array of numbers, got float"),
        (np.full((2, 2), SECRET), None, TypeError, "got ndarray without y"),
        (Frame(np.full((2, 2), SECRET)), None, TypeError, "got Frame without y"),
        ("abc", None, TypeError, "got str without y"),
        ([(SECRET,)], None, TypeError, "got tuple"),
        ([SECRET], None, TypeError, r"must give batches \(x, y\) .* got float"),
        ([[[[SECRET, 1.0]], 3]], None, TypeError, "a batch's y must be an array of numbers"),
        ([[SECRET, 1.0]], [SECRET], TypeError, "integers"),
    ],
)
def test_examples_that_are_none_are_named_and_not_shown(x, y, error, message):
    model = new_model()
    before = model.parameters().data.copy()
    refused(error, message, lambda: trained(x, y, model))
    np.testing.assert_array_equal(model.parameters().data, before)
    if y is not None:
        refused(error, message, lambda: evaluate(model, x, y))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"class_weight": [1.0, 2.0]}, TypeError, r"got list; for a list give dict\(enumerate"),
        ({"class_weight": np.ones(3)}, TypeError, "class_weight must be a dict .* got ndarray"),
        ({"class_weight": {True: 1.0}}, ValueError, "True is not a class"),
        ({"class_weight": {0: "1"}}, ValueError, "class 0 is '1'"),
        ({"sample_weight": np.full(120, -1.0)}, ValueError, "sample_weight of row 0 is -1.0"),
        ({"sample_weight": np.full(120, np.nan)}, ValueError, "row 0 is nan"),
        ({"callbacks": 3}, TypeError, r"a callback is a function \(epoch, logs\) or .* got int"),
        ({"callbacks": "no"}, TypeError, "got str"),
        ({"callbacks": [None]}, TypeError, "got NoneType"),
        ({"callbacks": EarlyStopping}, TypeError, r"EarlyStopping is a class: give an instance"),
        ({"callbacks": [ModelCheckpoint]}, TypeError, "ModelCheckpoint is a class"),
        ({"callbacks": lambda logs: None}, TypeError, "is called with 2 arguments: too many"),
        ({"callbacks": [lambda a, b, c: None]}, TypeError, "missing a required argument: 'c'"),
        (
            {"callbacks": [type("Own", (), {"on_epoch_end": lambda self, epoch: None})()]},
            TypeError,
            "Own.on_epoch_end is called with 2 arguments",
        ),
        ({"shuffle": "no"}, TypeError, "shuffle must be True or False, got str 'no'"),
        ({"seed": 1.5}, TypeError, "seed must be None, an integer"),
        ({"seed": -1}, ValueError, "seed must be None, an integer of at least 0"),
        ({"clip_norm": "1"}, TypeError, "clip_norm .* must be a number, got str '1'"),
        ({"validation_split": "0.2"}, TypeError, "validation_split must be a number"),
        ({"validation_data": 3}, TypeError, "validation_data must be .* got int"),
        ({"validation_data": blobs(4)[0]}, TypeError, "validation_data must be .* got ndarray"),
        ({"ema": 0.9}, TypeError, r"ema must be optim.ExponentialMovingAverage.* got float"),
        ({"resume": 3}, TypeError, "resume must be a path, got int"),
        ({"epochs": 2.0}, TypeError, "epochs must be an integer"),
        ({"initial_epoch": "1"}, TypeError, "initial_epoch must be an integer"),
        ({"model": new_model}, TypeError, "model must be an nn.Module, .*got function"),
        ({"model": nn.MLP}, TypeError, "model must be an nn.Module, .*got the class MLP"),
    ],
)
def test_options_that_are_wrong_are_named(options, error, message):
    model = options.pop("model", new_model())
    before = model.parameters().data.copy() if isinstance(model, nn.Module) else None
    refused(error, message, lambda: trained(*blobs(), model, **options))
    if before is not None:
        np.testing.assert_array_equal(model.parameters().data, before)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: EarlyStopping(3),
            TypeError,
            "monitor must be a name such as 'val_loss', got int 3",
        ),
        (lambda: EarlyStopping(min_delta="1"), TypeError, "min_delta must be a number"),
        (lambda: EarlyStopping(min_delta=-1), ValueError, "min_delta must be at least 0"),
        (lambda: EarlyStopping(mode="least"), ValueError, "mode must be 'auto', 'min' or 'max'"),
        (lambda: ModelCheckpoint(3), TypeError, "path must be a path, got int"),
        (lambda: CSVLogger(3), TypeError, "path must be a path, got int"),
        (lambda: CSVLogger("log", "ab"), ValueError, "separator must be one character"),
        (lambda: CSVLogger("log", None), ValueError, "separator must be one character"),
        (lambda: LRSchedule(0.1), TypeError, "schedule must be a function"),
        (lambda: LRSchedule(lambda: 0.1), TypeError, "schedule is called with 1 arguments"),
        (lambda: LRSchedule(lambda n: 1, per="batch"), ValueError, "per must be 'epoch' or"),
    ],
)
def test_callbacks_name_what_they_cannot_be_made_with(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("rate", ["0.1", None, -1.0, np.nan, np.ones(2), datetime.timedelta(1)])
def test_a_schedule_that_gives_no_rate_changes_nothing(rate):
    for per in ("epoch", "step"):
        model = new_model()
        before = model.parameters().data.copy()
        with pytest.raises((TypeError, ValueError), match="lr must be"):
            trained(*blobs(), model, callbacks=LRSchedule(lambda n: rate, per))
        with pytest.raises((TypeError, ValueError), match=r"lr must be .* at step 0"):
            trained(*blobs(), model, optimizer=optim.SGD(model.parameters(), lambda n: rate))
        np.testing.assert_array_equal(model.parameters().data, before)


def test_one_callback_and_none():
    epochs = []
    trained(*blobs(), callbacks=lambda epoch, logs: epochs.append(epoch))
    trained(*blobs(), callbacks=TerminateOnNaN())
    trained(*blobs(), callbacks=None)
    assert epochs == [0]
