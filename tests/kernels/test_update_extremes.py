"""Every rule with huge, steady and infinite gradients, against the same formula in float64."""

import ctypes
from functools import partial

import numpy as np
import pytest

from fastnn import capi, kernels, nn, optim

LR = 1e-3


def rms(**options):
    def update(p, g, step, state, **scale):
        v, m, c = (state.setdefault(key, np.zeros_like(p)) for key in "vmc")
        kernels.rmsprop_update(
            p,
            g,
            v,
            m if options.get("momentum") else None,
            c if options["centered"] else None,
            lr=LR,
            momentum=options.get("momentum", 0.0),
            **scale,
        )

    return update


def adam(function):
    def update(p, g, step, state, **scale):
        m, v = (state.setdefault(key, np.zeros_like(p)) for key in "mv")
        function(p, g, m, v, step=step, lr=LR, **scale)

    return update


def sgd(momentum, nesterov=False):
    def update(p, g, step, state, **scale):
        m = state.setdefault("m", np.zeros_like(p)) if momentum else None
        kernels.sgd_update(p, g, m, lr=LR, momentum=momentum, nesterov=nesterov, **scale)

    return update


def adagrad(p, g, step, state, **scale):
    v = state.setdefault("v", np.zeros_like(p))
    kernels.adagrad_update(p, g, v, step=step, lr=LR, **scale)


def average(p, g, step, state, grad_scale=1.0):
    kernels.ema_update(p, g * g.dtype.type(grad_scale), 0.9)


LINEAR = {"sgd": sgd(0), "momentum": sgd(0.9), "nesterov": sgd(0.9, True), "average": average}
SQUARED = {
    "adam": adam(kernels.adam_update),
    "adamw": adam(partial(kernels.adamw_update, weight_decay=0.1)),
    "rmsprop": rms(centered=False),
    "rmsprop, momentum": rms(centered=False, momentum=0.9),
    "centered": rms(centered=True),
    "adagrad": adagrad,
}
RULES = LINEAR | SQUARED


def run(rule, real, gradients, **scale):
    """The parameters after each step."""
    p, state, path = np.full(37, 0.5, real), {}, []
    for step, g in enumerate(gradients, 1):
        RULES[rule](p, np.resize(np.asarray(g, real), 37), step, state, **scale)
        path.append(p.copy())
    return np.array(path), state


def huge(rng, size):
    """Ordinary gradients, one of `size` among them, ordinary ones again."""
    g = rng.standard_normal((40, 37))
    g[10, ::2] = size
    g[10, 1::4] = -size
    return g


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [1e10, 1e18, 1.7e19, 1.9e19, 1e20, 5e20, 1e21, 1e37])
def test_one_huge_gradient(rule, size, rng):
    """The step is that of float64, and no infinity stays in the state."""
    gradients = huge(rng, size)
    got, state = run(rule, np.float32, gradients)
    want, _ = run(rule, np.float64, gradients)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert all(np.isfinite(x).all() for x in state.values())


@pytest.mark.parametrize("rule", SQUARED)
def test_a_parameter_moves_again_after_a_huge_gradient(rule):
    """As soon as its mean of squares has shrunk to that of the next gradients."""
    p, state = np.zeros(37, np.float32), {}
    for step in range(1, 8001):
        before = p.copy()
        g = np.full(37, 1e37 if step == 1 else 1e17, np.float32)
        RULES[rule](p, g, step, state)
    assert (np.abs(p - before) > LR / 100).all() and np.isfinite(p).all()


