"""The training loop: what it learns, repeats, reports and refuses."""

import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.data import load_digits
from fastnn.train import evaluate, fit


def blobs(n=120, seed=0):
    """Three classes of points in the plane, well apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    centres = np.array([[3, 0], [-3, 3], [-3, -3]])
    return (centres[y] + rng.normal(size=(n, 2))).astype(np.float32), y


def train_blobs(**options):
    model = nn.MLP((2, 16, 3), rng=0)
    x, y = blobs()
    optimizer = optim.AdamW(model.parameters(), lr=0.02)
    history = fit(
        model, x, y, **({"optimizer": optimizer, "epochs": 3, "seed": 0, "verbose": 0} | options)
    )
    return model, history


def test_it_learns_and_reports():
    model, history = train_blobs(epochs=5, validation_data=blobs(seed=1))
    values = history.history
    assert list(values) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(column) == 5 for column in values.values())
    assert history.epoch == [0, 1, 2, 3, 4] and not history.interrupted
    assert values["loss"][-1] < 0.2 * values["loss"][0]
    assert values["val_accuracy"][-1] > 0.95
    loss, accuracy = evaluate(model, *blobs(seed=1))
    assert loss == pytest.approx(values["val_loss"][-1], rel=1e-5)
    assert accuracy == values["val_accuracy"][-1]


def test_one_step_is_forward_loss_backward_step():
    model, twin = nn.MLP((2, 4, 3), rng=0), nn.MLP((2, 4, 3), rng=0)
    x, y = blobs(8)
    fit(model, x, y, optimizer=optim.SGD(model.parameters(), lr=0.1), batch_size=8, shuffle=False)
    logits, ctx = twin.forward(x)
    _, dlogits = nn.cross_entropy(logits, y)
    twin.backward(dlogits, ctx)
    optim.SGD(twin.parameters(), lr=0.1).step()
    np.testing.assert_array_equal(model.parameters().data, twin.parameters().data)


def test_the_loss_of_an_epoch_weighs_a_smaller_last_batch_by_its_rows():
    model = nn.MLP((2, 4, 3), rng=0)
    x, y = blobs(11)
    # with lr 0 the model stays what it is, so the mean over batches must be the mean over rows
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    history = fit(model, x, y, optimizer=optimizer, batch_size=4).history
    loss, accuracy = evaluate(model, x, y, batch_size=3)
    assert history["loss"][0] == pytest.approx(loss, rel=1e-5)
    assert history["accuracy"][0] == pytest.approx(accuracy)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    weights = [train_blobs(seed=seed)[0].parameters().data for seed in (0, 0, 1)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


@pytest.fixture(scope="module")
def digits_by_one_thread():
    return train_digits(1)


def train_digits(n_threads):
    """Weights and losses of a short run with every part of the loop in it."""
    with fastnn.num_threads(n_threads):
        x, y = load_digits(split="train")
        model = nn.MLP((64, 256, 128, 10), rng=0)
        optimizer = optim.AdamW(model.parameters(), lr=3e-3)
        options = {"validation_data": load_digits(split="test"), "clip_norm": 1.0, "seed": 0}
        history = fit(model, x, y, optimizer=optimizer, epochs=2, batch_size=256, **options)
    return model.parameters().data.copy(), history.history


def test_any_number_of_threads_gives_the_same_bits(n_threads, digits_by_one_thread):
    weights, history = train_digits(n_threads)
    np.testing.assert_array_equal(weights, digits_by_one_thread[0])
    assert history == digits_by_one_thread[1]


def test_without_shuffling_the_rows_come_in_order():
    seen = []

    def loss(output, targets):
        seen.append(targets.tolist())
        return nn.mse_loss(output, targets)

    model = nn.Linear(1, 1, rng=0)
    x = np.arange(5, dtype=np.float32)[:, np.newaxis]
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    history = fit(model, x, x, optimizer=optimizer, loss=loss, batch_size=2, shuffle=False)
    assert seen == [[[0], [1]], [[2], [3]], [[4]]]
    assert list(history.history) == ["loss"]
    assert evaluate(model, x, x, loss=nn.mse_loss)[1] is None


def test_regression_finds_the_line():
    x = np.linspace(-1, 1, 64, dtype=np.float64)[:, np.newaxis]
    model = nn.Linear(1, 1, dtype=np.float64, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.5)
    fit(model, x, 3 * x - 2, optimizer=optimizer, loss=nn.mse_loss, epochs=60, seed=0)
    np.testing.assert_allclose(
        [model.weight.data.item(), model.bias.data.item()], [3, -2], rtol=1e-6
    )


def test_clip_norm_limits_every_step():
    model = nn.MLP((2, 4, 3), rng=0)
    before = model.parameters().data.copy()
    x, y = blobs(32)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    fit(model, 1000 * x, y, optimizer=optimizer, batch_size=32, clip_norm=0.01)
    assert np.linalg.norm(model.parameters().data - before) == pytest.approx(0.01, rel=1e-3)


def test_accumulated_batches_make_one_step():
    x, y = blobs(56)
    weights = []
    for options in ({"batch_size": 24}, {"batch_size": 8, "accumulate": 3}):
        model = nn.MLP((2, 8, 3), "tanh", dtype=np.float64, rng=0)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        fit(
            model,
            x[:48].astype(float),
            y[:48],
            optimizer=optimizer,
            shuffle=False,
            verbose=0,
            epochs=2,
            **options,
        )
        assert optimizer.steps == 4
        weights.append(model.parameters().data)
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-9, atol=1e-12)
    # 7 batches in threes: the last one makes a step alone
    model = nn.MLP((2, 8, 3), rng=0)
    optimizer = optim.Adam(model.parameters())
    fit(model, x, y, optimizer=optimizer, batch_size=8, accumulate=3, verbose=0)
    assert optimizer.steps == 3


def test_epochs_is_where_to_stop():
    straight, history = train_blobs(epochs=3, shuffle=False)
    assert history.epoch == [0, 1, 2]
    model = nn.MLP((2, 16, 3), rng=0)
    x, y = blobs()
    optimizer = optim.AdamW(model.parameters(), lr=0.02)
    for first, last in ((0, 2), (2, 3)):
        options = {"initial_epoch": first, "epochs": last, "shuffle": False, "verbose": 0}
        history = fit(model, x, y, optimizer=optimizer, **options)
    assert history.epoch == [2]
    np.testing.assert_array_equal(model.parameters().data, straight.parameters().data)


def test_a_loss_of_ones_own():
    def quartic(pred, target):
        return float(np.mean((pred - target) ** 4)), 4 * (pred - target) ** 3 / pred.size

    x = np.linspace(-1, 1, 64, dtype=np.float64)[:, np.newaxis]
    model = nn.Linear(1, 1, dtype=np.float64, rng=0)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    history = fit(model, x, 3 * x - 2, optimizer=optimizer, loss=quartic, epochs=60, verbose=0)
    assert history.history["loss"][-1] < 1e-2 * history.history["loss"][0]


def test_ignored_rows_count_neither_in_loss_nor_in_accuracy():
    def loss(output, targets):
        kept = targets >= 0
        value, gradient = nn.cross_entropy(output[kept], targets[kept])
        full = np.zeros_like(output)
        full[kept] = gradient
        return value, full

    x, y = blobs(40)
    model = nn.MLP((2, 8, 3), rng=0)
    padded = np.where(np.arange(40) % 4 == 0, -100, y)
    found = evaluate(model, x, padded, loss=loss, batch_size=7)
    expected = evaluate(model, x[padded >= 0], y[padded >= 0])
    assert found == (pytest.approx(expected[0], rel=1e-6), expected[1])


def test_a_part_of_a_model_can_be_trained_alone():
    model = nn.MLP((2, 4, 3), rng=0)
    before = model.state()
    fit(model, *blobs(), optimizer=optim.SGD(model[1].parameters(), lr=0.1))
    np.testing.assert_array_equal(model[0].weight.data, before["0.weight"])
    assert not np.array_equal(model[1].weight.data, before["1.weight"])


def test_callbacks():
    class Recorder:
        def __init__(self):
            self.epochs, self.batches = [], []

        def on_epoch_end(self, epoch, logs):
            self.epochs.append((epoch, logs))

        def on_train_batch_end(self, batch, logs):
            self.batches.append((batch, logs))

    recorder, plain = Recorder(), []
    callbacks = [recorder, lambda epoch, logs: plain.append((epoch, logs))]
    _, history = train_blobs(epochs=2, batch_size=50, callbacks=callbacks)
    assert [batch for batch, _ in recorder.batches] == [0, 1, 2] * 2
    assert [epoch for epoch, _ in recorder.epochs] == [0, 1]
    assert recorder.epochs == plain
    assert [logs["loss"] for _, logs in plain] == history.history["loss"]
    assert recorder.batches[2][1] == recorder.epochs[0][1]


def test_ctrl_c_leaves_a_model_and_the_history():
    def press(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    model, history = train_blobs(epochs=10, callbacks=[press])
    assert history.interrupted and history.epoch == [0, 1]
    twin, _ = train_blobs(epochs=2)
    np.testing.assert_array_equal(model.parameters().data, twin.parameters().data)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be an integer"),
        ({"clip_norm": -1.0}, ValueError, "max_norm"),
        ({"callbacks": [3]}, TypeError, "callback"),
        (
            {"validation_data": (np.zeros((3, 2), np.float32), np.zeros(2, int))},
            ValueError,
            "validation x has 3",
        ),
    ],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        train_blobs(**options)


def test_bad_examples_are_named():
    model = nn.MLP((2, 4, 3), rng=0)
    x, y = blobs(6)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    before = model.parameters().data.copy()
    for bad_x, bad_y, error, message in [
        (x, y[:5], ValueError, r"x has 6 rows \(6, 2\), y has 5 \(5,\)"),
        (x[:0], y[:0], ValueError, "x has no rows"),
        ("x", y, TypeError, "x must be an array of numbers, got str"),
        (x.astype(complex), y, TypeError, "complex128"),
        (x, y + 3, IndexError, "row"),
    ]:
        with pytest.raises(error, match=message):
            fit(model, bad_x, bad_y, optimizer=optimizer)
    with pytest.raises(ValueError, match="does not hold the parameters of this model"):
        fit(model, x, y, optimizer=optim.SGD(nn.MLP((2, 4, 3)).parameters(), lr=0.1))
    np.testing.assert_array_equal(model.parameters().data, before)


MEMORY = """
import resource
import subprocess
import sys

import numpy as np
unit = 1024 if __import__("sys").platform != "darwin" else 1
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
before = peak()
from fastnn import nn, optim
from fastnn.train import fit
x, y = np.ones((512, 2048), np.float32), np.zeros(512, np.int64)
model = nn.MLP((2048, 3072, 2048, 10), rng=0)
fit(model, x, y, optimizer=optim.Adam(model.parameters()), batch_size=128, verbose=0)
parameters = 4 * model.parameters().size
activations = 4 * 128 * (2048 + 3072 + 2048 + 10)
print(peak() - before - x.nbytes - 4 * parameters - activations)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read as Linux has it")
def test_memory_is_that_of_the_parameters_four_times_and_of_one_batch():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) < 64 * 2**20


def test_an_average_of_another_model_is_refused():
    other = nn.MLP((2, 16, 3), rng=0)
    with pytest.raises(ValueError, match="ema does not hold"):
        train_blobs(ema=optim.ExponentialMovingAverage(other.parameters()))
