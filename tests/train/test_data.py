"""Sources of batches for `fit`: arrays, files, iterables; weights of rows and classes."""

import numpy as np
import pytest

from fastnn import nn, optim
from fastnn.train import evaluate, fit
from fastnn.train.batches import MANY, gather
from fastnn.train.examples import balanced

from .test_fit import blobs


def train(x, y=None, *, model=None, **options):
    model = model or nn.MLP((2, 16, 3), rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, x, y, optimizer=optimizer, **({"seed": 0, "verbose": 0} | options))
    return model.parameters().data, history.history


def weighted_mse(pred, target, sample_weight=None):
    """A user's own loss: the mean over rows, weighted."""
    weight = np.ones(len(pred), pred.dtype) if sample_weight is None else sample_weight
    assert weight.dtype == pred.dtype
    share = (weight / weight.sum())[:, np.newaxis] / pred.shape[1]
    return float((share * (pred - target) ** 2).sum()), 2 * share * (pred - target)


def test_a_list_of_batches_is_the_same_as_arrays():
    x, y = blobs(100)
    batches = [(x[i : i + 32], y[i : i + 32]) for i in range(0, 100, 32)]
    options = {"epochs": 3, "validation_data": (x, y)}
    weights, history = train(x, y, shuffle=False, **options)
    for other in (batches, Batches(batches)):
        again = train(other, **(options | {"validation_data": other}))
        np.testing.assert_array_equal(again[0], weights)
        assert again[1]["loss"] == history["loss"]
        assert again[1]["val_loss"] == pytest.approx(history["val_loss"])


class Batches:
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        yield from self.batches


def test_steps_per_epoch_cuts_an_endless_iterator():
    x, y = blobs(64)

    def endless():
        i = 0
        while True:
            yield x[i : i + 16], y[i : i + 16]
            i = (i + 16) % 64

    expected = train(x, y, batch_size=16, epochs=2, shuffle=False)
    found = train(endless(), steps_per_epoch=2, epochs=4)
    np.testing.assert_array_equal(found[0], expected[0])
    assert len(found[1]["loss"]) == 4
    # an iterable that can restart continues past its end
    again = train([(x[:32], y[:32]), (x[32:], y[32:])], steps_per_epoch=3, epochs=2)
    assert len(again[1]["loss"]) == 2


def test_steps_per_epoch_of_arrays():
    x, y = blobs(64)
    found = train(x, y, batch_size=16, epochs=2, shuffle=False, steps_per_epoch=2)
    expected = train(x[:32], y[:32], batch_size=16, epochs=2, shuffle=False)
    np.testing.assert_array_equal(found[0], expected[0])
    with pytest.raises(ValueError, match="steps_per_epoch is 5, but there are 4 batches"):
        train(x, y, batch_size=16, steps_per_epoch=5)


def test_iterables_that_run_out_say_so():
    x, y = blobs(8)
    with pytest.raises(ValueError, match="gave no batches in this epoch"):
        train(iter([(x, y)]), epochs=2)
    with pytest.raises(ValueError, match="ran out of batches: an epoch takes 2"):
        train(iter([(x, y)]), steps_per_epoch=2)
    with pytest.raises(ValueError, match="ran out of batches"):
        train([], steps_per_epoch=2)
    for item in (x, (x,), (x, y, y, y)):
        with pytest.raises(TypeError, match="must give batches"):
            train([item])
    with pytest.raises(ValueError, match="a batch's x has 8 rows"):
        train([(x, y[:5])])


def test_validation_batches_that_run_out_say_so_before_the_training():
    x, y = blobs(8)
    with pytest.raises(ValueError, match="validation_data is an iterator"):
        train(x, y, validation_data=iter([(x, y)]))
    with pytest.raises(TypeError, match=r"validation_data must be \(x, y\) or batches"):
        train(x, y, validation_data=x)
    with pytest.raises(ValueError, match=r"validation x has no rows: its shape is \(0, 2\)"):
        train(x, y, validation_data=(x[:0], y[:0]))
    with pytest.raises(ValueError, match="validation_data gave no batches"):
        train(x, y, validation_data=[])
    with pytest.raises(TypeError, match="validation_data must give batches"):
        train(x, y, validation_data=[(x, y), y])


