"""Models, and what they compute layer by layer, for tests of programs."""

import numpy as np

from fastnn import nn


def one_by_one(model, x, dy, need_dx=True):
    """Outputs and gradients of the layers called one after the other."""
    layers = list(flat(model))
    y, contexts = x, []
    for layer in layers:
        y, ctx = layer.forward(y)
        contexts.append(ctx)
    grad = dy
    for i in reversed(range(len(layers))):
        grad = layers[i].backward(grad, contexts[i], need_dx=need_dx or i > 0)
    return y, grad


def flat(model):
    for layer in model:
        if isinstance(layer, nn.Sequential):
            yield from flat(layer)
        else:
            yield layer


def trains_in_one_call(model, x):
    return isinstance(model.forward(x)[1], tuple)


def check(model, x, need_dx=True):
    """Same bits both ways, gradients added to existing ones."""
    grads = model.parameters().grad
    rng = np.random.default_rng(1)
    y, ctx = model.forward(x)
    assert isinstance(ctx, tuple)
    dy = rng.normal(size=y.shape).astype(y.dtype)
    kept = dy.copy(), x.copy()
    found = []
    for run in ("program", "layers"):
        grads[...] = 1.0
        if run == "program":
            dx = model.backward(dy, ctx, need_dx=need_dx)
        else:
            expected, dx = one_by_one(model, x, dy, need_dx)
        found.append((dx, grads.copy()))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(model(x), expected)
    assert (found[0][0] is None) == (found[1][0] is None) == (not need_dx)
    if need_dx:
        np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    np.testing.assert_array_equal(dy, kept[0])
    np.testing.assert_array_equal(x, kept[1])
