"""LayerNorm, RMSNorm and AddNorm as layers."""

import numpy as np
import pytest

from fastnn import nn
from fastnn.kernels import dropout

from .test_gradients import assert_close, check_gradients, numeric_gradient


def normal(shape, seed=0, real=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(real)


def randomize(layer):
    for i, parameter in enumerate(layer.parameters()):
        parameter.data[...] = normal(parameter.data.shape, 100 + i)
    return layer


LAYERS = [
    lambda **kw: nn.LayerNorm(6, **kw),
    lambda **kw: nn.LayerNorm(6, 1e-3, bias=False, **kw),
    lambda **kw: nn.LayerNorm(6, affine=False, **kw),
    lambda **kw: nn.RMSNorm(6, **kw),
    lambda **kw: nn.RMSNorm(6, 1e-3, affine=False, **kw),
]


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 6)], ids=str)
def test_gradients(make, shape):
    check_gradients(randomize(make(dtype=np.float64)), normal(shape))


def test_rows_are_normalized(real):
    layer = nn.LayerNorm(64, dtype=real)
    x = 5 + 3 * normal((20, 64), real=real)
    y = layer(x)
    assert y.dtype == real
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose((nn.RMSNorm(64, dtype=real)(x) ** 2).mean(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(layer.forward(x)[0], y)


@pytest.mark.parametrize("make", LAYERS[:1] + LAYERS[3:4])
def test_without_dx_the_gradients_of_parameters_are_the_same(make):
    layer, x = make(dtype=np.float64), normal((4, 6))
    y, ctx = layer.forward(x)
    layer.backward(y, ctx)
    expected = layer.parameters().grad.copy()
    layer.zero_grad()
    assert layer.backward(y, ctx, need_dx=False) is None
    np.testing.assert_array_equal(layer.parameters().grad, expected)
    assert expected.any()


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("with_sum", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_add_norm_gradients(kind, with_sum, p):
    layer = nn.AddNorm(6, p, kind=kind, with_sum=with_sum, dtype=np.float64, rng=0)
    randomize(layer)
    x, residual, dy, dh = (normal((4, 6), seed) for seed in range(4))
    state = layer.random_state()

    def run():
        layer.load_random_state(state)  # so that every pass drops the same
        return layer.forward(x, residual)

    def contracted():
        out = run()[0]
        return (out[0] * dy).sum() + (out[1] * dh).sum() if with_sum else (out * dy).sum()

    layer.zero_grad()
    _, ctx = run()
    layer.forward(residual, x)  # another pass in between disturbs nothing
    dx, dresidual = layer.backward((dy, dh) if with_sum else dy, ctx)
    assert_close(dx, numeric_gradient(contracted, x))
    assert_close(dresidual, numeric_gradient(contracted, residual))
    for parameter in layer.parameters():
        found = parameter.grad.copy()
        assert_close(found, numeric_gradient(contracted, parameter.data))


def test_add_norm_is_dropout_sum_and_norm(real):
    layer, norm = nn.AddNorm(32, 0.3, dtype=real, rng=0), nn.LayerNorm(32, dtype=real)
    x, residual = normal((7, 32), 1, real), normal((7, 32), 2, real)
    np.testing.assert_array_equal(layer(x, residual), norm(residual + x))
    seed = layer.stream.seed
    for step in range(2):
        y, ctx = layer.forward(x, residual)
        h = residual + dropout(x, 0.3, seed=seed, step=step)
        np.testing.assert_allclose(y, norm(h), rtol=0, atol=1e-5)
        assert layer.stream.calls == step + 1
    both = nn.AddNorm(32, with_sum=True, dtype=real)
    y, h = both(x, residual)
    np.testing.assert_array_equal(h, x + residual)
    np.testing.assert_array_equal(y, layer(x, residual))
    assert layer.backward(y, ctx, need_dx=False) is None


def test_seeds_reach_add_norm():
    class Block(nn.Module):
        def __init__(self):
            self.linear, self.norm = nn.Linear(4, 4, rng=0), nn.AddNorm(4, 0.5)
            super().__init__({"linear": self.linear, "norm": self.norm})

        def forward(self, x):
            y, linear = self.linear.forward(x)
            y, norm = self.norm.forward(y, x)
            return y, (linear, norm)

        def backward(self, dy, ctx, need_dx=True):
            dx, dresidual = self.norm.backward(dy, ctx[1])
            return self.linear.backward(dx, ctx[0]) + dresidual

        def config(self):
            return {"type": "Block"}

    model = nn.Sequential(Block(), nn.Dropout(0.5), Block())
    model.seed(3)
    assert list(model.random_state()) == ["0.norm", "1", "2.norm"]
    x = normal((3, 4), real=np.float32)
    first = model.forward(x)[0]
    assert not np.array_equal(model.forward(x)[0], first)
    model.seed(3)
    np.testing.assert_array_equal(model.forward(x)[0], first)


@pytest.mark.parametrize(
    "make",
    [
        *LAYERS,
        lambda **kw: nn.AddNorm(6, 0.25, kind="rms", with_sum=True, **kw),
        lambda **kw: nn.AddNorm(6, **kw),
    ],
)
def test_config(make, real):
    layer = make(dtype=real)
    again = nn.build(layer.config())
    assert type(again) is type(layer) and again.config() == layer.config()
    again.load_state(layer.state())
    shapes = {name: (p.data.shape, p.data.dtype.name) for name, p in layer.parameters().named()}
    assert nn.parameter_shapes(layer.config()) == shapes


def test_inputs_that_do_not_fit():
    norm, add = nn.LayerNorm(4), nn.AddNorm(4)
    good = np.ones((2, 4), np.float32)
    for call in (norm, norm.forward, nn.RMSNorm(4), lambda x: add(x, good)):
        with pytest.raises(ValueError, match=r"x must be \(..., 4\), got \(2, 3\)"):
            call(np.ones((2, 3), np.float32))
        with pytest.raises(TypeError, match="x is float64, but the layer is float32"):
            call(np.ones((2, 4)))
        with pytest.raises(TypeError, match="x must be a NumPy array, got list"):
            call([[1.0] * 4])
    with pytest.raises(ValueError, match=r"residual must have the shape of x, \(2, 4\), got"):
        add(good, np.ones((3, 4), np.float32))
    _, ctx = add.forward(good, good)
    with pytest.raises(ValueError, match=r"\(4, 2\).*\(2, 4\)"):
        add.backward(good.T.copy(), ctx)
    with pytest.raises(TypeError):
        add.backward(good.astype(np.float64), ctx)
    assert not add.parameters().grad.any()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.LayerNorm(0), ValueError, "dim must be at least 1, got 0"),
        (lambda: nn.LayerNorm(4, 0), ValueError, "eps must be above 0 and finite, got 0"),
        (lambda: nn.RMSNorm(4, "1"), TypeError, "eps must be a number"),
        (lambda: nn.RMSNorm(4, dtype=np.float16), TypeError, "float16"),
        (lambda: nn.AddNorm(4, 2), ValueError, "dropout must be from 0 to 1"),
        (lambda: nn.AddNorm(4, kind="batch"), ValueError, "kind must be 'layer' or 'rms'"),
    ],
)
def test_what_cannot_be_made(make, error, message):
    with pytest.raises(error, match=message):
        make()
