"""Optimizers against plain float64 NumPy and against PyTorch; clipping; states; bad arguments."""

import numpy as np
import pytest

from fastnn import nn, optim

N_STEPS = 12


def sgd(p, gradients, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    m = 0.0
    for g in gradients:
        g = g + weight_decay * p
        m = momentum * m + g
        p = p - lr * (g + momentum * m if nesterov else m)
    return p


def adam(p, gradients, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        p = p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return p


def adamw(p, gradients, *, weight_decay=1e-2, **options):
    return adam(p, gradients, weight_decay=weight_decay, decoupled=True, **options)


CASES = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.2}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adam, adam, {"lr": 0.01}),
    (optim.Adam, adam, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.AdamW, adamw, {"lr": 0.01}),
    (optim.AdamW, adamw, {"lr": 0.02, "betas": (0.7, 0.9), "eps": 1e-4, "weight_decay": 0.5}),
]
NAMES = [f"{make.__name__}-{i}" for i, (make, _, _) in enumerate(CASES)]


def run(make, options, dtype, **step_options):
    """The weights of a layer before and after N_STEPS random gradients, and those gradients."""
    layer = nn.Linear(7, 5, bias=False, dtype=dtype, rng=0)
    start = layer.weight.data.copy()
    rng = np.random.default_rng(1)
    gradients = [rng.normal(size=start.shape).astype(dtype) for _ in range(N_STEPS)]
    optimizer = make(layer.parameters(), **options)
    for g in gradients:
        layer.weight.grad[...] = g
        optimizer.step(**step_options)
        np.testing.assert_array_equal(layer.weight.grad, g)
    return start, gradients, layer.weight.data


@pytest.mark.parametrize(("make", "reference", "options"), CASES, ids=NAMES)
def test_against_numpy(make, reference, options, real):
    start, gradients, found = run(make, options, real)
    expected = reference(start.astype(float), [g.astype(float) for g in gradients], **options)
    rtol, atol = (1e-5, 1e-6) if real == np.float32 else (1e-12, 1e-13)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("make", "reference", "options"), CASES, ids=NAMES)
def test_against_pytorch(make, reference, options, real):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    start, gradients, found = run(make, options, real)
    weight = torch.tensor(start, requires_grad=True)
    optimizer = getattr(torch.optim, make.__name__)([weight], **options)
    for g in gradients:
        weight.grad = torch.tensor(g)
        optimizer.step()
    rtol, atol = (1e-5, 1e-6) if real == np.float32 else (1e-12, 1e-13)
    np.testing.assert_allclose(found, weight.detach().numpy(), rtol=rtol, atol=atol)


@pytest.mark.parametrize(("make", "reference", "options"), CASES, ids=NAMES)
def test_scaled_gradients_and_another_lr_for_a_step(make, reference, options):
    start, gradients, found = run(make, options, np.float64, lr=0.03, grad_scale=0.25)
    expected = reference(start, [0.25 * g for g in gradients], **(options | {"lr": 0.03}))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("make", "reference", "options"), CASES, ids=NAMES)
def test_a_run_continues_from_its_state(make, reference, options, real):
    layer = nn.Linear(6, 4, dtype=real, rng=0)
    optimizer = make(layer.parameters(), **options)
    layer.parameters().grad[...] = 0.5
    for _ in range(3):
        optimizer.step()
    twin = nn.Linear(6, 4, dtype=real, rng=0)
    twin.load_state(layer.state())
    twin.parameters().grad[...] = 0.5
    # made with other numbers, which the state replaces
    twin_optimizer = make(twin.parameters(), **(options | {"lr": 0.5, "weight_decay": 0.9}))
    twin_optimizer.load_state_dict(optimizer.state_dict())
    assert twin_optimizer.steps == 3
    for each in (optimizer, twin_optimizer):
        each.step()
    np.testing.assert_array_equal(twin.weight.data, layer.weight.data)


