"""The Embedding layer."""

import numpy as np
import pytest

from fastnn import nn

from .test_gradients import assert_close, numeric_gradient


@pytest.mark.parametrize("scale", [None, 3.0])
@pytest.mark.parametrize("padding_idx", [None, 2])
def test_gradient(scale, padding_idx):
    layer = nn.Embedding(5, 4, scale=scale, padding_idx=padding_idx, dtype=np.float64, rng=0)
    ids = np.array([[0, 2, 4], [4, 4, 1]])
    dy = np.random.default_rng(1).normal(size=(2, 3, 4))
    y, ctx = layer.forward(ids)
    np.testing.assert_array_equal(y, (scale or 1) * layer.weight.data[ids])
    layer.weight.grad[...] = 1
    assert layer.backward(dy, ctx) is None
    want = numeric_gradient(lambda: float((layer(ids) * dy).sum()), layer.weight.data)
    if padding_idx is not None:
        assert want[padding_idx].any()
        want[padding_idx] = 0
    assert_close(layer.weight.grad - 1, want)


def test_a_model_that_begins_with_one():
    model = nn.Sequential(nn.Embedding(7, 6, rng=0), nn.LayerNorm(6), nn.Linear(6, 2, rng=1))
    ids = np.array([[1, 2], [6, 0]])
    y, ctx = model.forward(ids)
    assert y.shape == (2, 2, 2)
    assert model.backward(np.ones_like(y), ctx) is None
    assert model[0].weight.grad[[0, 1, 2, 6]].any(axis=1).all()
    assert not model[0].weight.grad[3:6].any()


def test_first_weights():
    layer = nn.Embedding(400, 50, rng=0)
    assert abs(layer.weight.data.mean()) < 0.03 and abs(layer.weight.data.std() - 1) < 0.02
    small = nn.Embedding(400, 50, std=0.02, rng=0)
    np.testing.assert_allclose(small.weight.data, 0.02 * layer.weight.data, rtol=1e-5)
    double = nn.Embedding(400, 50, dtype=np.float64, rng=0)
    np.testing.assert_array_equal(double.weight.data.astype(np.float32), layer.weight.data)
    padded = nn.Embedding(400, 50, padding_idx=3, rng=0)
    assert not padded.weight.data[3].any() and padded.weight.data[2].any()


@pytest.mark.parametrize("how", [{}, {"scale": 2.5, "padding_idx": 1, "dtype": np.float64}])
def test_config(how):
    layer = nn.Embedding(5, 4, rng=0, **how)
    again = nn.build(layer.config())
    assert again.config() == layer.config()
    again.load_state(layer.state())
    ids = np.arange(5)
    np.testing.assert_array_equal(again(ids), layer(ids))
    assert nn.parameter_shapes(layer.config()) == {"weight": ((5, 4), layer.weight.data.dtype.name)}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Embedding(0, 4), ValueError, "num must be at least 1"),
        (lambda: nn.Embedding(4, 1.5), TypeError, "dim must be an integer"),
        (lambda: nn.Embedding(4, 2, padding_idx=4), ValueError, "padding_idx must be from 0 to 3"),
        (lambda: nn.Embedding(4, 2, padding_idx="0"), TypeError, "padding_idx must be an integer"),
        (lambda: nn.Embedding(4, 2, scale=np.inf), ValueError, "scale must be finite"),
        (lambda: nn.Embedding(4, 2, scale="1"), TypeError, "scale must be a number"),
        (lambda: nn.Embedding(4, 2, std=-1), ValueError, "std must be at least 0"),
        (lambda: nn.Embedding(4, 2, dtype=int), TypeError, "int64"),
    ],
)
def test_what_cannot_be_made(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_inputs_that_do_not_fit():
    layer = nn.Embedding(4, 2, rng=0)
    with pytest.raises(IndexError, match=r"ids\[1\] is 4"):
        layer.forward(np.array([0, 4]))
    with pytest.raises(TypeError, match="array of integers, got list"):
        layer([0, 1])
    _, ctx = layer.forward(np.array([0, 1]))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 2\)"):
        layer.backward(np.ones((2, 3), np.float32), ctx)
