"""Leaky ReLU and PReLU with the gradient of its slopes; see also test_activation.py."""

import numpy as np
import pytest

import fastnn
from fastnn import kernels

from .variants import WRONG_TYPES, guarded, layouts, normal

SHAPES = [(), (0,), (1,), (5, 0), (0, 5), (3, 1), (7, 17), (3, 5, 33), (300, 67), (1, 70001)]


def slopes(rng, shape, real):
    """One for all, and one for each column."""
    yield normal(rng, 1, real)
    if shape:
        yield normal(rng, shape[-1], real)


def reference(x, a, dy):
    """y, dx and da in float64."""
    x, a, dy = (np.asarray(v, np.float64) for v in (x, a, dy))
    to_a = np.where(x > 0, 0, dy * x)
    da = np.sum(to_a, tuple(range(x.ndim - 1))) if a.size != 1 else np.sum(to_a)
    a = a if x.ndim else a[0]
    return np.where(x > 0, x, a * x), np.where(x > 0, dy, a * dy), da


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_prelu_and_its_gradients(shape, real, rng, n_threads):
    x, dy = normal(rng, shape, real), normal(rng, shape, real)
    for a in slopes(rng, shape, real):
        want_y, want_dx, want_da = reference(x, a, dy)
        np.testing.assert_array_equal(kernels.prelu(x, a), want_y.astype(real))
        da = np.ones_like(a)
        dx = kernels.prelu_backward(dy, x, a, da=da)
        np.testing.assert_array_equal(dx, want_dx.astype(real))
        assert kernels.prelu_backward(dy, x, a).tobytes() == dx.tobytes()
        terms = 1 + np.abs(dy * x).sum(dtype=np.float64)
        assert np.abs(da - 1 - want_da).max(initial=0) <= 4 * np.finfo(real).eps * terms


def test_gradients_by_central_differences(rng):
    x, dy, h = rng.standard_normal((40, 25)), rng.standard_normal((40, 25)), 1e-6
    x += np.copysign(0.01, x)
    for a in slopes(rng, x.shape, np.float64):
        da = np.zeros_like(a)
        dx = kernels.prelu_backward(dy, x, a, da=da)
        want = dy * (kernels.prelu(x + h, a) - kernels.prelu(x - h, a)) / (2 * h)
        np.testing.assert_allclose(dx, want, atol=1e-8)
        for j in range(a.size):
            step = h * (np.arange(a.size) == j)
            change = kernels.prelu(x, a + step) - kernels.prelu(x, a - step)
            assert da[j] == pytest.approx((dy * change).sum() / (2 * h), abs=1e-7)


@pytest.mark.parametrize("slope", [0.01, 0.3, 1.0, 2.0, 0.0, -0.5])
def test_leaky_relu_with_any_slope(slope, real, rng):
    x, dy = normal(rng, (30, 41), real), normal(rng, (30, 41), real)
    y = kernels.leaky_relu(x, slope)
    np.testing.assert_array_equal(y, np.where(x > 0, x, real(slope) * x))
    dx = kernels.leaky_relu_backward(dy, x, slope)
    np.testing.assert_array_equal(dx, np.where(x > 0, dy, real(slope) * dy))
    if slope > 0:
        np.testing.assert_array_equal(kernels.leaky_relu_backward(dy, y, slope), dx)
    np.testing.assert_array_equal(kernels.prelu(x, np.array([slope], real)), y)


def test_any_layout(real, rng):
    x, dy, a = normal(rng, (21, 37), real), normal(rng, (21, 37), real), normal(rng, 37, real)
    wide = np.repeat(a, 2)
    for slope in (a, a[:1], wide[::2]):
        y, da = kernels.prelu(x, slope), np.zeros(slope.size, real)
        dx = kernels.prelu_backward(dy, x, slope, da=da)
        for name, view in layouts(x):
            assert kernels.prelu(view, slope).tobytes() == y.tobytes(), name
            again = np.zeros(slope.size, real)
            assert kernels.prelu_backward(dy, view, slope, da=again).tobytes() == dx.tobytes(), name
            assert again.tobytes() == da.tobytes(), name
        for name, out in layouts(np.full_like(x, np.nan)):
            assert kernels.prelu(x, slope, out=out) is out
            np.testing.assert_array_equal(out, y, err_msg=name)
            assert kernels.prelu_backward(dy, x, slope, out=out) is out
            np.testing.assert_array_equal(out, dx, err_msg=name)


