"""SGD, Adam and AdamW against their formulas in float64."""

import numpy as np
import pytest

import fastnn
from fastnn.kernels import adam_update, adamw_update, scale, sgd_update

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
@pytest.mark.parametrize("step", [1, 2, 1000])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_and_adamw(n, step, decoupled, real, rng, n_threads):
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


def test_scale(real, rng, n_threads):
    (x,) = arrays(rng, 70_000, real, 1)
    want = x * real(0.25)
    assert scale(x, 0.25) is None
    np.testing.assert_array_equal(x, want)


def test_same_bits_at_any_thread_count(real, rng):
    start = arrays(rng, 50_003, real, 4)
    start[3] = np.abs(start[3])
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            p, g, m, v = (a.copy() for a in start)
            adamw_update(p, g, m, v, step=3, lr=0.01)
            sgd_update(p, g, m, lr=0.1, momentum=0.9, nesterov=True)
            results.add((p.tobytes(), m.tobytes(), v.tobytes()))
    assert len(results) == 1


def test_nan_gradient_reaches_only_its_element(real):
    p, g, m, v = np.ones(40, real), np.ones(40, real), np.zeros(40, real), np.zeros(40, real)
    g[7] = np.nan
    adam_update(p, g, m, v, step=1, lr=0.1)
    assert np.isnan(p[7]) and np.isfinite(np.delete(p, 7)).all()


def test_refuses_and_changes_nothing():
    p, g, m, v = (np.ones(10, np.float32) for _ in range(4))
    frozen = np.ones(10, np.float32)
    frozen.flags.writeable = False
    sgd_update(p.copy(), frozen, lr=0.1)  # the gradient is only read
    wrong = [
        (lambda: sgd_update(frozen, g, lr=0.1), ValueError, "p is read-only"),
        (lambda: sgd_update(p, g[:5], lr=0.1), ValueError, "g must have the shape of p"),
        (lambda: sgd_update(p, g, lr=0.1, momentum=0.9), ValueError, "needs m"),
        (lambda: sgd_update(p, p, lr=0.1), ValueError, "g overlaps p"),
        (
            lambda: sgd_update(np.ones(20, np.float32)[::2], g, lr=0.1),
            ValueError,
            "p must be C-contiguous",
        ),
        (lambda: adam_update(p, g, m, m, step=1, lr=0.1), ValueError, "v overlaps m"),
        (lambda: adam_update(p, g, m, v, step=0, lr=0.1), ValueError, "step counts from 1, not 0"),
        (lambda: adam_update(p, g, m, v, step=1, lr=0.1, beta2=1.0), ValueError, "beta1 and beta2"),
        (
            lambda: adamw_update(p, g, m, v.astype(np.float64), step=1, lr=0.1),
            TypeError,
            "v is of float64",
        ),
        (lambda: scale(frozen, 2.0), ValueError, "x is read-only"),
    ]
    for call, error, message in wrong:
        with pytest.raises(error, match=message):
            call()
    for bad in WRONG_TYPES:
        with pytest.raises(TypeError, match="must be a NumPy array"):
            sgd_update(bad, g, lr=0.1)
    assert all((a == 1).all() for a in (p, g, m, v))
