"""Optimizers against plain float64 NumPy and against PyTorch; clipping; bad arguments."""

import inspect
import math

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
KINDS = list(dict.fromkeys(make for make, _, _ in CASES))
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


def test_a_schedule_that_leaves_its_range_stops_the_step():
    layer = nn.Linear(2, 2, rng=0)
    optimizer = optim.SGD(layer.parameters(), lr=lambda step: 0.1 - 0.2 * step)
    layer.parameters().grad.fill(1)
    optimizer.step()
    before = layer.weight.data.copy()
    with pytest.raises(ValueError, match=r"lr must be at least 0 and finite, got -0.1 at step 1"):
        optimizer.step()
    np.testing.assert_array_equal(layer.weight.data, before)
    assert optimizer.steps == 1


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


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD(p, lr=-0.1), ValueError, "lr must be at least 0 and finite, got -0.1"),
        (lambda p: optim.SGD(p, lr=float("nan")), ValueError, "lr .* nan"),
        (lambda p: optim.SGD(p, lr=float("inf")), ValueError, "lr .* inf"),
        (lambda p: optim.SGD(p, lr="1"), TypeError, "lr must be a number, got str '1'"),
        (lambda p: optim.SGD(p, lr=1, momentum=1), ValueError, "momentum .* below 1, got 1"),
        (lambda p: optim.SGD(p, lr=1, nesterov=True), ValueError, "nesterov needs momentum"),
        (lambda p: optim.SGD(p, lr=1, weight_decay=-1), ValueError, "weight_decay"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), ValueError, "beta2 .* below 1"),
        (lambda p: optim.Adam(p, betas=(-0.1, 0.9)), ValueError, "beta1"),
        (lambda p: optim.Adam(p, eps=0), ValueError, "eps must be above 0"),
        (lambda p: optim.Adam(p, eps=1e-60), ValueError, "eps must be above 0 in float32"),
        (lambda p: optim.RMSprop(p, eps=0), ValueError, "eps must be above 0"),
        (lambda p: optim.RMSprop(p, alpha=1), ValueError, "alpha .* below 1"),
        (lambda p: optim.RMSprop(p, momentum=1), ValueError, "momentum .* below 1"),
        (lambda p: optim.Adadelta(p, rho=1), ValueError, "rho .* below 1"),
        (lambda p: optim.Adadelta(p, eps=0), ValueError, "eps must be above 0"),
        (lambda p: optim.Adagrad(p, lr_decay=-1), ValueError, "lr_decay must be at least 0"),
        (lambda p: optim.Adagrad(p, initial_accumulator_value=-1), ValueError, "initial_acc"),
        (lambda p: optim.ExponentialMovingAverage(p, decay=1), ValueError, "decay .* below 1"),
        (lambda p: optim.ExponentialMovingAverage(None), TypeError, "got NoneType"),
        (lambda p: optim.SGD(p, lr=0.1).step(max_norm=0), ValueError, "max_norm must be above 0"),
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


@pytest.mark.parametrize("grad_scale", [1.0, 0.5])
@pytest.mark.parametrize("max_norm", [0.1, 100.0])
def test_clipping_in_the_step(max_norm, grad_scale, real):
    """The step that `clip_grad_norm` and then `step` take, but that gradients stay as they are."""
    models = [nn.MLP((3, 4, 2), dtype=real, rng=0) for _ in range(2)]
    norms = []
    for model, fused in zip(models, (False, True), strict=True):
        params = model.parameters()
        optimizer = optim.SGD(params, lr=0.1, momentum=0.9)
        params.grad[...] = np.random.default_rng(2).normal(size=params.grad.shape)
        before = params.grad.copy()
        if fused:
            norms.append(optimizer.step(grad_scale=grad_scale, max_norm=max_norm))
            np.testing.assert_array_equal(params.grad, before)
        else:
            params.grad[...] *= real(grad_scale)
            norms.append(optim.clip_grad_norm(params, max_norm))
            assert optimizer.step() is None
    assert norms[0] == pytest.approx(norms[1])
    np.testing.assert_allclose(
        models[0].parameters().data, models[1].parameters().data, rtol=8 * np.finfo(real).eps
    )


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_of_every_optimizer_are_named(kind):
    layer = nn.Linear(2, 2, rng=0)
    layer.parameters().grad.fill(1)
    before = layer.parameters().data.copy()
    for name in (*kind._numbers, *kind._choices, "betas", "centered", "nesterov"):
        if name not in inspect.signature(kind).parameters:
            continue
        for wrong in ("0.5", None, [0.1], (0.1,), 1j, "no", math.nan, 10**400):
            options = {"lr": 0.1} | {name: wrong}
            with pytest.raises((TypeError, ValueError), match=f"{name}|beta1|lr"):
                kind(layer.parameters(), **options)
    for wrong in (layer, "params", None, list(layer.parameters())):
        with pytest.raises(TypeError, match=r"params must be model.parameters\(\)"):
            kind(wrong, lr=0.1)
        with pytest.raises(TypeError, match=r"params must be model.parameters\(\)"):
            optim.clip_grad_norm(wrong, 1.0)
    optimizer = kind(layer.parameters(), lr=0.1)
    state = optimizer.state_dict()
    for options in ({"lr": "1"}, {"grad_scale": "1"}, {"grad_scale": None}, {"max_norm": "1"}):
        with pytest.raises(TypeError, match=f"{next(iter(options))} must be a number"):
            optimizer.step(**options)
    optimizer.lr = "0.1"
    with pytest.raises(TypeError, match=r"lr must be a number, got str '0.1'"):
        optimizer.step()
    optimizer.lr = 0.1
    for wrong in (None, [1], "state"):
        with pytest.raises(TypeError, match="state must be a mapping"):
            optimizer.load_state_dict(wrong)
    np.testing.assert_equal(optimizer.state_dict(), state)
    np.testing.assert_array_equal(layer.parameters().data, before)


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
