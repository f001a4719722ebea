"""The feed-forward network, whose backward recomputes its units, and cleared contexts."""

import numpy as np
import pytest

from fastnn import nn
from fastnn.models import TransformerLM
from fastnn.nn.linear import ACTIVATIONS


def layer_by_layer(layer, x, dy):
    """Output, gradient of x and of the parameters with every context kept, and the units too."""
    h, ctx_up = layer.up.forward(x)
    h, ctx_drop = layer.drop.forward(h)
    y, ctx_down = layer.down.forward(h)
    layer.zero_grad()
    dh = layer.drop.backward(layer.down.backward(dy, ctx_down), ctx_drop)
    return y, layer.up.backward(dh, ctx_up), [p.grad.copy() for p in layer.parameters()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("bias", [False, True])
def test_forward_and_backward_are_those_of_its_layers(activation, dropout, bias, rng):
    layer = nn.FeedForward(5, 13, activation, dropout=dropout, bias=bias, dtype=np.float64, rng=1)
    x, dy = rng.normal(size=(2, 2, 7, 5))
    layer.seed(3)
    y, ctx = layer.forward(x)
    layer.zero_grad()
    dx = layer.backward(dy, ctx)
    grads = [p.grad.copy() for p in layer.parameters()]
    layer.seed(3)
    expected_y, expected_dx, expected = layer_by_layer(layer, x, dy)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-12, atol=1e-14)
    for found, wanted in zip(grads, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients(activation, rng):
    layer = nn.FeedForward(3, 5, activation, dtype=np.float64, rng=1)
    nn.gradcheck(layer, rng.normal(size=(2, 3, 3)))


def test_a_context_keeps_no_units_beside_what_the_derivative_needs(rng):
    layer = nn.FeedForward(4, 32, "gelu", rng=0)
    _, ctx = layer.forward(rng.normal(size=(2, 8, 4)).astype(np.float32))
    wide = []

    def visit(x):
        if isinstance(x, np.ndarray) and x.shape[-1] == 32:
            wide.append(x)
        elif isinstance(x, (tuple, list, dict)):
            for inner in x.values() if isinstance(x, dict) else x:
                visit(inner)

    visit(ctx)
    assert len(wide) == 1


def test_a_context_serves_again_unless_it_is_released(rng):
    stack = nn.TransformerEncoder(3, 8, 2, 12, norm_first=True, dtype=np.float64, rng=0)
    x, dy = rng.normal(size=(2, 2, 5, 8))
    _, ctx = stack.forward(x)
    first, again = stack.backward(dy, ctx), stack.backward(dy, ctx)
    last = stack.backward(dy, ctx, release=True)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, last)
    assert ctx[0] == []


def test_a_training_pass_gives_the_gradients_of_forward_and_backward(rng):
    model = TransformerLM(11, 8, 2, 2, 6, dtype=np.float64, rng=0)
    ids, targets = rng.integers(0, 11, (2, 3, 6))
    logits, ctx = model.forward(ids)
    loss, dlogits = nn.cross_entropy(logits.reshape(-1, 11), targets.reshape(-1))
    model.backward(dlogits.reshape(logits.shape), ctx)
    expected = model.parameters().grad.copy()
    model.zero_grad()
    assert model.loss_and_grad(ids, targets)[0] == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(model.parameters().grad, expected, rtol=1e-9, atol=1e-15)
