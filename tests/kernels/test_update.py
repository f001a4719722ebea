"""Updates against their formulas in float64, limits and bad arguments."""

from functools import partial

import numpy as np
import pytest

from fastnn.kernels import (
    adagrad_update,
    adam_update,
    adamw_update,
    ema_update,
    rmsprop_update,
    scale,
    sgd_update,
)

from .variants import WRONG_TYPES

SIZES = [0, 1, 7, 100, 4096, 4097, 60_001]


def arrays(rng, n, real, count):
    return [rng.standard_normal(n).astype(real) for _ in range(count)]


def close(got, want, real):
    np.testing.assert_allclose(got, want, rtol=8 * np.finfo(real).eps, atol=8 * np.finfo(real).eps)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd(n, momentum, nesterov, real, rng, n_threads):
    p, g, m = arrays(rng, n, real, 3)
    p64, g64, m64 = (a.astype(np.float64) for a in (p, g, m))
    g0 = g.copy()
    sgd_update(
        p,
        g,
        m if momentum else None,
        lr=0.1,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=0.01,
        grad_scale=0.5,
    )
    d = 0.5 * g64 + 0.01 * p64
    if momentum:
        m64 = momentum * m64 + d
        close(m, m64, real)
        d = d + momentum * m64 if nesterov else m64
    close(p, p64 - 0.1 * d, real)
    np.testing.assert_array_equal(g, g0)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("step", [1, 2, 1000, 10**6, 2**53, 2**62])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_and_adamw(n, step, decoupled, real, rng):
    p, g, m, v = arrays(rng, n, real, 4)
    v = np.abs(v)
    p64, g64, m64, v64 = (a.astype(np.float64) for a in (p, g, m, v))
    update = adamw_update if decoupled else adam_update
    update(
        p,
        g,
        m,
        v,
        step=step,
        lr=0.01,
        beta1=0.8,
        beta2=0.95,
        eps=1e-6,
        weight_decay=0.1,
        grad_scale=2.0,
    )
    d = 2 * g64 + (0 if decoupled else 0.1 * p64)
    m64, v64 = 0.8 * m64 + 0.2 * d, 0.95 * v64 + 0.05 * d * d
    root = np.sqrt(v64 / (1 - 0.95**step)) + 1e-6
    want = p64 * (1 - 0.01 * 0.1 if decoupled else 1) - 0.01 * m64 / (1 - 0.8**step) / root
    close(m, m64, real)
    close(v, v64, real)
    close(p, want, real)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop(n, centered, momentum, real, rng):
    p, g, m, c, v = arrays(rng, n, real, 5)
    c, v = real(0.1) * c, np.abs(v) + 1
    p64, g64, m64, c64, v64 = (a.astype(np.float64) for a in (p, g, m, c, v))
    rmsprop_update(
        p,
        g,
        v,
        m if momentum else None,
        c if centered else None,
        lr=0.02,
        alpha=0.9,
        eps=1e-3,
        momentum=momentum,
        weight_decay=0.1,
        grad_scale=0.5,
    )
    d = 0.5 * g64 + 0.1 * p64
    v64 = 0.9 * v64 + 0.1 * d * d
    close(v, v64, real)
    if centered:
        c64 = 0.9 * c64 + 0.1 * d
        close(c, c64, real)
    u = d / (np.sqrt(v64 - c64**2 if centered else v64) + 1e-3)
    if momentum:
        u = momentum * m64 + u
        close(m, u, real)
    close(p, p64 - 0.02 * u, real)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("step", [1, 100, 2**53])
def test_adagrad(n, step, real, rng):
    p, g, v = arrays(rng, n, real, 3)
    v = np.abs(v)
    p64, g64, v64 = (a.astype(np.float64) for a in (p, g, v))
    adagrad_update(
        p, g, v, step=step, lr=0.1, lr_decay=0.01, eps=1e-3, weight_decay=0.1, grad_scale=0.5
    )
    d = 0.5 * g64 + 0.1 * p64
    v64 = v64 + d * d
    close(v, v64, real)
    close(p, p64 - 0.1 / (1 + (step - 1) * 0.01) * d / (np.sqrt(v64) + 1e-3), real)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("decay", [0.0, 0.9, 0.9999, 1.0])
def test_ema(n, decay, real, rng):
    average, p = arrays(rng, n, real, 2)
    want = average + (1 - decay) * (p.astype(np.float64) - average)
    p0 = p.copy()
    ema_update(average, p, decay)
    close(average, want, real)
    np.testing.assert_array_equal(p, p0)
    ema_update(p0, p, decay)
    np.testing.assert_array_equal(p0, p)  # an average that is there already stays


def test_scale(real, rng, n_threads):
    (x,) = arrays(rng, 70_000, real, 1)
    want = x * real(0.25)
    assert scale(x, 0.25) is None
    np.testing.assert_array_equal(x, want)


