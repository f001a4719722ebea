"""Errors known before the first step are raised there, with the weights unchanged."""

import numpy as np
import pytest

from fastnn import models, nn, optim
from fastnn.train import EarlyStopping, ModelCheckpoint, fit

from .test_fit import blobs

X, Y = blobs(60)
STREAM = [(X[:30], Y[:30]), (X[30:], Y[30:])]
NUMBERS = np.eye(3, dtype=np.float32)[Y]


def refuse(error, message, x=X, y=Y, model=None, **options):
    """Assert that fit raises this and that not a bit of model and optimizer has changed."""
    model = model or nn.MLP((2, 8, 3), rng=0)
    optimizer = optim.Adam(model.parameters())
    before = model.parameters().data.copy()
    with pytest.raises(error, match=message):
        fit(model, x, y, optimizer=optimizer, batch_size=10, epochs=2, verbose=0, **options)
    np.testing.assert_array_equal(model.parameters().data, before)
    assert optimizer.steps == 0


@pytest.mark.filterwarnings("ignore:.* was converted to float32")
@pytest.mark.parametrize("as_stream", [False, True])
@pytest.mark.parametrize("x", [X, STREAM], ids=["arrays", "batches"])
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ((np.zeros((9, 3), np.float32), Y[:9]), ValueError, r"validation data: .*\(9, 3\)"),
        ((X[:9], Y[:9] + 1), IndexError, "is not one of 3 classes"),
        ((X[:9], Y[:9].astype(float)), TypeError, "in the validation data: .*targets"),
        ((X[:9], NUMBERS[:9, :2]), ValueError, "in the validation data: cross_entropy"),
        ((X[:9], Y[:8]), ValueError, "9 rows"),
        ((X[:9], Y[:9], np.ones(8)), ValueError, "sample_weight must be 9 numbers"),
    ],
)
def test_validation_data(x, as_stream, data, error, message):
    y = Y if x is X else None
    refuse(error, message, x, y, validation_data=[data] if as_stream else data)


def test_validation_data_of_losses_that_are_ones_own():
    def own(output, targets):
        return nn.mse_loss(output, targets)

    wrong = X[:9], NUMBERS[:9, :2]
    refuse(ValueError, "in the validation data", y=NUMBERS, loss=own, validation_data=wrong)


def test_labels_of_all_rows():
    late = Y.copy()
    late[57] = 3
    message = "target 3 of row 57 of y is not one of 3 classes, numbered from 0"
    refuse(IndexError, message, y=late, shuffle=False)
    refuse(IndexError, message, y=late[:, None])
    refuse(IndexError, "target -1 of row 57", y=np.where(late == 3, -1, Y))
    late[57] = 0
    late[59] = 7  # of a validation set whose first batch has none
    refuse(IndexError, "target 7 of row 29 of the validation y", y=late, validation_split=0.5)
    ids = np.zeros((20, 4), int)
    model = models.TransformerLM(5, 4, 2, 1, 4, rng=0)
    wrong = np.where(np.arange(80).reshape(20, 4) == 78, 5, ids)
    refuse(IndexError, "target 5 of row 19 of y", ids, wrong, model)


@pytest.mark.parametrize("x", [X, STREAM], ids=["arrays", "batches"])
@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (lambda _: EarlyStopping("val_los"), "'val_los' is not measured; measured: 'loss', 'acc"),
        (lambda _: EarlyStopping("acuracy"), "did you mean 'accuracy'"),
        (lambda p: ModelCheckpoint(p / "m", "val_f1", save_best_only=True), "'val_f1' is not meas"),
        (
            lambda p: ModelCheckpoint(p / "m-{val_los:.2f}"),
            "'val_los' is not a known field; known: 'epo",
        ),
        (lambda p: ModelCheckpoint(p / "m-{epoch:02f!}"), "its fields are malformed"),
        (lambda p: ModelCheckpoint(p / "m-{loss:02d}"), "its fields are malformed"),
        (lambda p: ModelCheckpoint(p / "m-{}"), "is not a known field"),
        (lambda p: ModelCheckpoint(p / "m-{loss.no}"), "its fields are malformed"),
        (
            lambda p: ModelCheckpoint(p / "m-{val_loss}", save_freq=9),
            "'val_loss' is not a known field",
        ),
    ],
)
def test_names_that_are_not_measured(tmp_path, x, validated, callback, message):
    options = {"validation_data": (X[:9], Y[:9])} if validated else {}
    refuse(ValueError, message, x, Y if x is X else None, callbacks=callback(tmp_path), **options)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_measured_later_only_are_known():
    """A first batch, and a validation set, whose rows are all ignored have an accuracy, too."""
    ignored = np.full(30, -100)
    model = nn.MLP((2, 8, 3), rng=0)
    stopping = [EarlyStopping("accuracy"), EarlyStopping("loss")]
    batches = [(X[:30], ignored), (X[30:], Y[30:])]
    fit(model, batches, optimizer="adam", callbacks=stopping, verbose=0, validation_data=STREAM)
    refuse(
        ValueError,
        "measured: 'loss', 'val_loss'",
        y=NUMBERS,
        loss="mse",
        callbacks=EarlyStopping("accuracy"),
        validation_data=(X, NUMBERS),
    )


def test_a_stream_of_validation_batches_is_begun_as_often_as_before():
    class Counted:
        begun = 0

        def __iter__(self):
            self.begun += 1
            return iter(STREAM)

    data, model = Counted(), nn.MLP((2, 8, 3), rng=0)
    history = fit(model, X, Y, optimizer="adam", epochs=3, validation_data=data, verbose=0).history
    assert data.begun - 1 == 3  # and one to check that it can restart
    twin = nn.MLP((2, 8, 3), rng=0)
    expected = fit(twin, X, Y, optimizer="adam", epochs=3, validation_data=STREAM, verbose=0)
    assert history.keys() == expected.history.keys() and len(history["val_loss"]) == 3


def test_dropout_of_a_module_of_ones_own_is_not_in_validation():
    class Own(nn.Module):
        def __init__(self):
            self.body = nn.Sequential(nn.Linear(2, 8, rng=0), nn.Dropout(0.9, rng=0))
            self.head = nn.Linear(8, 3, rng=1)
            super().__init__({"body": self.body, "head": self.head})

        def forward(self, x):
            h, ctx = self.body.forward(x)
            y, ctx_head = self.head.forward(h)
            return y, (ctx, ctx_head)

        def backward(self, dy, ctx, need_dx=True):
            return self.body.backward(self.head.backward(dy, ctx[1]), ctx[0], need_dx)

        def config(self):
            return {"type": "Own"}

    model = Own()
    history = fit(
        model,
        X,
        Y,
        optimizer=optim.SGD(model.parameters(), lr=0.0),
        epochs=2,
        verbose=0,
        validation_data=(X, Y),
        seed=0,
    ).history
    assert len(set(history["val_loss"])) == 1 and len(set(history["loss"])) == 2
