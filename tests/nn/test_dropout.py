"""The Dropout layer, and the seeds and counts of a model's random numbers."""

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastnn import nn
from fastnn.kernels import dropout


def ones(n=1000):
    return np.ones((4, n), np.float32)


def model():
    return nn.Sequential(
        nn.Dropout(0.2, rng=1),
        nn.Sequential(nn.ReLU(), nn.Dropout(0.5, rng=2)),
        nn.Linear(6, 3, rng=0),
        nn.Dropout(0.1, rng=3),
    )


def test_training_drops_and_inference_does_not(real):
    layer, x = nn.Dropout(0.4, rng=0), ones().astype(real)
    y, ctx = layer.forward(x)
    assert layer(x) is x
    assert y.dtype == real and 0.3 < (y == 0).mean() < 0.5
    np.testing.assert_allclose(y[y != 0], 1 / 0.6, rtol=1e-6)
    np.testing.assert_array_equal(layer.backward(x, ctx), y)
    assert layer.backward(x, ctx, need_dx=False) is None
    assert not np.array_equal(layer.forward(x)[0], y)


def test_backward_is_that_of_its_own_forward():
    layer, x = nn.Dropout(0.5, rng=0), ones()
    passes = [layer.forward(x) for _ in range(4)]
    layer.p = 0.1
    for y, ctx in reversed(passes):
        np.testing.assert_array_equal(layer.backward(x, ctx), y)


def test_a_layer_that_occurs_twice_drops_others_the_second_time():
    shared = nn.Dropout(0.5, rng=0)
    twice = nn.Sequential(shared, shared)
    y, ctx = twice.forward(ones())
    assert 0.7 < (y == 0).mean() < 0.8
    np.testing.assert_array_equal(twice.backward(ones(), ctx), y)
    assert list(twice.random_state()) == ["0"]


def test_passes_in_several_threads_get_numbers_of_their_own():
    layer = nn.Dropout(0.5, rng=0)
    with ThreadPoolExecutor(8) as pool:
        steps = list(pool.map(lambda _: layer.forward(ones(3))[1][3], range(400)))
    assert sorted(steps) == list(range(400)) and layer.stream.calls == 400


def test_seed_gives_each_layer_its_own():
    one, other = model(), model()
    before = one[2].weight.data.copy()
    for m in (one, other):
        m.forward(ones(6))
        m.seed(12)
    state = one.random_state()
    assert list(state) == ["0", "1.1", "3"]
    assert len({entry["seed"] for entry in state.values()}) == 3
    assert all(entry["calls"] == 0 for entry in state.values())
    assert state == other.random_state()
    np.testing.assert_array_equal(one[2].weight.data, before)
    np.testing.assert_array_equal(one.forward(ones(6))[0], other.forward(ones(6))[0])
    one.seed(13)
    assert all(one.random_state()[name] != state[name] for name in state)
    # As documented, and in files: these numbers must not change.
    layer = nn.Dropout(0.5)
    layer.seed(7)
    assert layer.random_state() == {"": {"seed": 7288634180533250744, "calls": 0}}


def test_the_state_resumes_a_run():
    one, x = model(), ones(6)
    one.forward(x)
    state = json.loads(json.dumps(one.random_state()))
    expected = [one.forward(x)[0] for _ in range(3)]
    other = model()
    other.load_random_state(state)
    for y in expected:
        np.testing.assert_array_equal(other.forward(x)[0], y)
    assert one.random_state() == other.random_state()
    assert nn.Linear(2, 2, rng=0).random_state() == {}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"0": None}, TypeError, "'0' must be a mapping"),
        ({"4": {"seed": 1, "calls": 1}}, ValueError, r"unexpected \['4'\]"),
        ({"3": {"seed": 1}}, ValueError, r"random state of '3' .* missing \['calls'\]"),
        ({"3": {"seed": -1, "calls": 0}}, ValueError, "seed of '3' must be from 0"),
        ({"3": {"seed": 0, "calls": 2**64}}, ValueError, "calls of '3' must be from 0"),
        (
            {"3": {"seed": 0, "calls": 1.0}},
            TypeError,
            "calls of '3' must be an integer, got float 1.0",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    m = model()
    before = m.random_state()
    new = {name: {"seed": 5, "calls": 5} for name in before}
    with pytest.raises(error, match=message):
        m.load_random_state(new | change)
    del new["1.1"]
    with pytest.raises(ValueError, match=r"missing \['1\.1'\]"):
        m.load_random_state(new)
    assert m.random_state() == before


def test_copies_go_on_alike():
    m = model()
    m.forward(ones(6))
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert other.random_state() == m.random_state()
        other.forward(ones(6))
        assert other.random_state() != m.random_state()


def test_seeds_of_new_layers():
    assert nn.Dropout(rng=1).stream.seed == nn.Dropout(rng=1).stream.seed
    assert nn.Dropout().stream.seed != nn.Dropout().stream.seed
    rng = np.random.default_rng(0)
    assert nn.Dropout(rng=rng).stream.seed != nn.Dropout(rng=rng).stream.seed
    layer = nn.Dropout(0.3, rng=0)
    seed = layer.stream.seed
    layer.forward(ones(5))
    np.testing.assert_array_equal(
        layer.forward(ones(5))[0], dropout(ones(5), 0.3, seed=seed, step=1)
    )


def test_config():
    m = model()
    again = nn.build(m.config())
    assert again.config() == m.config()
    again.load_random_state(m.random_state())
    assert repr(nn.Dropout(0)) == "Dropout(p=0.0)"
    with pytest.raises(ValueError, match="p must be from 0 to 1"):
        nn.build({"type": "Dropout", "p": 2.0})


def test_wrong_arguments():
    for p in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match="p must be from 0 to 1"):
            nn.Dropout(p)
    with pytest.raises(TypeError, match="p must be a number"):
        nn.Dropout("0.5")
    layer = nn.Dropout(0.5)
    with pytest.raises(TypeError, match="x must be a NumPy array"):
        layer.forward([1.0])
    _, ctx = layer.forward(ones(3))
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(4, 3\)"):
        layer.backward(np.ones((3, 4), np.float32), ctx)
    for seed, error in ((-1, ValueError), (2**64, ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="seed must be"):
            layer.seed(seed)