@pytest.mark.parametrize(
    "update",
    [
        partial(sgd_update, lr=0.0, momentum=0.9),
        partial(adam_update, lr=0.0, step=1, weight_decay=0.1),
        partial(adamw_update, lr=0.0, step=1, weight_decay=0.1),
        partial(rmsprop_update, lr=0.0, weight_decay=0.1),
        partial(adagrad_update, lr=0.0, step=1, weight_decay=0.1),
    ],
    ids=["sgd", "adam", "adamw", "rmsprop", "adagrad"],
)
def test_lr_zero_changes_no_parameter(update, real, rng):
    p, g, m, v = arrays(rng, 50, real, 4)
    v = np.abs(v)
    before, states = p.copy(), {"sgd_update": (m,), "rmsprop_update": (v,), "adagrad_update": (v,)}
    update(p, g, *states.get(update.func.__name__, (m, v)))
    np.testing.assert_array_equal(p, before)


def test_a_gradient_that_is_always_zero_changes_nothing(real):
    p, g, m, v, c = np.full(20, 2, real), *np.zeros((4, 20), real)
    for _ in range(3):
        adam_update(p, g, m, v, step=1, lr=0.1)
        rmsprop_update(p, g, v, m, c, lr=0.1, momentum=0.9)
        adagrad_update(p, g, v, step=1, lr=0.1)
    assert (p == 2).all() and not np.any([m, v, c])


def test_centred_variance_is_never_negative(real):
    """A gradient that stays the same has no variance, and rounding must not take its root."""
    for start in (0.1, 0.3, 0.7, 1.1):
        p, g, v, c = np.zeros(9, real), np.full(9, start, real), *np.zeros((2, 9), real)
        for _ in range(300):
            rmsprop_update(p, g, v, c=c, lr=1e-3, alpha=0.9)
        assert np.isfinite(p).all()


def test_refuses_and_changes_nothing():
    p, g, m, v = (np.ones(10, np.float32) for _ in range(4))
    frozen = np.ones(10, np.float32)
    frozen.flags.writeable = False
    sgd_update(p.copy(), frozen, lr=0.1)  # the gradient is only read
    adam = partial(adam_update, lr=0.1)
    wrong = [
        (lambda: sgd_update(frozen, g, lr=0.1), ValueError, "p is read-only"),
        (lambda: sgd_update(p, g[:5], lr=0.1), ValueError, "g must have the shape of p"),
        (lambda: sgd_update(p, g, lr=0.1, momentum=0.9), ValueError, "needs m"),
        (lambda: sgd_update(p, g, lr=0.1, nesterov=True), ValueError, "needs m"),
        (lambda: sgd_update(p, p, lr=0.1), ValueError, "g overlaps p"),
        (lambda: sgd_update(p[:9], p[1:], lr=0.1), ValueError, "g overlaps p"),
        (lambda: sgd_update(np.ones(20, "f4")[::2], g, lr=0.1), ValueError, "p must be C-cont"),
        (lambda: adam(p, g, m, m, step=1), ValueError, "v overlaps m"),
        (lambda: adam(p, g, m, None, step=1), TypeError, "v must be a NumPy array"),
        (lambda: adam(p, g, m, v, step=0), ValueError, "step must be at least 1, got 0"),
        (
            lambda: adam(p, g, m, v, step=1, beta1=-0.1),
            ValueError,
            "beta1 must be at least 0 and below 1",
        ),
        (lambda: adam(p, g, m, v, step=1, beta2=1.0), ValueError, r"beta2 must be .*, got 1"),
        (lambda: adam(p, g, m, v.astype("f8"), step=1), TypeError, "v is of float64"),
        (
            lambda: adamw_update(p, g, m, v, step=1, lr=0.1, decay_stops=np.zeros(2)),
            TypeError,
            "decay_stops must be a contiguous vector of int64",
        ),
        (lambda: adamw_update(p, g, m, v, step=1, lr=0.1, decay_stops=[1]), TypeError, "int64"),
        (lambda: rmsprop_update(p, g, v, lr=0.1, momentum=0.5), ValueError, "needs m"),
        (
            lambda: rmsprop_update(p, g, v, lr=0.1, alpha=1.0),
            ValueError,
            "alpha must be at least 0 and below 1",
        ),
        (lambda: rmsprop_update(p, g, None, lr=0.1), TypeError, "v must be a NumPy array"),
        (lambda: rmsprop_update(p, g, v, m, v, lr=0.1), ValueError, "c overlaps v"),
        (lambda: adagrad_update(p, g, v, step=0, lr=0.1), ValueError, "step must be at least 1"),
        (lambda: adagrad_update(p, g, None, step=1, lr=0.1), TypeError, "v must be"),
        (lambda: ema_update(p, g, 1.5), ValueError, "decay must be from 0 to 1, got 1.5"),
        (lambda: ema_update(p, g, np.nan), ValueError, "decay"),
        (lambda: ema_update(frozen, g, 0.5), ValueError, "average is read-only"),
        (lambda: ema_update(p, p, 0.5), ValueError, "p overlaps average"),
        (lambda: scale(frozen, 2.0), ValueError, "x is read-only"),
    ]
    for call, error, message in wrong:
        with pytest.raises(error, match=message):
            call()
    for bad in WRONG_TYPES:
        with pytest.raises(TypeError, match="must be a NumPy array"):
            sgd_update(bad, g, lr=0.1)
    assert all((a == 1).all() for a in (p, g, m, v))
