"""Training with products in bfloat16 against the equations in float64, with rounded operands."""

import threading
from functools import partial

import numpy as np
import pytest

from fastnn import kernels, models, nn
from fastnn.nn.precision import is_bf16

from ..kernels.test_low import to_bf16

f32 = np.float32


def r(x):
    return to_bf16(np.ascontiguousarray(x, f32)).astype(float)


def slopes(name, z):
    """The derivative of an activation at z, by central differences in float64."""
    function = {
        None: lambda z: z,
        "relu": lambda z: np.maximum(z, 0),
        "tanh": np.tanh,
        "gelu_tanh": lambda z: z / (1 + np.exp(-1.5957691216057308 * (z + 0.044715 * z**3))),
    }[name]
    return function, (function(z + 1e-6) - function(z - 1e-6)) / 2e-6


def close(found, expected, bound):
    """Within rounding of float32 sums, and of an operand that falls on the other side of a tie."""
    assert (np.abs(found - expected) <= bound).all(), np.abs(found - expected).max()


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 64, 300])
@pytest.mark.parametrize("activation", [None, "relu", "tanh", "gelu_tanh"])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(rows, activation, bias):
    draw = np.random.default_rng(rows)
    layer = nn.Linear(37, 50, bias, activation, rng=0)
    w, b = layer.weight.data, np.zeros(50, f32)
    if bias:
        layer.bias.data[...] = b = draw.standard_normal(50, dtype=f32)
    x, dy = (draw.standard_normal((rows, n), dtype=f32) for n in (37, 50))
    dy_before = dy.copy()
    layer.zero_grad()
    with nn.precision("bf16"):
        y, ctx = layer.forward(x)
        dx = layer.backward(dy, ctx)
        again = layer.backward(dy, ctx, need_dx=False)
    np.testing.assert_array_equal(dy, dy_before)
    assert again is None
    z = r(x) @ r(w) + b
    function, slope = slopes(activation, z)
    close(y, function(z), 2e-5)
    dz = dy * slope if activation != "relu" else dy * (y > 0)
    # bfloat16 has 8 bits: a gradient next to a tie may be rounded either way
    near = 2.0**-8 * np.abs(dz) if activation in ("tanh", "gelu_tanh") else 0 * np.abs(dz)
    near = near * (np.abs(r(dz * (1 + 1e-4)) - r(dz * (1 - 1e-4))) > 0) + 1e-6
    close(dx, r(dz) @ r(w).T, near @ np.abs(r(w)).T + 2e-5)
    close(layer.weight.grad, 2 * (r(x).T @ r(dz)), 2 * np.abs(r(x)).T @ near + 1e-6 * rows + 5e-5)
    if bias:
        close(layer.bias.grad, 2 * dz.sum(axis=0), 1e-5 * rows + 1e-5)


def test_gradients_add_up_and_first_ones_are_stored():
    layer = nn.Linear(200, 300, rng=0)  # large enough to be stored
    x, dy = np.ones((6, 200), f32), np.ones((6, 300), f32)
    with nn.precision("bf16"):
        for times in (1, 2):
            layer.zero_grad()
            for _ in range(times):
                layer.backward(dy, layer.forward(x)[1])
            assert (layer.weight.grad == 6 * times).all()


@pytest.mark.parametrize("shared", [True, False])
def test_token_models(shared):
    """loss_and_grad and forward and backward have the same gradients, near those of float32."""
    model = models.TransformerLM(50, 32, 4, 2, 16, tie_weights=shared, rng=0)
    draw = np.random.default_rng(0)
    ids, targets = draw.integers(0, 50, (2, 3, 16))
    found = []
    for products in ("float32", "bf16"):
        model.zero_grad()
        with nn.precision(products):
            loss, _ = model.loss_and_grad(ids, targets)
        found.append((loss, model.parameters().grad.copy()))
        model.zero_grad()
        with nn.precision(products):
            logits, ctx = model.forward(ids)
            again, dlogits = nn.cross_entropy(logits, targets)
            model.backward(dlogits, ctx)
        assert again == pytest.approx(loss, rel=1e-5)
        difference = model.parameters().grad - found[-1][1]
        assert np.linalg.norm(difference) <= (2e-5 if products == "float32" else 2e-2)
    (exact, g), (loss, h) = found
    assert 0 < abs(loss - exact) < 0.01
    assert 0 < np.linalg.norm(h - g) <= 0.03 * np.linalg.norm(g)


def model_of(kind):
    if kind == "encoder":
        return nn.TransformerEncoder(2, 16, 4, 32, activation="gelu", rng=0), (2, 5, 16)
    if kind == "gated":
        return nn.FeedForward(16, 24, "silu", gated=True, rng=0), (2, 5, 16)
    return nn.MLP((16, 40, 40, 10), "tanh", rng=0), (30, 16)  # smooth: no sign can flip


