"""Attention layers of queries, keys and values in three axes."""

import numpy as np
import pytest

import fastnn
from fastnn import nn

F64 = {"dtype": np.float64, "rng": 0}
MAKERS = {
    "dot": lambda p=0.0: nn.DotProductAttention(p, rng=0),
    "additive": lambda p=0.0: nn.AdditiveAttention(5, 5, 6, p, **F64),
}


def operands(rng, real=np.float64, d_key=5):
    shapes = (3, 2, 5), (3, 7, d_key), (3, 7, 4)
    return tuple(rng.normal(size=shape).astype(real) for shape in shapes)


def softmax(scores, lengths=None):
    if lengths is not None:
        lengths = np.asarray(lengths)
        lengths = lengths[:, None, None] if lengths.ndim == 1 else lengths[..., None]
        scores = np.where(np.arange(scores.shape[-1]) < lengths, scores, -np.inf)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def scores_of(layer, q, k):
    if isinstance(layer, nn.DotProductAttention):
        return q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
    hidden = (q @ layer.q.weight.data)[:, :, None] + (k @ layer.k.weight.data)[:, None]
    return np.tanh(hidden) @ layer.w.data


@pytest.mark.parametrize("lengths", [None, [7, 3, 1], [[7, 1], [2, 3], [5, 7]]])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_output_and_weights_are_those_of_the_book(make, lengths, rng):
    layer, (q, k, v) = make(), operands(rng)
    expected = softmax(scores_of(layer, q, k), lengths)
    y, weights = layer(q, k, v, lengths=lengths, need_weights=True)
    np.testing.assert_allclose(weights, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(y, expected @ v, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(layer.forward(q, k, v, lengths=lengths)[0], y)


@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_gradients(make, p, rng):
    fastnn.gradcheck(make(p), *operands(rng))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_gradients_with_lengths(make, rng):
    class Masked(nn.Module):
        def __init__(self):
            self.layer = make()
            super().__init__({"layer": self.layer})

        def forward(self, q, k, v):
            return self.layer.forward(q, k, v, lengths=[7, 3, 1])

        def backward(self, dy, ctx, need_dx=True):
            return self.layer.backward(dy, ctx, need_dx)

    fastnn.gradcheck(Masked(), *operands(rng))


def test_additive_attention_takes_queries_and_keys_of_two_sizes(rng):
    layer = nn.AdditiveAttention(5, 3, 6, **F64)
    q, k, v = operands(rng, d_key=3)
    np.testing.assert_allclose(layer(q, k, v), softmax(scores_of(layer, q, k)) @ v, rtol=1e-12)
    fastnn.gradcheck(layer, q, k, v)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_dropout_only_in_training_and_loading(make, rng, tmp_path):
    layer, (q, k, v) = make(0.9), operands(rng)
    assert not np.array_equal(layer.forward(q, k, v)[0], layer.forward(q, k, v)[0])
    fastnn.save(layer, tmp_path / "m.safetensors")
    loaded = fastnn.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded(q, k, v), layer(q, k, v))
    assert loaded.dropout == 0.9


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_errors_name_the_layer_and_what_was_given(make, rng):
    layer, (q, k, v) = make(), operands(rng)
    name = type(layer).__name__
    with pytest.raises(ValueError, match=rf"{name}: queries must be \(batch, length, size\)"):
        layer(q[0], k, v)
    with pytest.raises(ValueError, match=rf"{name}: queries, keys and values must be .*\(3, 6, 4"):
        layer(q, k, v[:, :6])
    with pytest.raises(ValueError, match=rf"{name}: queries, keys and values must be"):
        layer(q, k[:1], v[:1])
    with pytest.raises(TypeError, match=f"{name}: keys must be a NumPy array, got list"):
        layer(q, k.tolist(), v)
    if name == "AdditiveAttention":
        with pytest.raises(TypeError, match="keys is float32, but the layer is float64"):
            layer(q, k.astype(np.float32), v)
        with pytest.raises(ValueError, match=r"queries must be \(B, n, 5\), got \(3, 2, 4\)"):
            layer(q[..., :4], k, v)
    with pytest.raises(ValueError, match="dropout must be from 0 to 1"):
        make(2)


def test_operations_of_scores_and_sums():
    """2 x 3 x 7 scores of sizes 5 or 6 hidden units, and as many multiply-adds of 4 columns."""
    shapes = (2, 3, 5), (2, 7, 5), (2, 7, 4)
    assert MAKERS["dot"]().flops(*shapes) == 2 * 3 * 7 * (2 * 5 + 2 * 4)
    assert MAKERS["additive"]().flops(*shapes) == 2 * 3 * 7 * (4 * 6 + 2 * 4)
    assert MAKERS["dot"]().flops((2, 3, 5)) == 2 * 3 * 3 * (2 * 5 + 2 * 5)