@pytest.mark.parametrize("rule", SQUARED)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e15, 1e20, 1e37])
def test_steady_huge_gradients(rule, size, rng):
    """The steps of these rules do not depend on the size of the gradients."""
    gradients = size * rng.uniform(0.7, 1.3, (200, 37))
    got, state = run(rule, np.float32, gradients)
    want, _ = run(rule, np.float64, gradients if size < 1e18 else np.sign(gradients))
    if size < 1e18 or rule != "centered":
        np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-4)
    assert np.isfinite(got).all() and all(np.isfinite(x).all() for x in state.values())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_infinity_and_nan_are_not_hidden(rule, bad, real):
    got, _ = run(rule, real, [np.ones(37), np.full(37, bad)])
    assert not np.isfinite(got[1]).any()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("size", "scale"), [(1e37, 1e-37), (1e-30, 1e30), (1e20, 1e-1)])
def test_scaled_gradients(rule, size, scale, rng):
    """grad_scale counts before squares are taken."""
    gradients = size * rng.standard_normal((20, 37))
    got, _ = run(rule, np.float32, gradients, grad_scale=scale)
    want, _ = run(rule, np.float64, gradients, grad_scale=scale)
    if size * scale < 1e18 or rule in LINEAR:
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * max(1, size * scale))
    assert np.isfinite(got).all()


def centered_by_pointer(p, g, v, c):
    """The same step by address."""
    kind = {4: ctypes.c_float, 8: ctypes.c_double}[p.itemsize]
    at = [ctypes.cast(x.ctypes.data, ctypes.POINTER(kind)) for x in (p, g, v, c)]
    function = capi.ctypes(f"rmsprop_f{8 * p.itemsize}")
    assert function(p.size, at[0], at[1], at[2], None, at[3], LR, 0.99, 1e-8, 0.0, 0.0, 1.0) == 0


@pytest.mark.parametrize("by_pointer", [False, True])
@pytest.mark.parametrize("noise", [0, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2, 0.1])
@pytest.mark.parametrize("mean", [1.0, 12345.0, 1e-4])
def test_centered_rmsprop_of_steady_gradients(by_pointer, noise, mean, real, rng):
    """No step is longer than the floor under the variance allows, and none is NaN.

    Without it single steps were 10^5 times longer than in float64.
    """
    p, v, c = np.zeros((3, 50), real)
    p64, v64, c64 = np.zeros((3, 50))
    longest = LR / np.sqrt(4 * np.finfo(real).eps) * 1.01
    for _ in range(1500):
        g = (mean * (1 + noise * rng.standard_normal(50))).astype(real)
        before = p.copy()
        if by_pointer:
            centered_by_pointer(p, g, v, c)
        else:
            kernels.rmsprop_update(p, g, v, None, c, lr=LR)
        kernels.rmsprop_update(p64, g.astype(np.float64), v64, None, c64, lr=LR)
        assert (np.abs(p.astype(np.float64) - before) <= longest + np.abs(p) * 1e-6).all()
    if noise >= 1e-2:
        np.testing.assert_allclose(p, p64, rtol=0.02)


@pytest.mark.parametrize("size", [1.0, 1e20, 1e37])
def test_clipping_takes_norms_without_overflow(size, rng):
    """The norm of all gradients, and the step with the clipped ones."""
    layer = nn.Linear(30, 20, rng=0)
    for p in layer.parameters():
        p.grad[...] = size * rng.standard_normal(p.grad.shape)
    total = np.sqrt(sum((p.grad.astype(np.float64) ** 2).sum() for p in layer.parameters()))
    before = [p.data.copy() for p in layer.parameters()]
    want = [p.grad / total for p in layer.parameters()]
    assert optim.SGD(layer.parameters(), lr=1.0).step(max_norm=1.0) == pytest.approx(
        total, rel=1e-6
    )
    for p, old, change in zip(layer.parameters(), before, want, strict=True):
        np.testing.assert_allclose(old - p.data, change, rtol=1e-4, atol=1e-6)
    assert optim.clip_grad_norm(layer.parameters(), 1.0) == pytest.approx(total, rel=1e-6)
    for p, change in zip(layer.parameters(), want, strict=True):
        np.testing.assert_allclose(p.grad, change, rtol=1e-5, atol=1e-9)
