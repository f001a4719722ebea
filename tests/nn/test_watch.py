"""Changes to layers that a program was made from are seen by the next call."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnn
from fastnn import nn

from .lowering import check, one_by_one, trains_in_one_call


class Scaled(nn.Module):
    """A layer of a user's, which says what it is made of."""

    def __init__(self, n, m):
        self.inner, self.act = nn.Linear(n, m, rng=3), nn.GELU()
        super().__init__({"inner": self.inner, "act": self.act})

    def forward(self, x):
        y, ctx = self.inner.forward(x)
        y, act = self.act.forward(y)
        return y, (ctx, act)

    def backward(self, dy, ctx, need_dx=True):
        return self.inner.backward(self.act.backward(dy, ctx[1]), ctx[0], need_dx)

    def lower(self, b):
        b.lower(self.inner)
        b.lower(self.act)

    def config(self):
        return {"type": "Scaled"}


def twice(layer):
    original = layer.forward

    def forward(x):
        y, ctx = original(x)
        return 2 * y, ctx

    return forward


CHANGES = {
    "activation": lambda m: setattr(m[0], "activation", "tanh"),
    "approximate": lambda m: setattr(m[1], "approximate", "tanh"),
    "slope": lambda m: setattr(m[2], "slope", 0.5),
    "eps": lambda m: setattr(m[3], "eps", 0.5),
    "a part's activation": lambda m: setattr(m[4].inner, "activation", "tanh"),
    "a part's approximate": lambda m: setattr(m[4].act, "approximate", "tanh"),
    "a residual's": lambda m: setattr(m[5].layer, "activation", "sigmoid"),
    "dropout": lambda m: setattr(m[6], "p", 0.9),
    "weight": lambda m: setattr(m[0].weight, "data", m[0].weight.data * 2),
    "weight by name": lambda m: setattr(m[0], "weight", m[0].weight.data * 2),
    "a new home": lambda m: nn.Sequential(m[0], nn.Tanh()).parameters().data.fill(0.25),
    "layers": lambda m: setattr(m, "layers", m.layers[:-1]),
}


def all_layers():
    return nn.Sequential(
        nn.Linear(3, 5, activation="silu", rng=0),
        nn.GELU(),
        nn.LeakyReLU(0.1),
        nn.LayerNorm(5),
        Scaled(5, 5),
        nn.Residual(nn.Linear(5, 5, activation="relu", rng=1)),
        nn.Dropout(0.5),
        nn.Linear(5, 2, rng=2),
    )


def one_by_one_call(model, x):
    for layer in model.layers:
        x = layer(x)
    return x


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_by_the_next_call(change):
    """Whatever a program was made from: the layers one by one have the right answer."""
    model = all_layers()
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    before = model(x)
    np.testing.assert_array_equal(before, one_by_one_call(model, x))
    CHANGES[change](model)
    np.testing.assert_array_equal(model(x), one_by_one_call(model, x))
    if change not in ("dropout", "layers"):
        assert not np.array_equal(model(x), before)


@pytest.mark.parametrize("change", ["activation", "approximate"])
def test_a_change_is_seen_by_the_next_training_pass(change):
    model = nn.Sequential(
        nn.Linear(3, 4, activation="relu", rng=0), nn.GELU(), nn.Linear(4, 2, rng=0)
    )
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    check(model, x)
    CHANGES[change](model)
    check(model, x)
    assert trains_in_one_call(model, x)


def test_replaced_methods_are_called(monkeypatch):
    """Of an instance or of a class, and put back again."""
    model = nn.MLP((3, 4, 2), rng=0)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    before, calls = model(x), []
    plain = nn.Linear.__call__

    def counted(self, x):
        calls.append(self)
        return plain(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(nn.Linear, "__call__", counted)
        np.testing.assert_array_equal(model(x), before)
        assert calls == list(model)
    np.testing.assert_array_equal(model(x), before)
    assert len(calls) == 2
    with monkeypatch.context() as patch:
        patch.setattr(model[1], "forward", twice(model[1]), raising=False)
        np.testing.assert_array_equal(model.forward(x)[0], 2 * before)
    np.testing.assert_array_equal(model.forward(x)[0], before)
    assert trains_in_one_call(model, x)


def test_a_program_is_made_once():
    """Training, decoding of others and changes of models that never ran leave it as it is."""
    lowered = []

    class Counted(nn.Linear):
        def lower(self, b):
            lowered.append(self)
            super().lower(b)

    layers = Counted(3, 4, activation="tanh", rng=0), nn.Dropout(0.1), Counted(4, 2, rng=1)
    model = nn.Sequential(*layers)
    lone = nn.Linear(3, 2, rng=0)
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    model(x)
    how = {"optimizer": "adam", "loss": "mse", "batch_size": 4, "verbose": 0}
    fastnn.fit(model, x, x[:, :2], epochs=3, **how)
    for _ in range(3):
        lone.activation = "relu"
        model.seed(3)
        model.zero_grad()
        model.load_state(model.state())
        model(x)
    assert lowered == [layers[0], layers[2]]


def test_a_ctx_from_before_a_change_is_refused():
    model = nn.MLP((3, 4, 2), rng=0)
    y, ctx = model.forward(np.ones((2, 3), np.float32))
    model[0].forward = model[0].forward
    with pytest.raises(ValueError, match="changed since the forward pass"):
        model.backward(y, ctx)


def test_two_threads_in_a_first_call_see_a_whole_program():
    x = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    for turn in range(30):
        model = nn.MLP((16, *[24] * 20, 2), "tanh", rng=turn)
        start = threading.Barrier(4)

        def run(model=model, start=start):
            start.wait()
            return model(x)

        with ThreadPoolExecutor(4) as pool:
            results = [future.result() for future in [pool.submit(run) for _ in range(4)]]
        want = one_by_one(model, x, np.ones((4, 2), np.float32))[0]
        for result in results:
            np.testing.assert_array_equal(result, want)


def test_a_changed_mlp_is_saved_as_what_it_is(tmp_path):
    model = nn.MLP((3, 4, 5, 2), rng=0)
    assert model.config()["activation"] == "relu"
    model[0].activation = "tanh"
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    for change in ("one layer", "all layers", "the last"):
        if change == "all layers":
            model[1].activation = "tanh"
            assert model.config()["activation"] == "tanh"
        if change == "the last":
            model[2].activation = "tanh"
        model.save(tmp_path / "m")
        twin = fastnn.load(tmp_path / "m")
        assert type(twin) is nn.MLP and twin.config() == model.config()
        np.testing.assert_array_equal(twin(x), model(x))
    with pytest.raises(ValueError, match="1 activations do not fit 3 layers"):
        nn.build(model.config() | {"activation": ["tanh"]})
    with pytest.raises(ValueError, match="activation must be None, 'relu'"):
        nn.build(model.config() | {"activation": [None, 3, "tanh"]})
