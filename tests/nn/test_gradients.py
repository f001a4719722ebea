"""Every hand-written backward pass against central differences in float64, and against PyTorch."""

from functools import partial

import numpy as np
import pytest

from fastnn import nn
from fastnn.nn.linear import ACTIVATIONS

STEP = 1e-5  # error of a central difference: about STEP**2 of truncation, 1e-16 / STEP of rounding
TOLERANCE = 1e-6


def numeric_gradient(function, array):
    """d function() / d array, one element at a time; `array` is changed and restored."""
    gradient = np.empty_like(array)
    for i in np.ndindex(array.shape):
        value = array[i]
        array[i] = value + STEP
        above = function()
        array[i] = value - STEP
        below = function()
        array[i] = value
        gradient[i] = (above - below) / (2 * STEP)
    return gradient


def assert_close(found, expected):
    error = np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-3)
    assert error < TOLERANCE, f"relative error {error:.1e}"


def check_gradients(layer, x, seed=0):
    """Contract the output with a random dy and compare every gradient of that number."""
    y, ctx = layer.forward(x)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    kept = dy.copy()
    for parameter in layer.parameters():
        parameter.grad[...] = 1.0  # backward adds to the existing gradients
    dx = layer.backward(dy, ctx)
    np.testing.assert_array_equal(dy, kept)

    def contracted():
        return float(np.sum(layer(x) * dy))

    assert dx.shape == x.shape
    assert_close(dx, numeric_gradient(contracted, x))
    for parameter in layer.parameters():
        assert_close(parameter.grad - 1.0, numeric_gradient(contracted, parameter.data))


def away_from_zero(rng, shape):
    """Normal numbers at least 0.1 away from ReLU's kink."""
    x = rng.normal(size=shape)
    return x + np.copysign(0.1, x)


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5), (1, 5)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_linear(shape, bias, activation):
    layer = nn.Linear(5, 4, bias, activation, dtype=np.float64, rng=3)
    if bias:
        layer.bias.data[...] = [0.3, -0.2, 0.1, 0.4]
    x = np.random.default_rng(1).normal(size=shape)
    z = x @ layer.weight.data + (layer.bias.data if bias else 0.0)
    assert np.abs(z).min() > 100 * STEP  # no kink within a difference
    check_gradients(layer, x)


def test_linear_with_strided_input_and_gradient():
    layer = nn.Linear(4, 3, dtype=np.float64, rng=0)
    rng = np.random.default_rng(2)
    x, dy = rng.normal(size=(4, 6)).T, rng.normal(size=(3, 12)).T[::2]
    _, ctx = layer.forward(x)
    dx = layer.backward(dy, ctx)
    np.testing.assert_allclose(dx, dy @ layer.weight.data.T, rtol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, x.T @ dy, rtol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, dy.sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize(
    "layer",
    [
        nn.ReLU(),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.SiLU(),
        nn.GELU(),
        nn.GELU("tanh"),
        nn.Softplus(),
        nn.LeakyReLU(),
        nn.LeakyReLU(0.0),
        nn.LeakyReLU(-0.3),
        nn.LeakyReLU(2.0),
        nn.PReLU(dtype=np.float64),
        nn.PReLU(init=-0.5, dtype=np.float64),
    ],
    ids=repr,
)
def test_activation_layers(layer, shape):
    check_gradients(layer, away_from_zero(np.random.default_rng(4), shape))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_prelu_with_a_slope_for_each_column(shape):
    layer = nn.PReLU(4, dtype=np.float64)
    layer.weight.data[...] = [0.25, -0.5, 0.0, 2.0]
    check_gradients(layer, away_from_zero(np.random.default_rng(4), shape))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_residual(shape):
    inner = nn.Sequential(nn.Linear(4, 6, activation="tanh", dtype=np.float64, rng=0), nn.SiLU())
    layer = nn.Residual(nn.Sequential(inner, nn.Linear(6, 4, dtype=np.float64, rng=1)))
    check_gradients(layer, np.random.default_rng(4).normal(size=shape))


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("layer", [nn.Softmax(), nn.LogSoftmax()], ids=repr)
def test_softmax(layer, shape):
    check_gradients(layer, np.random.default_rng(5).normal(size=shape))


def test_models():
    for activation in ACTIVATIONS:
        mlp = nn.MLP((5, 8, 6, 3), activation, dtype=np.float64, rng=0)
        check_gradients(mlp, np.random.default_rng(6).normal(size=(4, 5)))
    linear = nn.Linear(5, 4, dtype=np.float64, rng=1)
    model = nn.Sequential(linear, nn.ReLU(), nn.Linear(4, 3, dtype=np.float64, rng=2), nn.Softmax())
    check_gradients(model, np.random.default_rng(7).normal(size=(4, 5)))


def test_a_layer_used_twice_adds_up_both_gradients():
    shared = nn.Linear(4, 4, activation="relu", dtype=np.float64, rng=8)
    model = nn.Sequential(shared, nn.Linear(4, 4, dtype=np.float64, rng=9), shared)
    assert len(model.parameters()) == 4
    check_gradients(model, np.random.default_rng(10).normal(size=(6, 4)))


def test_calls_of_one_layer_do_not_disturb_each_other():
    layer = nn.MLP((3, 5, 2), dtype=np.float64, rng=0)
    rng = np.random.default_rng(11)
    x1, x2, dy = rng.normal(size=(4, 3)), rng.normal(size=(6, 3)), rng.normal(size=(4, 2))
    _, ctx1 = layer.forward(x1)
    expected = layer.backward(dy, ctx1)
    _, ctx1 = layer.forward(x1)
    layer.forward(x2)
    layer(x2)
    np.testing.assert_array_equal(layer.backward(dy, ctx1), expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(4, 4, activation="relu", rng=0),
        lambda: nn.Linear(4, 4, activation="gelu", rng=0),
        nn.ReLU,
        nn.GELU,
        nn.Softmax,
        nn.LeakyReLU,
        nn.PReLU,
        lambda: nn.MLP((4, 5, 4), rng=0),
    ],
)
def test_without_dx_the_gradients_of_parameters_are_the_same(make):
    layer = make()
    x = np.random.default_rng(12).normal(size=(6, 4)).astype(np.float32)
    y, ctx = layer.forward(x)
    layer.backward(y, ctx)
    expected = layer.parameters().grad.copy()
    layer.zero_grad()
    assert layer.backward(y, ctx, need_dx=False) is None
    np.testing.assert_array_equal(layer.parameters().grad, expected)