def test_a_state_is_a_copy():
    layer = nn.Linear(2, 2, rng=0)
    optimizer = optim.Adam(layer.parameters())
    state = optimizer.state_dict()
    state["m"].fill(1)
    assert not optimizer.state_dict()["m"].any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"v": None}, ValueError, r"missing \['v'\]"),
        ({"momentum": 0.9}, ValueError, r"unexpected \['momentum'\]"),
        ({"m": np.zeros(3, np.float32)}, ValueError, r"'m' has shape \(3,\)"),
        ({"m": np.zeros(32)}, TypeError, "'m' is float64, the parameters are float32"),
        ({"lr": "fast"}, TypeError, "lr must be a number"),
        ({"beta2": 1.5}, ValueError, "beta2"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    layer = nn.Linear(2, 2, rng=0)
    optimizer = optim.Adam(layer.parameters(), lr=0.1)
    assert optimizer.m.shape == (32,)  # two parameters, each at a boundary of 16 floats
    state = optimizer.state_dict() | {"steps": 5, "lr": 0.7} | change
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(state)
    assert optimizer.steps == 0 and optimizer.lr == 0.1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD(p, lr=-0.1), ValueError, "lr must be at least 0 and finite, got -0.1"),
        (lambda p: optim.SGD(p, lr=float("nan")), ValueError, "lr .* nan"),
        (lambda p: optim.SGD(p, lr=float("inf")), ValueError, "lr .* inf"),
        (lambda p: optim.SGD(p, lr="1"), TypeError, "lr must be a number, got '1'"),
        (lambda p: optim.SGD(p, lr=1, momentum=1), ValueError, "momentum .* below 1, got 1"),
        (lambda p: optim.SGD(p, lr=1, nesterov=True), ValueError, "nesterov needs momentum"),
        (lambda p: optim.SGD(p, lr=1, weight_decay=-1), ValueError, "weight_decay"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), ValueError, "beta2 .* below 1"),
        (lambda p: optim.Adam(p, betas=(-0.1, 0.9)), ValueError, "beta1"),
        (lambda p: optim.Adam(p, eps=0), ValueError, "eps must be above 0"),
        (lambda p: optim.AdamW(list(p)), TypeError, r"model\.parameters\(\), got list"),
        (lambda p: optim.clip_grad_norm(p, 0), ValueError, "max_norm must be above 0"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make(nn.Linear(2, 2, rng=0).parameters())


def test_a_step_with_a_bad_lr_changes_nothing():
    layer = nn.Linear(2, 2, rng=0)
    optimizer = optim.Adam(layer.parameters())
    layer.parameters().grad.fill(1)
    before = layer.weight.data.copy()
    with pytest.raises(ValueError, match="lr"):
        optimizer.step(lr=-1)
    np.testing.assert_array_equal(layer.weight.data, before)
    assert optimizer.steps == 0


def test_an_optimizer_made_before_the_model_says_so():
    layer = nn.Linear(2, 2, rng=0)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    model = nn.Sequential(layer)
    layer.weight.grad.fill(1)
    before = model.parameters().data.copy()
    for use in (optimizer.step, optimizer.zero_grad):
        with pytest.raises(RuntimeError, match="create optimizers once the model is complete"):
            use()
    with pytest.raises(RuntimeError, match="moved"):
        optim.clip_grad_norm(optimizer.params, 1.0)
    np.testing.assert_array_equal(model.parameters().data, before)
    assert optimizer.steps == 0


def test_an_optimizer_of_a_part_leaves_the_rest_alone():
    model = nn.MLP((3, 4, 2), rng=0)
    before = model.state()
    model.parameters().grad.fill(1)
    optim.SGD(model[1].parameters(), lr=0.1).step()
    np.testing.assert_array_equal(model[0].weight.data, before["0.weight"])
    np.testing.assert_allclose(model[1].weight.data, before["1.weight"] - 0.1, rtol=1e-5, atol=1e-7)


def test_zero_grad():
    layer = nn.Linear(2, 2, rng=0)
    layer.weight.grad.fill(1)
    optim.SGD(layer.parameters(), lr=0.1).zero_grad()
    assert not layer.weight.grad.any()


def test_clip_grad_norm(real):
    layer = nn.Linear(2, 1, dtype=real, rng=0)
    layer.weight.grad[...] = [[2], [4]]
    layer.bias.grad[...] = 4
    assert optim.clip_grad_norm(layer.parameters(), 6.0) == pytest.approx(6)
    np.testing.assert_array_equal(layer.weight.grad, [[2], [4]])
    assert optim.clip_grad_norm(layer.parameters(), 3.0) == pytest.approx(6)
    np.testing.assert_allclose(layer.weight.grad, [[1], [2]], rtol=1e-6)
    np.testing.assert_allclose(layer.bias.grad, [2], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_leaves_gradients_that_are_not_finite(bad):
    layer = nn.Linear(2, 1, bias=False, rng=0)
    layer.weight.grad[...] = [[3], [bad]]
    norm = optim.clip_grad_norm(layer.parameters(), 1.0)
    assert np.isnan(norm) if np.isnan(bad) else norm == np.inf
    np.testing.assert_array_equal(layer.weight.grad, np.array([[3], [bad]], np.float32))
