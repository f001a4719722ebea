"""Optimizers against plain float64 NumPy and against PyTorch."""

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


def rmsprop(
    p, gradients, *, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False
):
    m = v = c = 0.0
    for g in gradients:
        g = g + weight_decay * p
        v = alpha * v + (1 - alpha) * g * g
        c = alpha * c + (1 - alpha) * g if centered else 0.0
        m = momentum * m + g / (np.sqrt(v - c * c) + eps)
        p = p - lr * m
    return p


def adagrad(
    p,
    gradients,
    *,
    lr,
    lr_decay=0.0,
    weight_decay=0.0,
    initial_accumulator_value=0.0,
    eps=1e-10,
):
    v = initial_accumulator_value
    for t, g in enumerate(gradients):
        g = g + weight_decay * p
        v = v + g * g
        p = p - lr / (1 + t * lr_decay) * g / (np.sqrt(v) + eps)
    return p


def adadelta(p, gradients, *, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0):
    v = u = 0.0
    for g in gradients:
        g = g + weight_decay * p
        v = rho * v + (1 - rho) * g * g
        d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
        u = rho * u + (1 - rho) * d * d
        p = p - lr * d
    return p


CASES = [
    (optim.Adadelta, adadelta, {"lr": 1.0}),
    (optim.Adadelta, adadelta, {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.2}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adam, adam, {"lr": 0.01}),
    (optim.Adam, adam, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.AdamW, adamw, {"lr": 0.01}),
    (optim.AdamW, adamw, {"lr": 0.02, "betas": (0.7, 0.9), "eps": 1e-4, "weight_decay": 0.5}),
    (optim.RMSprop, rmsprop, {"lr": 0.01}),
    (optim.RMSprop, rmsprop, {"lr": 0.01, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    (optim.RMSprop, rmsprop, {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}),
    (optim.RMSprop, rmsprop, {"lr": 0.01, "centered": True, "eps": 1e-2}),
    (optim.RMSprop, rmsprop, {"lr": 0.01, "centered": True, "eps": 1e-2, "momentum": 0.5}),
    (optim.Adagrad, adagrad, {"lr": 0.1}),
    (optim.Adagrad, adagrad, {"lr": 0.1, "lr_decay": 0.1, "eps": 1e-3, "weight_decay": 0.1}),
    (optim.Adagrad, adagrad, {"lr": 0.1, "initial_accumulator_value": 0.3}),
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
def test_parts_of_a_batch_add_up_to_the_batch(make, reference, options):
    x = np.random.default_rng(0).normal(size=(24, 6))
    y = np.random.default_rng(1).integers(0, 3, 24)
    whole, parted = nn.MLP((6, 5, 3), dtype="f8", rng=0), nn.MLP((6, 5, 3), dtype="f8", rng=0)
    for model, n_parts in ((whole, 1), (parted, 4)):
        optimizer = make(model.parameters(), **options)
        for _ in range(3):
            optimizer.zero_grad()
            for part in np.split(np.arange(24), n_parts):
                logits, ctx = model.forward(x[part])
                model.backward(nn.cross_entropy(logits, y[part])[1], ctx, need_dx=False)
            optimizer.step(grad_scale=1 / n_parts)
    np.testing.assert_allclose(
        parted.parameters().data, whole.parameters().data, rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize(("make", "reference", "options"), CASES, ids=NAMES)
def test_a_schedule_is_called_with_the_steps_taken(make, reference, options):
    seen = []

    def schedule(step):
        seen.append(step)
        return options["lr"] * (step + 1)

    by_schedule = run(make, options | {"lr": schedule}, np.float64)[2]
    layer = nn.Linear(7, 5, bias=False, dtype="f8", rng=0)
    optimizer = make(layer.parameters(), **options)
    for step, g in enumerate(run(make, options, np.float64)[1]):
        layer.weight.grad[...] = g
        assert optimizer.current_lr == options["lr"]
        optimizer.step(lr=options["lr"] * (step + 1))
    np.testing.assert_array_equal(by_schedule, layer.weight.data)
    assert seen == list(range(N_STEPS))


def test_adamw_decays_weights_and_not_vectors(real):
    model = nn.MLP((3, 20, 30, 2), dtype=real, rng=0)
    model.parameters().data[...] += 1
    model.parameters().data[...] -= 0.5
    before = model.state()
    optimizer = optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    optimizer.step()  # without gradients nothing but decay is left
    for name, value in model.state().items():
        kept = 0.95 if value.ndim == 2 else 1
        np.testing.assert_allclose(value, before[name] * kept, rtol=4 * np.finfo(real).eps)
    optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5, decay_1d=True).step()
    np.testing.assert_allclose(model[0].bias.data, before["0.bias"] * 0.95, rtol=1e-6)


def test_adamw_finds_what_decays_in_any_order():
    for shapes in ([(3,), (2, 2)], [(5,)], [(2, 9), (3, 3)], [(2,), (3,), (4, 4, 4), (1,), (2, 1)]):
        named = {str(i): nn.Parameter(np.ones(shape, "f4")) for i, shape in enumerate(shapes)}
        params = nn.Parameters(named)
        optim.AdamW(params, lr=0.1, weight_decay=1.0).step()
        for parameter in params:
            want = np.float32(0.9) if parameter.data.ndim >= 2 else 1
            np.testing.assert_allclose(parameter.data, want, rtol=1e-7)
    model = nn.MLP((2, 3, 4), rng=0)
    model.parameters().data[...] = 1
    optim.AdamW(model[1].parameters(), lr=0.1, weight_decay=1.0).step()  # not at the beginning
    assert (model[0].weight.data == 1).all() and (model[1].bias.data == 1).all()
    assert (model[1].weight.data < 1).all()


def test_adadelta_survives_gradients_whose_square_overflows():
    layer = nn.Linear(3, 1, bias=False, rng=0)
    optimizer = optim.Adadelta(layer.parameters())
    layer.weight.grad[:, 0] = 1e30, np.inf, np.nan
    before = layer.weight.data.copy()
    optimizer.step()
    after = layer.weight.data[:, 0]
    assert np.isfinite(after[0]) and np.isfinite(optimizer.v[0])
    assert not np.isfinite(after[1:]).any()
    layer.weight.grad.fill(1)
    for _ in range(2000):
        optimizer.step()
    assert layer.weight.data[0, 0] < before[0, 0]
    assert optimizer.v[0] == pytest.approx(1)


def test_adadelta_updates_more_parameters_than_fit_one_block():
    layer, small = nn.Linear(300, 100, bias=False, rng=0), nn.Linear(1, 100, bias=False, rng=0)
    small.weight.data[0] = layer.weight.data[-1]
    for one in (layer, small):
        optimizer = optim.Adadelta(one.parameters(), weight_decay=0.1)
        for step in range(3):
            one.weight.grad[:] = np.linspace(-1, 1, 100) * (step + 1)
            optimizer.step()
    np.testing.assert_array_equal(layer.weight.data[-1], small.weight.data[0])
