"""`model.summary`: counted by hand."""

import numpy as np
import pytest

from fastnn import nn
from fastnn.nn import Module, Parameter


def test_an_mlp():
    model = nn.MLP((784, 256, 10), rng=0)
    summary = model.summary((32, 784))
    assert summary.input_shape == (32, 784)
    assert summary.parameters == 784 * 256 + 256 + 256 * 10 + 10 == model.parameters().size
    first, second = summary.layers
    assert (first.name, first.kind, first.output_shape) == ("0", "Linear", (32, 256))
    assert (second.name, second.kind, second.output_shape) == ("1", "Linear", (32, 10))
    assert first.parameters == 784 * 256 + 256 and second.parameters == 2570
    assert first.flops == 32 * (2 * 784 * 256 + 256 + 256)  # products, bias, ReLU
    assert second.flops == 32 * (2 * 256 * 10 + 10)
    assert summary.flops == first.flops + second.flops
    # the first layer's output serves its ReLU and the second layer; the input is the caller's
    assert first.activation_bytes == 4 * 32 * 256 and second.activation_bytes == 0
    # both run in one call, which also keeps their output
    assert summary.activation_bytes == first.activation_bytes + 4 * 32 * 10


def test_every_layer_counts_what_it_adds(real):
    model = nn.Sequential(
        nn.Linear(8, 16, activation="gelu", dtype=real),
        nn.Residual(nn.Sequential(nn.Linear(16, 16, bias=False, dtype=real), nn.Tanh())),
        nn.Softmax(),
    )
    summary = model.summary((2, 3, 8))
    one = 2 * 3 * 16
    found = [(s.name, s.kind, s.parameters, s.flops, s.activation_bytes) for s in summary.layers]
    size = np.dtype(real).itemsize
    assert found == [
        ("0", "Linear", 8 * 16 + 16, one * (16 + 1 + 1), one * size),  # the argument of GELU
        ("1.layer.0", "Linear", 16 * 16, one * 32, one * size),  # its input
        ("1.layer.1", "Tanh", 0, one, one * size),
        ("1", "Residual", 0, one, 0),
        ("2", "Softmax", 0, 5 * one, one * size),
    ]
    assert all(layer.output_shape == (2, 3, 16) for layer in summary.layers)
    assert summary.activation_bytes == 4 * one * size


def test_a_layer_used_twice():
    shared = nn.Linear(4, 4, rng=0)
    summary = nn.Sequential(shared, nn.ReLU(), shared).summary((5, 4))
    assert [layer.name for layer in summary.layers] == ["0", "1", "0"]
    assert [layer.parameters for layer in summary.layers] == [20, 0, 0]
    assert summary.parameters == 20


class Pair(Module):
    """Adds a parameter to the output of a part; says nothing about its work."""

    def __init__(self):
        self.inner, self.shift = nn.Linear(3, 3, rng=0), Parameter(np.zeros(3, np.float32))
        super().__init__({"inner": self.inner, "shift": self.shift})

    def forward(self, x):
        y, ctx = self.inner.forward(x)
        return y + self.shift.data, {"inner": [ctx], "mask": (x > 0,)}

    def backward(self, dy, ctx, need_dx=True):
        raise NotImplementedError

    def config(self):
        return {"type": "Pair"}


class Opaque(nn.ReLU):
    def flops(self, input_shape):
        return None


def test_layers_of_ones_own():
    summary = nn.Sequential(Pair(), Opaque()).summary((7, 3))
    found = [(s.name, s.kind, s.parameters, s.flops, s.activation_bytes) for s in summary.layers]
    assert found == [
        ("0.inner", "Linear", 12, 7 * 3 * 7, 0),
        ("0", "Pair", 3, 0, 21),  # the mask
        ("1", "Opaque", 0, None, 84),
    ]
    assert summary.parameters == 15
    assert "?" in str(summary) and ">= 147" in str(summary)


def test_the_table():
    lines = str(nn.MLP((784, 256, 10), rng=0).summary((256, 784))).splitlines()
    assert lines[0] == "input (256, 784)"
    assert lines[1].split() == ["layer", "output", "parameters", "FLOPs", "kept", "bytes"]
    assert lines[3].split() == ["0", "Linear", "(256,", "256)", "200,960", "102,891,520", "262,144"]
    assert lines[-1].split() == ["total", "203,530", "104,204,800", "272,384"]
    assert len({len(line) for line in lines[2:]}) == 1


def test_the_model_is_left_as_it_was():
    model = nn.MLP((4, 3, 2), rng=0)
    model.parameters().grad[...] = 1
    data = model.parameters().data.copy()
    optimized = model.parameters()
    model.summary((5, 4))
    assert "forward" not in vars(model) and "forward" not in vars(model[0])
    assert model.parameters() is optimized
    np.testing.assert_array_equal(model.parameters().data, data)
    assert (model.parameters().grad == 1).all()


def test_modules_are_named_once():
    shared = nn.Tanh()
    model = nn.Sequential(shared, nn.Residual(nn.Sequential(nn.ReLU(), shared)))
    names = [name for name, _ in model.modules()]
    assert names == ["", "0", "1", "1.layer", "1.layer.0"]
    assert list(model.parts()) == ["0", "1"] and shared.parts() == {}


def test_inputs_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(5, 3\)"):
        nn.MLP((4, 2), rng=0).summary((5, 3))
    with pytest.raises(TypeError, match="int64"):
        nn.MLP((4, 2), rng=0).summary((5, 4), dtype=np.int64)


@pytest.mark.parametrize("activation", ["relu", "gelu", None])
def test_a_block_of_a_transformer(activation):
    d, n_heads, (B, T) = 16, 2, (3, 5)
    block = nn.EncoderBlock(d, n_heads, 4 * d, activation=activation, bias=False, rng=0)
    summary = block.summary((B, T, d))
    found = {layer.name: layer for layer in summary.layers}
    assert list(found) == [
        "attention.qkv",
        "attention.out",
        "attention",
        "norm1",
        "feed_forward.up",
        "feed_forward.down",
        "norm2",
    ]
    products = [found[name].flops for name in found if "norm" not in name]
    of_units = 0 if activation is None else 4 * d  # one for each
    # qkv 6 d^2, out 2 d^2, up and down 8 d^2 each; scores and sums of values 2 T d each
    assert sum(products) == B * T * (24 * d * d + 4 * T * d + of_units)
    down = found["feed_forward.down"]
    assert (down.output_shape, down.parameters) == ((B, T, d), 4 * d * d)
    assert summary.parameters == sum(layer.parameters for layer in summary.layers)
    # `down` keeps nothing that backward recomputes or derives from what `up` keeps
    units = 4 * B * T * 4 * d
    assert found["feed_forward.up"].activation_bytes == units // 4 + (units if activation else 0)
    assert down.activation_bytes == (0 if activation else units)
    assert summary.activation_bytes == sum(layer.activation_bytes for layer in summary.layers)
