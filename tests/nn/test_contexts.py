"""A ctx that the layer's own `forward` did not return: the error names the layer and the remedy."""

import re

import numpy as np
import pytest

from fastnn import nn

from .layers import LAYERS
from .test_contract import Own, walk


def ones_like(y):
    return tuple(map(np.ones_like, y)) if isinstance(y, tuple) else np.ones_like(y)


WRONG_CTX = [None, 3, "a context", {}, object(), (), (1,), [None] * 9, (None,) * 9]


@walk
def test_backward_names_a_wrong_ctx(name):
    layer, inputs = LAYERS[name]()
    y, ctx = layer.forward(*inputs)
    kind = type(layer).__name__
    for wrong in WRONG_CTX:
        with pytest.raises(
            (TypeError, ValueError), match=f"^{kind}: ctx must be the second"
        ) as raised:
            layer.backward(ones_like(y), wrong)
        assert type(wrong).__name__.replace("NoneType", "None") in str(raised.value)
        assert not layer.parameters().grad.any()
    layer.backward(ones_like(y), ctx)
    assert layer.parameters().grad.any() or not len(layer.parameters())


@pytest.fixture(scope="module")
def contexts():
    """Name -> context of each layer."""
    made = {name: make() for name, make in LAYERS.items()}
    return {name: layer.forward(*inputs)[1] for name, (layer, inputs) in made.items()}


@walk
def test_backward_names_the_ctx_of_another_layer(name, contexts):
    """A context with the same items as this layer's is accepted: an array is all that ReLU has."""
    layer, inputs = LAYERS[name]()
    dy, named = ones_like(layer.forward(*inputs)[0]), 0
    for other in contexts:
        try:
            layer.backward(dy, contexts[other])
        except (TypeError, ValueError) as error:
            named += 1
            assert re.match(r"\w+: .*\bctx\b", str(error)), f"{other}: {error}"
    assert named >= len(LAYERS) // 2


@walk
def test_backward_names_the_ctx_of_another_batch(name):
    layer, inputs = LAYERS[name]()
    y, _ = layer.forward(*inputs)
    _, ctx = layer.forward(*(x[:1] for x in inputs))
    with pytest.raises(ValueError, match=r"^\w+: dy has shape .* that returned this ctx had \("):
        layer.backward(ones_like(y), ctx)
    assert not layer.parameters().grad.any()


def test_errors_of_backward_that_are_not_about_ctx_stay():
    layer = nn.Linear(2, 3, rng=0)
    y, ctx = layer.forward(np.ones((4, 2), np.float32))
    with pytest.raises(TypeError, match="unexpected keyword argument 'need'"):
        layer.backward(y, ctx, need=True)
    with pytest.raises(TypeError, match="need_dx must be"):
        layer.backward(y, ctx, need_dx="yes")

    class Broken(Own):
        def backward(self, dy, ctx, need_dx=True):
            return dy + np.ones(2)

    model = nn.Sequential(Broken(layer), nn.ReLU())
    y, ctx = model.forward(np.ones((4, 2), np.float32))
    with pytest.raises(ValueError, match="could not be broadcast"):
        model.backward(y, ctx)