@pytest.mark.parametrize("kind", ["encoder", "gated", "mlp"])
def test_models_train_in_it_and_infer_without(kind, n_threads):
    model, shape = model_of(kind)
    x = np.random.default_rng(1).standard_normal(shape, dtype=f32)
    plain, (y, ctx) = model(x), model.forward(x)
    model.zero_grad()
    dy = np.random.default_rng(2).standard_normal(y.shape, dtype=f32)
    dx = model.backward(dy, ctx)
    exact = model.parameters().grad.copy()
    with nn.precision("bf16"):
        np.testing.assert_array_equal(model(x), plain)
        low, ctx = model.forward(x)
        model.zero_grad()
        low_dx = model.backward(dy, ctx)
    grad = model.parameters().grad
    for a, b in ((low, y), (low_dx, dx), (grad, exact)):
        assert 0 < np.linalg.norm(a - b) <= 0.02 * np.linalg.norm(b)
    np.testing.assert_array_equal(model.forward(x)[0], y)


@pytest.mark.parametrize("kind", ["encoder", "mlp"])
def test_same_bits_at_any_number_of_threads(kind):
    import fastnn

    model, shape = model_of(kind)
    x = np.random.default_rng(1).standard_normal((40, *shape[1:]), dtype=f32)
    found = set()
    for threads in (1, 2, 3, 8):
        model.zero_grad()
        with fastnn.num_threads(threads), nn.precision("bf16"):
            y, ctx = model.forward(x)
            dx = model.backward(np.ones_like(y), ctx)
        found.add(y.tobytes() + dx.tobytes() + model.parameters().grad.tobytes())
    assert len(found) == 1


def test_blocks_nest_end_and_are_those_of_a_thread():
    found = []

    def other():
        found.append(is_bf16())

    assert not is_bf16()
    with nn.precision("bf16"):
        with nn.precision("float32"):
            assert not is_bf16()
        assert is_bf16()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert not is_bf16() and found == [False]
    with pytest.raises(ValueError, match="products must be None, 'float32' or 'bf16'"):
        with nn.precision("fp16"):
            pass
    with pytest.raises(ZeroDivisionError), nn.precision("bf16"):
        raise ZeroDivisionError
    assert not is_bf16()


def test_float64_is_left_alone():
    layer = nn.Linear(3, 2, rng=0, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((4, 3))
    y = layer.forward(x)[0]
    with nn.precision("bf16"):
        np.testing.assert_array_equal(layer.forward(x)[0], y)


def test_the_activations_input_is_kept_in_float32():
    """What backward reads of the activation is not rounded."""
    layer = nn.Linear(8, 8, activation="gelu", rng=0)
    x = np.random.default_rng(0).standard_normal((6, 8), dtype=f32)
    with nn.precision("bf16"):
        _, (_, rows, saved) = layer.forward(x)
    assert rows is x or np.shares_memory(rows, x)
    expected = kernels.matmul(r(x).astype(f32), r(layer.weight.data).astype(f32))
    np.testing.assert_allclose(saved["preact"], expected, atol=1e-5)


def test_recomputed_inputs():
    layer = nn.Linear(8, 4, rng=0)
    x = np.random.default_rng(0).standard_normal((6, 8), dtype=f32)
    grads = []
    for how in ({}, {"recompute": partial(np.copy, x)}):
        layer.zero_grad()
        with nn.precision("bf16"):
            y, ctx = layer.forward(x, **how)
            layer.backward(np.ones_like(y), ctx)
        grads.append(layer.weight.grad.copy())
    np.testing.assert_array_equal(*grads)


def test_frozen_weights_and_branches():
    """What is not trained costs no product, and a branch's layer has the bits of the layer."""
    draw = np.random.default_rng(0)
    x, dy = (draw.standard_normal((9, n), dtype=f32) for n in (20, 30))
    layer = nn.Linear(20, 30, activation="tanh", rng=0)
    with nn.precision("bf16"):
        y, ctx = layer.forward(x)
        layer.zero_grad()
        dx = layer.backward(dy, ctx)
        db = layer.bias.grad.copy()
        layer.zero_grad()
        layer.weight.requires_grad = False
        np.testing.assert_array_equal(layer.backward(dy, ctx), dx)
        np.testing.assert_array_equal(layer.bias.grad, db)
        lora = nn.LoRA(nn.Sequential(layer), rank=2, targets="*", rng=0)
        np.testing.assert_array_equal(lora.forward(x)[0], y)
