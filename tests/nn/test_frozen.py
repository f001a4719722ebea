"""Frozen parameters: no gradient, no memory for one, no step; everything else as before."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from fastnn import models, nn, optim
from fastnn.train import ModelCheckpoint, fit

from ..optim.test_states import MAKERS
from .layers import LAYERS, D, rows

SENTINEL = 7.0

# Which parameters of a layer are frozen, of their names in order.
CHOICES = {
    "all": lambda names: names,
    "every other": lambda names: names[::2],
    "the others": lambda names: names[1::2],
    "biases": lambda names: [name for name in names if name.endswith("bias")],
    "weights": lambda names: [name for name in names if name.endswith("weight")],
    "the last": lambda names: names[-1:],
    "all but the last": lambda names: names[:-1],
}


def gradients(layer, inputs, frozen=(), need_dx=True):
    """dx and the gradients of a pass; those of frozen parameters stay as they were."""
    own = dict(layer.parameters().named())
    for name in frozen:
        own[name].requires_grad = False
        own[name]._grad[...] = SENTINEL
    y, ctx = layer.forward(*inputs)
    several = isinstance(y, tuple)
    dys = [np.cos(1.5 * part) for part in (y if several else (y,))]
    dx = layer.backward(tuple(dys) if several else dys[0], ctx, need_dx)
    return dx, {name: parameter._grad.copy() for name, parameter in own.items()}


def assert_same(found, expected):
    if isinstance(expected, tuple):
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
    elif expected is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_compute_the_other_gradients_alone(name, choice):
    layer, inputs = LAYERS[name]()
    names = [key for key, _ in layer.parameters().named()]
    frozen = CHOICES[choice](names)
    if not frozen:
        return
    dx, expected = gradients(layer, inputs)
    layer, inputs = LAYERS[name]()
    own_dx, found = gradients(layer, inputs, frozen)
    assert_same(own_dx, dx)
    for key, grad in found.items():
        np.testing.assert_array_equal(grad, SENTINEL if key in frozen else expected[key], key)
    # without the gradient of x, where a frozen beginning of the model is skipped
    layer, inputs = LAYERS[name]()
    _, found = gradients(layer, inputs, frozen, need_dx=False)
    for key, grad in found.items():
        np.testing.assert_array_equal(grad, SENTINEL if key in frozen else expected[key], key)


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
@pytest.mark.parametrize("frozen", [["0.weight"], ["1.bias"], ["2.weight", "2.bias"], ["*"]])
def test_networks_in_one_call(activation, frozen, real):
    """A small network runs in one call, and large gradients are stored, not added."""
    x = np.random.default_rng(0).standard_normal((70, 130)).astype(real)

    def learned(*patterns):
        model = nn.MLP((130, 140, 150, 3), activation, dtype=real, rng=0)
        if patterns:
            model.set_requires_grad(False, *patterns)
        model.zero_grad()
        y, ctx = model.forward(x)
        return model, model.backward(np.ones_like(y), ctx)

    (whole, dx), (part, own_dx) = learned(), learned(*frozen)
    np.testing.assert_array_equal(own_dx, dx)
    for a, b in zip(whole.parameters(), part.parameters(), strict=True):
        np.testing.assert_array_equal(b.grad, a.grad if b.requires_grad else 0 * a.grad, a.name)


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("pattern", ["embedding.*", "*.weight", "head.*", "blocks.0.*"])
def test_language_models(tie, pattern):
    ids = np.random.default_rng(1).integers(0, 300, (3, 16))

    def learned(*patterns):
        model = models.TransformerLM(300, 96, 4, 2, 16, tie_weights=tie, rng=0)
        model.set_requires_grad(not patterns, *patterns)
        model.zero_grad()
        loss = model.loss_and_grad(ids, ids[:, ::-1].copy())
        return loss, model.parameters()

    if tie and pattern == "head.*":
        with pytest.raises(ValueError, match=r"no parameter fits 'head.\*'"):
            learned(pattern)
        return
    (loss, whole), (own_loss, part) = learned(), learned(pattern)
    assert own_loss == loss
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(b.grad, a.grad if b.requires_grad else 0 * a.grad, a.name)


class Counting(nn.Module):
    """A linear layer that says whether its backward pass ran."""

    def __init__(self, seed):
        self.inner, self.passes = nn.Linear(D, D, rng=seed, dtype=np.float64), []
        super().__init__({"inner": self.inner})

    def forward(self, x):
        return self.inner.forward(x)

    def backward(self, dy, ctx, need_dx=True):
        self.passes.append(need_dx)
        return self.inner.backward(dy, ctx, need_dx)


def test_a_frozen_beginning_is_not_walked():
    layers = [Counting(seed) for seed in range(4)]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.Sequential(layers[2], layers[3]))
    model.set_requires_grad(False, "0.*", "2.*", "3.0.*")
    y, ctx = model.forward(rows())
    assert model.backward(np.ones_like(y), ctx, need_dx=False) is None
    assert [layer.passes for layer in layers] == [[], [], [], [False]]
    assert model.backward(np.ones_like(y), ctx).shape == rows().shape
    assert [layer.passes for layer in layers] == [[True], [True], [True], [False, True]]
    model.set_requires_grad(False)
    assert model.backward(np.ones_like(y), ctx, need_dx=False) is None
    assert [len(layer.passes) for layer in layers] == [1, 1, 1, 2]


def test_frozen_blocks_of_an_encoder_are_not_walked(monkeypatch):
    model = models.TransformerEncoderModel(9, 16, 2, 3, 32, 8, rng=0)
    model.set_requires_grad(False)
    model.set_requires_grad(True, "blocks.2.*")
    reached = []
    inner = nn.FeedForward.backward

    def backward(self, *arguments, **options):
        reached.append(self)
        return inner(self, *arguments, **options)

    monkeypatch.setattr(nn.FeedForward, "backward", backward)
    y, ctx = model.forward(np.array([[1, 2, 3]]))
    model.backward(np.ones_like(y), ctx)
    assert reached == [model.blocks.blocks[2].feed_forward]


FROZEN = {"a prefix": ["0.*"], "biases": ["*.bias"], "one in between": ["1.weight"]}


@pytest.mark.parametrize("patterns", FROZEN.values(), ids=FROZEN)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_optimizers_leave_them_alone(make, patterns, real):
    """Also their weight decay, and whatever stands in their gradients."""
    rng = np.random.default_rng(0)
    whole, part = (nn.MLP((5, 7, 6, 3), dtype=real, rng=0) for _ in range(2))
    part.set_requires_grad(False, *patterns)
    optimizers = [make(model.parameters()) for model in (whole, part)]
    before = part.state()
    for _ in range(3):
        for name, parameter in whole.parameters().named():
            grad = rng.standard_normal(parameter.data.shape).astype(real)
            twin = dict(part.parameters().named())[name]
            parameter._grad[...] = grad
            twin._grad[...] = grad if twin.requires_grad else np.nan
        for optimizer in optimizers:
            optimizer.step()
    for name, parameter in part.parameters().named():
        expected = whole.state()[name] if parameter.requires_grad else before[name]
        np.testing.assert_array_equal(parameter.data, expected, name)
    sizes = {a.size for a in optimizers[1].state_dict().values() if isinstance(a, np.ndarray)}
    assert all(size < part.parameters().data.size for size in sizes)


@pytest.mark.parametrize("patterns", FROZEN.values(), ids=FROZEN)
def test_the_norm_is_that_of_the_others(patterns):
    def model_of():
        model = nn.MLP((5, 7, 6, 3), rng=0)
        model.set_requires_grad(False, *patterns)
        for parameter in model.parameters():
            parameter._grad[...] = 3 if parameter.requires_grad else np.nan
        return model

    model = model_of()
    expected = 3 * np.sqrt(sum(p.data.size for p in model.parameters() if p.requires_grad))
    assert optim.clip_grad_norm(model.parameters(), 1.0) == pytest.approx(expected)
    optim.SGD(model.parameters(), lr=1.0).step()
    fused = model_of()
    assert optim.SGD(fused.parameters(), lr=1.0).step(max_norm=1.0) == pytest.approx(expected)
    for a, b in zip(model.parameters(), fused.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-6)
        assert a.requires_grad or np.isnan(a._grad).all()


def test_what_is_frozen_moves_with_the_parameters():
    layer = nn.Linear(2, 3, rng=0)
    layer.weight.requires_grad = False
    model = nn.Sequential(nn.Linear(4, 2, rng=0), layer)
    for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        frozen = {name for name, p in each.parameters().named() if not p.requires_grad}
        assert frozen == {"1.weight"}
    model.set_requires_grad(True)
    assert all(p.requires_grad for p in model.parameters())
    layer.bias.grad += 1
    layer.bias.requires_grad = False
    assert not layer.bias.grad.any()
    model.zero_grad()
    with pytest.raises(TypeError, match="requires_grad must be True or False"):
        layer.bias.requires_grad = None


def test_errors_change_nothing():
    model = nn.MLP((3, 4, 2), rng=0)
    with pytest.raises(ValueError, match=r"no parameter fits '2\.\*'; names are such as \['0.wei"):
        model.set_requires_grad(False, "0.*", "2.*")
    with pytest.raises(TypeError, match="value must be True or False"):
        model.set_requires_grad(1)
    assert all(p.requires_grad for p in model.parameters())
    optimizer = optim.Adam(model.parameters())
    before = model.state()
    model.set_requires_grad(False, "0.*")
    with pytest.raises(RuntimeError, match="create the optimizer again"):
        optimizer.step()
    assert optimizer.steps == 0
    np.testing.assert_array_equal(model[0].weight.data, before["0.weight"])
    model.set_requires_grad(False)
    with pytest.raises(ValueError, match="every parameter is frozen"):
        optim.SGD(model.parameters(), lr=0.1)
    assert optim.clip_grad_norm(model.parameters(), 1.0) == 0
    with pytest.raises(AttributeError, match=r"set_requires_grad\(False, pattern\)"):
        model.requires_grad_(False)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_state_belongs_to_what_was_frozen(make):
    """Two layers of one size: the arrays of a state fit either."""
    model = nn.MLP((4, 4, 4), rng=0)
    model.set_requires_grad(False, "0.*")
    state = make(model.parameters()).state_dict()
    make(model.parameters()).load_state_dict(state)
    for patterns in ((), ("1.*",)):
        model.set_requires_grad(True)
        if patterns:
            model.set_requires_grad(False, *patterns)
        optimizer = make(model.parameters())
        with pytest.raises(ValueError, match=r"was saved with frozen \['0.weight', '0.bias'\]"):
            optimizer.load_state_dict(state)


def test_a_run_resumes_bit_by_bit(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 6)).astype(np.float32), rng.integers(0, 3, 40)

    def run(epochs, pattern="0.*", **options):
        model = nn.MLP((6, 6, 6, 3), rng=0)
        model.set_requires_grad(False, pattern)
        optimizer = optim.AdamW(model.parameters(), lr=0.02)
        fit(model, x, y, optimizer=optimizer, epochs=epochs, seed=0, verbose=0, **options)
        return model.state()

    whole, path = run(4, clip_norm=0.5), tmp_path / "run"
    run(2, clip_norm=0.5, callbacks=ModelCheckpoint(path))
    found = run(4, clip_norm=0.5, resume=path)
    first = nn.MLP((6, 6, 6, 3), rng=0).state()
    for name, values in whole.items():
        np.testing.assert_array_equal(found[name], values)
        assert np.array_equal(values, first[name]) == name.startswith("0.")
    with pytest.raises(ValueError, match=r"was saved with frozen \['0.weight', '0.bias'\]"):
        run(4, "1.*", clip_norm=0.5, resume=path)


MEMORY = """
import resource
import numpy as np
from fastnn import nn, optim

model = nn.MLP((4000, 4000, 2000, 10), rng=0, init="constant")
model.set_requires_grad(False, "0.*", "1.*")
optimizer = optim.AdamW(model.parameters())
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
for _ in range(2):
    optimizer.zero_grad()
    y, ctx = model.forward(np.ones((8, 4000), np.float32))
    model.backward(np.ones_like(y), ctx, need_dx=False)
    optimizer.step(max_norm=1.0)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_they_take_no_memory_for_gradients():
    """Weights of 96 MB; gradients and Adam's moments would take 288 MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 30_000
