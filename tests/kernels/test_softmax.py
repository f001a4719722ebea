"""Softmax and log-softmax, forward and backward: float64, PyTorch, layouts, threads, errors."""

import numpy as np
import pytest

import fastnn
from fastnn import log_softmax, log_softmax_backward, softmax, softmax_backward

from .variants import WRONG_TYPES, guarded, layouts, spaced

SHAPES = [
    (),
    (0,),
    (1,),
    (3,),
    (5, 0),
    (0, 5),
    (1, 1),
    (2, 3),
    (4, 16),
    (7, 17),
    (3, 5, 33),
    (2, 1000),
    (300, 67),
    (1, 70001),
]


def softmax_64(x):
    x = np.atleast_1d(x).astype(np.float64)
    if x.shape[-1] == 0:
        return x
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def normal(rng, shape, real):
    return np.array(3 * rng.standard_normal(shape), real)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_softmax(shape, real, rng, n_threads):
    x, dy = normal(rng, shape, real), normal(rng, shape, real)
    y = softmax(x)
    eps = float(np.finfo(real).eps)
    want = softmax_64(x).reshape(shape)
    assert y.dtype == real and y.shape == x.shape
    np.testing.assert_allclose(y, want, rtol=16 * eps, atol=0)
    if y.size:
        np.testing.assert_allclose(y.sum(-1), 1, rtol=64 * eps)
        np.testing.assert_allclose(softmax(np.array(x + 8, real)), want, rtol=200 * eps)
        w64, dy64 = np.atleast_1d(want), np.atleast_1d(dy).astype(np.float64)
        dx = (w64 * (dy64 - (w64 * dy64).sum(-1, keepdims=True))).reshape(shape)
        np.testing.assert_allclose(softmax_backward(dy, y), dx, rtol=0, atol=64 * eps)


def test_softmax_gradient_by_central_differences(rng):
    x, dy, h = rng.standard_normal((4, 7)), rng.standard_normal((4, 7)), 1e-6
    got = softmax_backward(dy, softmax(x))
    want = np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        want[i] = ((softmax(up) - softmax(down)) * dy).sum() / (2 * h)
    assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_log_softmax(shape, real, rng, n_threads):
    x, dy = normal(rng, shape, real), normal(rng, shape, real)
    y = log_softmax(x)
    eps = float(np.finfo(real).eps)
    p = softmax_64(x)
    assert y.dtype == real and y.shape == x.shape
    with np.errstate(divide="ignore"):
        want = np.log(p).reshape(shape)
    np.testing.assert_allclose(y, want, rtol=16 * eps, atol=16 * eps)
    if y.size:
        dy64 = np.atleast_1d(dy).astype(np.float64)
        total = dy64.sum(-1, keepdims=True)
        dx = (dy64 - np.exp(np.atleast_1d(y).astype(np.float64)) * total).reshape(shape)
        bound = 64 * eps * max(1, np.abs(total).max())
        np.testing.assert_allclose(log_softmax_backward(dy, y), dx, rtol=0, atol=bound)


def test_log_softmax_gradient_by_central_differences(rng):
    x, dy, h = rng.standard_normal((4, 7)), rng.standard_normal((4, 7)), 1e-6
    got = log_softmax_backward(dy, log_softmax(x))
    want = np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        want[i] = ((log_softmax(up) - log_softmax(down)) * dy).sum() / (2 * h)
    assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max()


@pytest.mark.parametrize("shape", [(3, 5), (9, 64), (4, 1000)], ids=str)
def test_against_pytorch(shape, real, rng):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    x, dy = normal(rng, shape, real), normal(rng, shape, real)
    x[0, :2] = [-np.inf, 30]
    tolerance = (
        {"rtol": 3e-6, "atol": 1e-6} if real == np.float32 else {"rtol": 1e-13, "atol": 1e-14}
    )
    for ours, backward, theirs in (
        (softmax, softmax_backward, torch.softmax),
        (log_softmax, log_softmax_backward, torch.log_softmax),
    ):
        leaf = torch.tensor(x, requires_grad=True)
        want = theirs(leaf, -1)
        want.backward(torch.tensor(dy))
        y = ours(x)
        np.testing.assert_allclose(y, want.detach().numpy(), **tolerance)
        np.testing.assert_allclose(
            backward(dy, y), leaf.grad.numpy(), rtol=0, atol=3e-5 if real == np.float32 else 1e-13
        )


def test_exp_over_its_range(real, rng):
    """Rows [0, -t]: the second entry is exp(-t) / (1 + exp(-t)), down to subnormals and 0."""
    deepest = 120 if real is np.float32 else 800
    t = np.concatenate([np.linspace(0, deepest, 40001), rng.uniform(0, deepest, 40000)]).astype(
        real
    )
    y = softmax(np.stack([np.zeros_like(t), -t], 1))[:, 1]
    e = np.exp(-t.astype(np.longdouble))
    want = e / (1 + e)
    info = np.finfo(real)
    spacing = np.maximum(want.astype(np.float64) * info.eps, float(info.smallest_subnormal))
    assert (np.abs(y - want) <= 2.5 * spacing).all()
    assert (y[t > (104.5 if real is np.float32 else 746)] == 0).all()


def test_special_values(real):
    inf, nan = np.inf, np.nan
    x = np.array(
        [[0, 1, -inf], [nan, 1, 2], [inf, 1, 2], [-inf, -inf, -inf], [3e4, 3e4, -3e4]], real
    )
    y = softmax(x)
    np.testing.assert_allclose(y[0], [1 / (1 + np.e), np.e / (1 + np.e), 0], rtol=1e-6)
    assert np.isnan(y[1]).all() and np.isnan(y[2]).all() and np.isnan(y[3]).all()
    np.testing.assert_array_equal(y[4], np.array([0.5, 0.5, 0], real))


