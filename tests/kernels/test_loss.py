"""cross_entropy and mse: float64 references, central differences, labels out of range, threads, errors."""

import math

import numpy as np
import pytest

import fastnn
from fastnn.kernels import cross_entropy, mse

from .variants import WRONG_TYPES, guarded, layouts

SHAPES = [(1, 1), (1, 2), (3, 10), (17, 16), (128, 10), (9, 1000), (400, 65)]


def cross_entropy_64(logits, targets):
    x = logits.astype(np.float64)
    x = x - x.max(1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    rows = np.arange(len(x))
    d = np.exp(log_p)
    d[rows, targets] -= 1
    return -log_p[rows, targets].mean(), d / len(x)


def problem(rng, shape, real):
    return (rng.standard_normal(shape) * 4).astype(real), rng.integers(0, shape[1], shape[0])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy(shape, real, rng, n_threads):
    logits, targets = problem(rng, shape, real)
    loss, d = cross_entropy(logits, targets)
    want_loss, want = cross_entropy_64(logits, targets)
    eps = float(np.finfo(real).eps)
    assert isinstance(loss, float) and loss == pytest.approx(want_loss, rel=64 * eps, abs=8 * eps)
    np.testing.assert_allclose(d, want, rtol=0, atol=16 * eps / len(d))
    assert d.dtype == real


def test_cross_entropy_gradient_by_central_differences(rng):
    logits, targets = problem(rng, (4, 6), np.float64)
    _, d = cross_entropy(logits, targets)
    want, h = np.empty_like(logits), 1e-6
    for i in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[i] += h
        down[i] -= h
        want[i] = (cross_entropy(up, targets)[0] - cross_entropy(down, targets)[0]) / (2 * h)
    assert np.abs(d - want).max() <= 1e-6 * np.abs(want).max()


def test_large_and_infinite_logits(real):
    loss, d = cross_entropy(np.array([[1e4, 0, -1e4]], real), np.array([2]))
    assert loss == 2e4
    np.testing.assert_array_equal(d, np.array([[1, 0, -1]], real))
    loss, d = cross_entropy(np.array([[-np.inf, 0]], real), np.array([0]))
    assert loss == math.inf and (d == np.array([[-1, 1]], real)).all()
    for bad in (np.nan, np.inf):
        loss, d = cross_entropy(np.array([[bad, 0], [1, 2]], real), np.array([1, 0]))
        assert not math.isfinite(loss) and np.isnan(d[0]).all() and np.isfinite(d[1]).all()


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, ">i4"])
def test_any_integer_labels(kind, rng):
    logits, targets = problem(rng, (20, 10), np.float32)
    want = cross_entropy(logits, targets)
    got = cross_entropy(logits, targets.astype(kind))
    assert got[0] == want[0] and (got[1] == want[1]).all()


def test_layouts_and_in_place(real, rng):
    logits, targets = problem(rng, (13, 21), real)
    loss, plain = cross_entropy(logits, targets)
    for name, view in layouts(logits):
        got = cross_entropy(view, targets)
        assert got[0] == loss and (got[1] == plain).all(), name
        over = cross_entropy(view, targets, dlogits=view)
        assert over[1] is view and over[0] == loss and (view == plain).all(), name
    out, untouched = guarded(logits.shape, real)
    assert cross_entropy(logits, targets, dlogits=out)[1] is out
    assert (out == plain).all()
    untouched()


@pytest.mark.parametrize("label", [10, -1, 2**40])
def test_label_out_of_range_changes_nothing(label):
    logits = np.ones((6, 10), np.float32)
    targets = np.zeros(6, np.int64)
    targets[4] = label
    out = np.full_like(logits, 5)
    with pytest.raises(IndexError, match=f"target {label} of row 4 is not one of 10 classes"):
        cross_entropy(logits, targets, dlogits=out)
    assert (out == 5).all()


def test_cross_entropy_refuses():
    logits, targets = np.ones((4, 3), np.float32), np.zeros(4, int)
    for bad in (targets.astype(float), [0, 1, 2, 0], None, np.zeros(4, bool)):
        with pytest.raises(TypeError, match="targets must be a NumPy array of integers"):
            cross_entropy(logits, bad)
    for bad in WRONG_TYPES:
        with pytest.raises(TypeError, match="logits must be"):
            cross_entropy(bad, targets)
    with pytest.raises(ValueError, match=r"not \(4, 3\) and \(5,\)"):
        cross_entropy(logits, np.zeros(5, int))
    with pytest.raises(ValueError, match=r"not \(3,\) and \(4,\)"):
        cross_entropy(logits[0], targets)
    for shape in ((0, 3), (4, 0)):
        with pytest.raises(ValueError, match="mean over no examples"):
            cross_entropy(np.ones(shape, np.float32), np.zeros(shape[0], int))
    logits.flags.writeable = False
    cross_entropy(logits, targets)
    with pytest.raises(ValueError, match="dlogits is read-only"):
        cross_entropy(logits, targets, dlogits=logits)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 4), (5000,), (40, 333)], ids=str)
def test_mse(shape, real, rng, n_threads):
    p, t = np.array(rng.standard_normal(shape), real), np.array(rng.standard_normal(shape), real)
    loss, d = mse(p, t)
    diff = p.astype(np.float64) - t.astype(np.float64)
    assert loss == pytest.approx((diff**2).mean(), rel=8 * float(np.finfo(real).eps))
    np.testing.assert_allclose(d, 2 * diff / diff.size, rtol=4 * np.finfo(real).eps)
    assert d.shape == shape and d.dtype == real


def test_mse_layouts_and_errors(real, rng):
    p, t = rng.standard_normal((6, 9)).astype(real), rng.standard_normal((6, 9)).astype(real)
    loss, plain = mse(p, t)
    for name, view in layouts(p):
        got = mse(view, t, dpred=view)
        assert got[0] == loss and got[1] is view and (view == plain).all(), name
    assert math.isnan(mse(np.array([np.nan, 1], real), np.ones(2, real))[0])
    with pytest.raises(ValueError, match="mean over no elements"):
        mse(p[:0], t[:0])
    with pytest.raises(ValueError, match="target must have the shape of pred"):
        mse(p, t[:, :3])
    with pytest.raises(TypeError, match="target must be a NumPy array"):
        mse(p, None)


def test_same_bits_at_any_thread_count(real, rng):
    logits, targets = problem(rng, (700, 65), real)
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            a, b = cross_entropy(logits, targets), mse(logits, logits[::-1].copy())
            results.add((a[0], a[1].tobytes(), b[0], b[1].tobytes()))
    assert len(results) == 1
