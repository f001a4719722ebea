"""Steps of every optimizer: what they refuse, clip and leave alone."""

import inspect
import math

import numpy as np
import pytest

from fastnn import nn, optim

KINDS = (optim.Adadelta, optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad)


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