def test_in_place_and_nothing_else_touched(real, rng):
    x, dy, a = normal(rng, (9, 190), real), normal(rng, (9, 190), real), normal(rng, 190, real)
    out, untouched = guarded(x.shape, real)
    y = kernels.prelu(x, a, out=out).copy()
    untouched()
    da, da_untouched = guarded(a.shape, real, 0)
    dx = kernels.prelu_backward(dy, x, a, out=out, da=da).copy()
    untouched()
    da_untouched()
    same = x.copy()
    np.testing.assert_array_equal(kernels.prelu(same, a, out=same), y)
    for k, arrays in enumerate([(dy.copy(), x), (dy, x.copy())]):
        again = np.zeros_like(a)
        np.testing.assert_array_equal(
            kernels.prelu_backward(*arrays, a, da=again, out=arrays[k]), dx
        )
        np.testing.assert_array_equal(again, da)


@pytest.mark.parametrize("shape", [(500, 333), (1, 200_001), (150_001,)], ids=str)
def test_same_bits_at_any_thread_count(shape, real, rng):
    x, dy = normal(rng, shape, real), normal(rng, shape, real)
    for a in slopes(rng, shape, real):
        results = set()
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                da = np.zeros_like(a)
                dx = kernels.prelu_backward(dy, x, a, da=da)
                results.add(kernels.prelu(x, a).tobytes() + dx.tobytes() + da.tobytes())
        assert len(results) == 1


def test_sums_do_not_depend_on_where_arrays_lie(real, rng):
    x, dy, a = normal(rng, 9000, real), normal(rng, 9000, real), normal(rng, 1, real)
    results = set()
    memory = np.zeros(9100, real)
    for start in range(0, 40, 3):
        da = np.zeros(1, real)
        kernels.prelu_backward(dy, x, a, da=da, out=memory[start : start + 9000])
        results.add(da.tobytes())
    assert len(results) == 1


def test_nan_and_inf(real):
    inf, nan = np.inf, np.nan
    x, ones = np.array([nan, -inf, inf, -0.0, 0.0], real), np.ones(5, real)
    a, da = np.array([0.5], real), np.zeros(5, real)
    np.testing.assert_array_equal(kernels.prelu(x, a), np.array([nan, -inf, inf, 0, 0], real))
    dx = kernels.prelu_backward(ones, x, np.repeat(a, 5), da=da)
    np.testing.assert_array_equal(dx, np.array([0.5, 0.5, 1, 0.5, 0.5], real))
    np.testing.assert_array_equal(da, np.array([nan, -inf, 0, 0, 0], real))


def test_against_pytorch(real, rng):
    torch = pytest.importorskip("torch")
    x, dy, a = normal(rng, (20, 30), real), normal(rng, (20, 30), real), normal(rng, 30, real)
    tx, ta = (torch.tensor(v, requires_grad=True) for v in (x, a))
    y = torch.nn.functional.prelu(tx, ta)
    y.backward(torch.tensor(dy))
    da = np.zeros_like(a)
    np.testing.assert_array_equal(kernels.prelu(x, a), y.detach().numpy())
    np.testing.assert_array_equal(kernels.prelu_backward(dy, x, a, da=da), tx.grad.numpy())
    np.testing.assert_allclose(da, ta.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=str)
def test_wrong_types(bad):
    good = np.ones(4, np.float32)
    for call in (
        lambda: kernels.prelu(bad, good),
        lambda: kernels.prelu(good, bad),
        lambda: kernels.prelu_backward(bad, good, good),
        lambda: kernels.prelu_backward(good, bad, good),
    ):
        with pytest.raises(TypeError, match="must be a NumPy array"):
            call()


def test_wrong_shapes_and_overlaps(real):
    x, a, dy = np.ones((4, 6), real), np.ones(6, real), np.ones((4, 6), real)
    for wrong in (np.ones(5, real), np.ones((1, 6), real), np.ones(0, real)):
        with pytest.raises(ValueError, match=r"a must have the shape \(1,\) or that of a row"):
            kernels.prelu(x, wrong)
        with pytest.raises(ValueError, match=r"a must have the shape \(1,\) or that of a row"):
            kernels.prelu_backward(dy, x, wrong)
    with pytest.raises(ValueError, match=r"out overlaps a"):
        kernels.prelu(np.ones(6, real), a, out=a)
    for da, message in (
        (np.ones(5, real), "da must have the shape of a"),
        (x[0], "da overlaps x"),
        (dy[0], "da overlaps dy"),
        (a, "da overlaps a"),
        (np.ones(12, real)[::2], "da must be C-contiguous"),
    ):
        before = da.copy()
        with pytest.raises(ValueError, match=message):
            kernels.prelu_backward(dy, x, a, da=da)
        np.testing.assert_array_equal(da, before)
    frozen = np.ones(6, real)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="da is read-only"):
        kernels.prelu_backward(dy, x, a, da=frozen)