def test_a_file_is_read_batch_by_batch(tmp_path):
    x, y = blobs(100)
    for name, array in (("x", x), ("y", y)):
        mapped = np.memmap(tmp_path / name, array.dtype, "w+", shape=array.shape)
        mapped[...] = array
        mapped.flush()

    def read(name, like):
        return np.memmap(tmp_path / name, like.dtype, "r", shape=like.shape)

    for shuffle in (True, False):
        found = train(read("x", x), read("y", y), shuffle=shuffle, epochs=2)
        np.testing.assert_array_equal(found[0], train(x, y, shuffle=shuffle, epochs=2)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.float16])
def test_gather_takes_rows(dtype):
    x = np.arange(60).reshape(10, 2, 3).astype(dtype)
    rows = np.array([7, 0, 0, 3])
    for array in (x, x[:, ::-1], np.asfortranarray(x)):
        found = gather(array, rows)
        np.testing.assert_array_equal(found, array[rows])
        assert found.dtype == dtype and not np.may_share_memory(found, array)


def test_gather_takes_many_rows(n_threads, real):
    x = np.random.default_rng(0).normal(size=(300, 700)).astype(real)
    x[5] = np.nan
    rows = np.random.default_rng(1).permutation(300)[:200]
    assert len(rows) * 700 > MANY
    np.testing.assert_array_equal(gather(x, rows), x[rows])


def test_the_last_rows_are_split_off():
    x, y = blobs(100)
    found = train(x, y, validation_split=0.2, epochs=2)
    expected = train(x[:80], y[:80], validation_data=(x[80:], y[80:]), epochs=2)
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]