def test_cross_entropy():
    rng = np.random.default_rng(13)
    logits, targets = 3 * rng.normal(size=(6, 5)), rng.integers(0, 5, 6)
    _, dlogits = nn.cross_entropy(logits, targets)
    assert_close(dlogits, numeric_gradient(lambda: nn.cross_entropy(logits, targets)[0], logits))


@pytest.mark.parametrize("shape", [(7,), (4, 3)])
def test_mse_loss(shape):
    rng = np.random.default_rng(14)
    pred, target = rng.normal(size=shape), rng.normal(size=shape)
    loss, dpred = nn.mse_loss(pred, target)
    assert loss == pytest.approx(np.mean((pred - target) ** 2), rel=1e-12)
    assert_close(dpred, numeric_gradient(lambda: nn.mse_loss(pred, target)[0], pred))


@pytest.mark.parametrize(
    "name, options",
    [
        ("l1_loss", {}),
        ("huber_loss", {"delta": 0.7}),
        ("bce_with_logits", {"pos_weight": 2.0}),
        ("mse_loss", {"sample_weight": np.arange(4.0)}),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_and_their_options(name, options, reduction):
    rng = np.random.default_rng(17)
    pred, target = rng.normal(size=(4, 3)), rng.random((4, 3))
    loss = partial(getattr(nn, name), reduction=reduction, **options)
    _, dpred = loss(pred, target)
    assert_close(dpred, numeric_gradient(lambda: np.sum(loss(pred, target)[0]), pred))


def test_cross_entropy_options():
    rng = np.random.default_rng(18)
    logits, targets = 3 * rng.normal(size=(6, 5)), np.array([0, 3, -1, 4, 2, 1])
    loss = partial(
        nn.cross_entropy,
        ignore_index=-1,
        weight=rng.random(5),
        sample_weight=rng.random(6),
        label_smoothing=0.1,
    )
    _, dlogits = loss(logits, targets)
    assert (dlogits[2] == 0).all()
    assert_close(dlogits, numeric_gradient(lambda: loss(logits, targets)[0], logits))


def test_activations_against_pytorch(real):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    f = torch.nn.functional
    theirs = {
        "relu": torch.relu,
        "gelu": f.gelu,
        "gelu_tanh": lambda x: f.gelu(x, approximate="tanh"),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "silu": f.silu,
        "softplus": f.softplus,
    }
    x = np.random.default_rng(16).normal(0, 3, (20, 5)).astype(real)
    tolerance = 1e-6 if real == np.float32 else 1e-13
    for activation, function in theirs.items():
        layer = nn.Linear(5, 4, activation=activation, dtype=real, rng=0)
        y, ctx = layer.forward(x)
        dx = layer.backward(np.ones_like(y), ctx)
        torch_x = torch.tensor(x, requires_grad=True)
        torch_y = function(torch_x @ torch.tensor(layer.weight.data))
        torch_y.sum().backward()
        np.testing.assert_allclose(y, torch_y.detach().numpy(), rtol=0, atol=10 * tolerance)
        np.testing.assert_allclose(dx, torch_x.grad.numpy(), rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse_loss"])
def test_a_model_and_its_loss_against_pytorch(loss, real):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    rng = np.random.default_rng(15)
    model = nn.MLP((7, 11, 5), dtype=real, rng=0)
    x = rng.normal(size=(9, 7)).astype(real)
    if loss == "cross_entropy":
        targets, torch_loss = rng.integers(0, 5, 9), torch.nn.functional.cross_entropy
    else:
        targets, torch_loss = rng.normal(size=(9, 5)).astype(real), torch.nn.functional.mse_loss
    out, ctx = model.forward(x)
    value, dout = getattr(nn, loss)(out, targets)
    dx = model.backward(dout, ctx)

    leaves = {
        name: torch.tensor(p.data, requires_grad=True) for name, p in model.parameters().named()
    }
    torch_x = torch.tensor(x, requires_grad=True)
    hidden = torch.relu(torch_x @ leaves["0.weight"] + leaves["0.bias"])
    torch_out = hidden @ leaves["1.weight"] + leaves["1.bias"]
    torch_value = torch_loss(torch_out, torch.tensor(targets))
    torch_value.backward()
    tolerance = (
        {"rtol": 1e-4, "atol": 1e-6} if real == np.float32 else {"rtol": 1e-10, "atol": 1e-14}
    )
    np.testing.assert_allclose(value, torch_value.item(), **tolerance)
    np.testing.assert_allclose(dx, torch_x.grad.numpy(), **tolerance)
    for name, parameter in model.parameters().named():
        np.testing.assert_allclose(parameter.grad, leaves[name].grad.numpy(), **tolerance)