def test_special_values_of_log_softmax(real):
    inf, nan = np.inf, np.nan
    big = 1e30 if real is np.float32 else 1e300
    x = np.array([[0, 1, -inf], [nan, 1, 2], [inf, 1, 2], [-inf, -inf, -inf], [big, 0, -big]], real)
    y = log_softmax(x)
    np.testing.assert_allclose(y[0], [-np.log(1 + np.e), 1 - np.log(1 + np.e), -inf], rtol=1e-6)
    assert np.isnan(y[1:4]).all()
    np.testing.assert_array_equal(y[4], np.array([0, -big, -2 * big], real))
    dx = log_softmax_backward(np.ones((1, 3), real), y[:1])
    np.testing.assert_allclose(dx[0, 2], 1, rtol=1e-6)


@pytest.mark.parametrize("cols", [3, 16, 17, 64, 130, 300])
def test_a_row_does_not_depend_on_its_company(cols, real, rng):
    """Short rows are processed four at a time."""
    x, dy = normal(rng, (11, cols), real), normal(rng, (11, cols), real)
    for forward, backward in ((softmax, softmax_backward), (log_softmax, log_softmax_backward)):
        y = forward(x)
        dx = backward(dy, y)
        for i in range(11):
            np.testing.assert_array_equal(forward(x[i]), y[i])
            np.testing.assert_array_equal(backward(dy[i], y[i]), dx[i])


PAIRS = pytest.mark.parametrize(
    "forward, backward",
    [(softmax, softmax_backward), (log_softmax, log_softmax_backward)],
    ids=["softmax", "log_softmax"],
)


@PAIRS
def test_any_layout_in_and_out(forward, backward, real, rng):
    x, dy = normal(rng, (21, 37), real), normal(rng, (21, 37), real)
    plain = forward(x)
    for name, view in layouts(x):
        np.testing.assert_array_equal(forward(view), plain, err_msg=name)
    for name, out in layouts(np.full_like(x, np.nan)):
        assert forward(x, out=out) is out
        np.testing.assert_array_equal(out, plain, err_msg=name)
    y = plain
    plain = backward(dy, y)
    for name, view in layouts(dy):
        np.testing.assert_array_equal(backward(view, y), plain, err_msg=name)
        np.testing.assert_array_equal(backward(view, spaced(y)), plain, err_msg=name)
    for name, out in layouts(np.full_like(x, np.nan)):
        assert backward(dy, y, out=out) is out
        np.testing.assert_array_equal(out, plain, err_msg=name)


@PAIRS
def test_in_place_and_nothing_else_touched(forward, backward, real, rng):
    x, dy = normal(rng, (9, 19), real), normal(rng, (9, 19), real)
    out, untouched = guarded(x.shape, real)
    y = forward(x, out=out).copy()
    untouched()
    for _, same in layouts(x.copy()):
        np.testing.assert_array_equal(forward(same, out=same), y)
    out, untouched = guarded(x.shape, real)
    plain = backward(dy, y, out=out).copy()
    untouched()
    same = dy.copy()
    np.testing.assert_array_equal(backward(same, y, out=same), plain)
    same = y.copy()
    np.testing.assert_array_equal(backward(dy, same, out=same), plain)


@PAIRS
@pytest.mark.parametrize("shape", [(500, 333), (2001, 19)], ids=str)
def test_same_bits_at_any_thread_count(forward, backward, shape, real, rng):
    x, dy = normal(rng, shape, real), normal(rng, shape, real)
    y = forward(x)
    for call in (lambda: forward(x), lambda: backward(dy, y)):
        results = set()
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                results.add(call().tobytes())
        assert len(results) == 1


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=str)
def test_wrong_types(bad):
    good = np.ones(4, np.float32)
    with pytest.raises(TypeError, match="x must be a NumPy array"):
        softmax(bad)
    with pytest.raises(TypeError, match="dy must be a NumPy array"):
        softmax_backward(bad, good)
    with pytest.raises(TypeError, match="y must be a NumPy array"):
        softmax_backward(good, bad)


def test_wrong_outputs_and_shapes():
    x = np.ones((4, 6), np.float32)
    frozen = np.ones((4, 6), np.float32)
    frozen.flags.writeable = False
    memory = np.ones((8, 6), np.float32)
    for call in (
        lambda a, out: softmax(a, out=out),
        lambda a, out: softmax_backward(a, x, out=out),
    ):
        with pytest.raises(ValueError, match="out is read-only"):
            call(x, frozen)
        with pytest.raises(
            ValueError, match=r"out must have the shape of .*, \(4, 6\), got \(6, 4\)"
        ):
            call(x, np.ones((6, 4), np.float32))
        with pytest.raises(TypeError, match="out is of float64"):
            call(x, np.ones((4, 6)))
        with pytest.raises(ValueError, match="out overlaps"):
            call(memory[:4], memory[1:5])
    with pytest.raises(ValueError, match=r"y must have the shape of dy, \(4, 6\), got \(4, 5\)"):
        softmax_backward(x, np.ones((4, 5), np.float32))


def test_accuracy_far_below_the_maximum(real, rng):
    x = rng.uniform(-80, 0, (5, 400)).astype(real)
    below = x.max(-1, keepdims=True).astype(np.float64) - x
    wide = x.astype(np.longdouble)
    want = np.exp(wide - wide.max(-1, keepdims=True))
    want /= want.sum(-1, keepdims=True)
    bound = (16 + below / 2) * float(np.finfo(real).eps)
    assert (np.abs(softmax(x) / want - 1) <= bound).all()