def test_weights_of_rows():
    """A weight of 2 is a row given twice, one of 0 a row left out."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 2)), rng.normal(size=(12, 3))
    weight = np.array([2, 1, 0] * 4)
    rows = np.repeat(np.arange(12), weight)
    options = {"loss": weighted_mse, "batch_size": 12, "epochs": 3, "shuffle": False}

    def run(x, y, **more):
        model = nn.MLP((2, 5, 3), "tanh", dtype=np.float64, rng=0)
        return train(x, y, model=model, **options, **more)

    expected = run(x[rows], y[rows])
    for given in ({"sample_weight": weight}, {"sample_weight": weight.astype(np.float32)}):
        found = run(x, y, **given)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
        np.testing.assert_allclose(found[1]["loss"], expected[1]["loss"], rtol=1e-12)
    streamed = run([(x, y, weight)], None)
    np.testing.assert_allclose(streamed[0], expected[0], rtol=1e-12)
    validated = run(x, y, sample_weight=weight, validation_split=0.5)
    again = run(x[:6], y[:6], sample_weight=weight[:6], validation_data=(x[6:], y[6:], weight[6:]))
    assert validated[1] == again[1]
    model = nn.MLP((2, 5, 3), "tanh", dtype=np.float64, rng=0)
    loss, _ = evaluate(model, x, y, loss=weighted_mse, sample_weight=weight, batch_size=5)
    assert loss == pytest.approx(weighted_mse(model(x[rows]), y[rows])[0])


def recorded_weights(y, **options):
    """The weights that the loss gets, row by row."""
    seen = []

    def loss(output, targets, sample_weight=None):
        seen.append(sample_weight)
        return nn.mse_loss(output, output)

    x = np.zeros((len(y), 2), np.float32)
    train(x, y, loss=loss, batch_size=len(y), shuffle=False, **options)
    return seen[0]


def test_weights_of_classes():
    y = np.array([0, 1, 1, 2, 2, 2, -100])
    assert recorded_weights(y) is None
    np.testing.assert_array_equal(
        recorded_weights(y, class_weight={1: 3.0, 0: 0.5}), [0.5, 3, 3, 1, 1, 1, 1]
    )
    weight = np.arange(1.0, 8)
    np.testing.assert_array_equal(
        recorded_weights(y, class_weight={1: 2.0}, sample_weight=weight), [1, 4, 6, 4, 5, 6, 7]
    )
    np.testing.assert_allclose(
        recorded_weights(y, class_weight="balanced"), [2, 1, 1, 2 / 3, 2 / 3, 2 / 3, 1], rtol=1e-6
    )
    assert balanced(np.array([1, 1, 3])) == {1: 0.75, 3: 1.5}
    assert recorded_weights(y, class_weight={}).tolist() == [1] * 7


def test_weights_of_ignored_rows_do_not_count():
    x, y = blobs(24)
    y[::3] = -100
    weight = np.arange(24.0)
    model = nn.MLP((2, 4, 3), rng=0)
    expected, _ = evaluate(model, x, y, sample_weight=weight)
    for batch_size in (5, 8):
        found, _ = evaluate(model, x, y, sample_weight=weight, batch_size=batch_size)
        assert found == pytest.approx(expected, rel=1e-5)


def test_weighted_cross_entropy_repeats_rows():
    """With the loss of this library: a weight of 2 is a row given twice."""
    x, y = blobs(30)
    x = x.astype(np.float64)
    weight = np.tile([2.0, 1.0, 0.0], 10)
    rows = np.repeat(np.arange(30), weight.astype(int))
    options = {"batch_size": 30, "shuffle": False, "epochs": 2}

    def run(x, y, **more):
        model = nn.MLP((2, 5, 3), "tanh", dtype=np.float64, rng=0)
        return train(x, y, model=model, **options, **more)

    found, expected = run(x, y, sample_weight=weight), run(x[rows], y[rows])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1]["loss"], expected[1]["loss"], rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"validation_split": 1.0}, ValueError, "validation_split must be .* below 1, got 1"),
        ({"validation_split": 0.99}, ValueError, "leaves one side empty"),
        ({"validation_split": 0.5, "validation_data": blobs(3)}, ValueError, "not both"),
        ({"sample_weight": np.ones(3)}, ValueError, r"must be 8 numbers.*\(3,\)"),
        ({"sample_weight": np.full(8, "a")}, ValueError, "<U1"),
        ({"class_weight": {-1: 1.0}}, ValueError, "-1 is not a class"),
        ({"class_weight": {1: np.nan}}, ValueError, "class 1 is nan"),
        ({"class_weight": "equal"}, ValueError, "'equal'"),
        ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch"),
        ({"initial_epoch": -1}, ValueError, "initial_epoch"),
        ({"accumulate": 0}, ValueError, "accumulate"),
        ({"verbose": 3}, ValueError, "verbose"),
        ({"validation_data": (1, 2, 3, 4)}, ValueError, "got 4 items"),
    ],
)
def test_bad_options_are_named(options, error, message):
    x, y = blobs(8)
    with pytest.raises(error, match=message):
        train(x, y, **options)


def test_arrays_and_iterables_are_told_apart():
    x, y = blobs(8)
    with pytest.raises(TypeError, match="x must be an array, with y, or an iterable"):
        train(x)
    with pytest.raises(TypeError, match="x must be an array of numbers, and this list"):
        train([(x, y)], y)
    with pytest.raises(ValueError, match="need x and y as arrays"):
        train([(x, y)], sample_weight=np.ones(8))
    with pytest.raises(ValueError, match="class_weight needs targets"):
        train(x, x, class_weight="balanced", loss=nn.mse_loss)


def test_validation_data_may_be_a_list_of_arrays():
    x, y = blobs(20)
    expected = train(x, y, validation_data=(x, y))[1]
    assert train(x, y, validation_data=[x, y])[1] == expected


def test_labels_of_small_and_large_integers_have_weights():
    y = np.array([0, 127, -1, 5], np.int8)
    assert recorded_weights(y, class_weight={200: 3.0, 127: 2.0}).tolist() == [1, 2, 1, 1]
    y = np.array([2**62, 3, 2**62 + 1, -100])
    assert recorded_weights(y, class_weight={2**62: 2.0, 3: 4.0}).tolist() == [2, 4, 1, 1]


def test_integers_beside_one_output_are_numbers():
    x, y = np.zeros((4, 1), np.float32), np.array([-1, -2, 3, 0])
    square = lambda output, y: (float(np.mean(np.square(y))), np.zeros_like(output))  # noqa: E731
    assert evaluate(nn.Linear(1, 1, rng=0), x, y, loss=square, batch_size=3) == (3.5, None)
