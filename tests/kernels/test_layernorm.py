"""Layer norm, RMS norm, add & norm: float64, central differences, layouts, threads, errors."""

import numpy as np
import pytest

import fastnn
from fastnn import (
    add_norm,
    add_norm_backward,
    dropout,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)

from .variants import WRONG_TYPES, guarded, layouts, spaced

EPS = {"layer": 1e-5, "rms": 1e-6}
FORWARD = {"layer": layer_norm, "rms": rms_norm}
BACKWARD = {"layer": layer_norm_backward, "rms": rms_norm_backward}
SHAPES = [
    (1, 1),
    (3, 1),
    (2, 3),
    (4, 16),
    (5, 17),
    (3, 5, 33),
    (7, 64),
    (2, 9001),
    (150, 67),
    (70, 300),
]
kinds = pytest.mark.parametrize("kind", ["layer", "rms"])


def reference(kind, x, weight=None, bias=None):
    """y, xhat and 1 / deviation in float64, or more for float64."""
    x = x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)
    centred = x - x.mean(-1, keepdims=True) if kind == "layer" else x
    rstd = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS[kind])
    xhat = centred * rstd
    y = xhat if weight is None else xhat * weight
    return (y if bias is None else y + bias), xhat, rstd


def reference_backward(kind, dy, x, weight=None):
    """dx, dweight and dbias in float64."""
    _, xhat, rstd = reference(kind, x)
    dy = dy.astype(np.float64)
    g = dy if weight is None else dy * weight
    mean = g.mean(-1, keepdims=True) if kind == "layer" else 0
    dx = (g - mean - xhat * (g * xhat).mean(-1, keepdims=True)) * rstd
    over_rows = tuple(range(dy.ndim - 1))
    return dx, (dy * xhat).sum(over_rows), dy.sum(over_rows)


def normal(rng, shape, real):
    return np.array(rng.standard_normal(shape) + 0.5, real)


def new_stats(x):
    return np.full((x.size // x.shape[-1], 3), np.nan, x.dtype)


def close(found, want, scale=20):
    """Within `scale` epsilons of the largest magnitude (at least 1)."""
    bound = scale * float(np.finfo(found.dtype).eps) * max(1.0, np.abs(want).max(initial=0))
    assert found.shape == want.shape
    assert np.abs(found - want).max(initial=0) <= bound


@kinds
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_float64(kind, shape, affine, real, rng, n_threads):
    x, dy = normal(rng, shape, real), normal(rng, shape, real)
    n, stats = shape[-1], new_stats(x)
    weight, bias = (normal(rng, n, real), normal(rng, n, real)) if affine else (None, None)
    args = (weight, bias) if kind == "layer" else (weight,)
    y = FORWARD[kind](x, *args, stats=stats)
    close(y, reference(kind, x, *args)[0])
    np.testing.assert_array_equal(FORWARD[kind](x, *args), y)
    dweight, dbias = np.full(n, 2, real), np.full(n, 3, real)
    sums = {"dweight": dweight, "dbias": dbias} if kind == "layer" else {"dweight": dweight}
    dx = BACKWARD[kind](dy, x, stats, weight, **sums)
    want, want_dweight, want_dbias = reference_backward(kind, dy, x, weight)
    close(dx, want, 200 if n == 1 else 40)
    close(dweight - 2, want_dweight, 100)
    if kind == "layer":
        close(dbias - 3, want_dbias, 100)
    np.testing.assert_array_equal(BACKWARD[kind](dy, x, stats, weight), dx)


@kinds
@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_add_norm(kind, p, real, rng, n_threads):
    shape = (3, 37, 50)
    x, residual, dy, dh = (normal(rng, shape, real) for _ in range(4))
    weight, bias = normal(rng, 50, real), normal(rng, 50, real)
    how = {"kind": kind, "p": p, "seed": 3, "step": 5}
    h, stats = np.empty_like(x), new_stats(x)
    y = add_norm(x, residual, weight, bias, eps=EPS[kind], h=h, stats=stats, **how)
    total = residual + dropout(x, p, seed=3, step=5)
    close(h, total.astype(np.float64), 1)
    close(y, reference(kind, h, weight, bias)[0])
    np.testing.assert_array_equal(add_norm(x, residual, weight, bias, eps=EPS[kind], **how), y)
    dweight, dbias = np.zeros(50, real), np.zeros(50, real)
    dx, dresidual = add_norm_backward(
        dy, h, stats, weight, dh=dh, dweight=dweight, dbias=dbias, **how
    )
    want, want_dweight, want_dbias = reference_backward(kind, dy, h, weight)
    close(dresidual, want + dh, 40)
    np.testing.assert_array_equal(dx, dropout(dresidual, p, seed=3, step=5))
    close(dweight, want_dweight, 100)
    close(dbias, want_dbias, 100)
    without = add_norm_backward(dy, h, stats, weight, **how)[1]
    close(without, want, 40)
    assert (dx is dresidual) == (p == 0)


@kinds
def test_gradients_by_central_differences(kind, rng):
    x, residual, dy, dh = (rng.standard_normal((3, 6)) for _ in range(4))
    weight, bias = rng.standard_normal(6), rng.standard_normal(6)
    how = {"kind": kind, "p": 0.3, "seed": 1, "step": 0}
    h, stats = np.empty_like(x), new_stats(x)

    def contracted():
        y = add_norm(x, residual, weight, bias, h=h, stats=stats, **how)
        return (y * dy).sum() + (h * dh).sum()

    contracted()
    dweight, dbias = np.zeros(6), np.zeros(6)
    dx, dresidual = add_norm_backward(
        dy, h, stats, weight, dh=dh, dweight=dweight, dbias=dbias, **how
    )
    step = 1e-6
    for array, gradient in ((x, dx), (residual, dresidual), (weight, dweight), (bias, dbias)):
        want = np.empty_like(array)
        for i in np.ndindex(array.shape):
            value = array[i]
            array[i] = value + step
            above = contracted()
            array[i] = value - step
            want[i] = (above - contracted()) / (2 * step)
            array[i] = value
        assert np.abs(gradient - want).max() <= 1e-7 * max(1, np.abs(want).max())


def test_a_large_mean_costs_nothing(real, rng):
    """In float32, the rounded mean would be off by 5e-4 deviations."""
    x = np.array(1e4 + rng.standard_normal((8, 1000)), real)
    close(layer_norm(x), reference("layer", x)[0], 8)
    stats = new_stats(x)
    layer_norm(x, stats=stats)
    dy = normal(rng, x.shape, real)
    close(layer_norm_backward(dy, x, stats), reference_backward("layer", dy, x)[0], 40)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3e4, 1e30, -3e38])
@pytest.mark.parametrize("n", [1, 5, 77, 5000])
def test_constant_rows_give_the_bias(value, n, real):
    x, bias = np.full((5, n), value, real), np.linspace(-1, 1, n).astype(real)
    np.testing.assert_array_equal(layer_norm(x, None, bias), np.broadcast_to(bias, x.shape))


@kinds
def test_magnitudes_near_the_ends_of_the_range(kind, real, rng):
    """Squares overflow from 1e19 on in float32, from 1e154 in float64."""
    x = rng.standard_normal((5, 100))
    for exponent in (18, 30, 37) if real is np.float32 else (150, 200, 306):
        large = np.array(x * 10.0**exponent, real)
        want = reference(kind, large.astype(np.longdouble) / 10.0**exponent)[0]
        np.testing.assert_allclose(FORWARD[kind](large), want, rtol=0, atol=2e-4)
    tiny = np.array(x * np.finfo(real).tiny, real)
    y = FORWARD[kind](tiny)
    assert np.isfinite(y).all() and np.abs(y).max() < 1e-20


def test_nan_and_infinity(real):
    inf, nan = np.inf, np.nan
    x = np.array([[1, 2, 4], [nan, 1, 2], [inf, 1, 2], [-inf, inf, 0], [4, 2, 1]], real)
    y = layer_norm(x)
    assert np.isnan(y[1:4]).all() and np.isfinite(y[[0, 4]]).all()
    y = rms_norm(x)
    assert np.isnan(y[1]).all() and np.isfinite(y[[0, 4]]).all()
    np.testing.assert_array_equal(y[2], np.array([nan, 0, 0], real))


def test_the_book(real):
    """*Dive into Deep Learning*, section 11.7.3."""
    y = layer_norm(np.array([[1, 2], [2, 3]], real))
    np.testing.assert_allclose(y, [[-1, 1], [-1, 1]], rtol=1e-4)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (0, 3)], ids=str)
def test_no_elements_and_0_d(shape, real):
    x = np.ones(shape, real)
    n = shape[-1] if shape else 1
    stats = np.zeros((int(np.prod(shape[:-1])), 3), real)
    assert layer_norm(x, np.ones(n, real), np.zeros(n, real), stats=stats).shape == shape
    dweight = np.ones(n, real)
    assert layer_norm_backward(x, x, stats, dweight=dweight).shape == shape
    assert (dweight == 1).all()
    assert add_norm(x, x, p=0.5).shape == shape


@kinds
def test_any_layout_in_and_out(kind, real, rng):
    x, dy, dh = (normal(rng, (21, 37), real) for _ in range(3))
    weight, stats = normal(rng, 37, real), new_stats(x)
    plain = FORWARD[kind](x, weight, stats=stats)
    for name, view in layouts(x):
        np.testing.assert_array_equal(FORWARD[kind](view, spaced(weight)), plain, err_msg=name)
    for name, out in layouts(np.full_like(x, np.nan)):
        assert FORWARD[kind](x, weight, out=out) is out
        np.testing.assert_array_equal(out, plain, err_msg=name)
    plain = BACKWARD[kind](dy, x, stats, weight)
    for name, view in layouts(dy):
        got = BACKWARD[kind](view, spaced(x), stats, spaced(weight))
        np.testing.assert_array_equal(got, plain, err_msg=name)
    for name, out in layouts(np.full_like(x, np.nan)):
        assert BACKWARD[kind](dy, x, stats, weight, out=out) is out
        np.testing.assert_array_equal(out, plain, err_msg=name)
    how = {"kind": kind, "p": 0.3}
    h = np.empty_like(x)
    plain = add_norm(x, dy, weight, h=h, stats=stats, **how)
    both = add_norm_backward(dy, h, stats, weight, dh=dh, **how)
    for name, view in layouts(dy):
        out, total = spaced(x), spaced(x)
        add_norm(spaced(x), view, weight, out=out, h=total, **how)
        np.testing.assert_array_equal(out, plain, err_msg=name)
        np.testing.assert_array_equal(total, h, err_msg=name)
        got = add_norm_backward(view, spaced(h), stats, weight, dh=spaced(dh), **how)
        np.testing.assert_array_equal(got, both, err_msg=name)


@kinds
def test_in_place_and_nothing_else_touched(kind, real, rng):
    x, dy = normal(rng, (9, 19), real), normal(rng, (9, 19), real)
    stats = new_stats(x)
    out, untouched = guarded(x.shape, real)
    plain = FORWARD[kind](x, out=out, stats=stats).copy()
    untouched()
    for _, same in layouts(x.copy()):
        np.testing.assert_array_equal(FORWARD[kind](same, out=same), plain)
    plain = BACKWARD[kind](dy, x, stats)
    for given in (dy.copy(), x.copy()):
        got = BACKWARD[kind](
            given if (given == dy).all() else dy,
            given if (given == x).all() else x,
            stats,
            out=given,
        )
        np.testing.assert_array_equal(got, plain)
    plain = add_norm(x, dy, kind=kind, p=0.2)
    for a, b in ((x.copy(), dy.copy()), (x.copy(), dy.copy())):
        h, untouched = guarded(x.shape, real)
        np.testing.assert_array_equal(add_norm(a, b, kind=kind, p=0.2, h=h, out=a), plain)
        untouched()
    a, b = x.copy(), dy.copy()
    np.testing.assert_array_equal(add_norm(a, b, kind=kind, p=0.2, out=b), plain)
    b = dy.copy()
    np.testing.assert_array_equal(add_norm(a, b, kind=kind, p=0.2, h=a, out=b), plain)


@kinds
@pytest.mark.parametrize("shape", [(500, 333), (63, 1024), (2100, 1024)], ids=str)
def test_same_bits_at_any_thread_count_and_batch_size(kind, shape, real, rng):
    """The last shape is large enough for non-temporal stores."""
    x, dy = normal(rng, shape, real), normal(rng, shape, real)
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            stats, dweight = new_stats(x), np.zeros(shape[1], real)
            y = FORWARD[kind](x, stats=stats)
            dx = BACKWARD[kind](dy, x, stats, dweight=dweight)
            results.add((y.tobytes(), stats.tobytes(), dx.tobytes(), dweight.tobytes()))
    assert len(results) == 1
    for rows in (slice(0, 1), slice(3, 8), slice(-7, None)):
        np.testing.assert_array_equal(FORWARD[kind](x[rows]), y[rows])
        np.testing.assert_array_equal(BACKWARD[kind](dy[rows], x[rows], stats[rows]), dx[rows])


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=str)
def test_wrong_types(bad):
    good, stats = np.ones(4, np.float32), np.ones((1, 3), np.float32)
    with pytest.raises(TypeError, match="layer_norm: x must be a NumPy array"):
        layer_norm(bad)
    with pytest.raises(TypeError, match="rms_norm: x must be a NumPy array"):
        rms_norm(bad)
    with pytest.raises(TypeError, match="residual must be a NumPy array"):
        add_norm(good, bad)
    with pytest.raises(TypeError, match="dy must be a NumPy array"):
        layer_norm_backward(bad, good, stats)
    with pytest.raises(TypeError, match="x must be a NumPy array"):
        layer_norm_backward(good, bad, stats)
    with pytest.raises(TypeError, match="stats must be a NumPy array"):
        layer_norm_backward(good, good, bad)
    if bad is not None:
        with pytest.raises(TypeError, match="weight must be a NumPy array"):
            layer_norm(good, bad)


def test_wrong_arguments():
    x, w = np.ones((4, 6), np.float32), np.ones(6, np.float32)
    stats, memory = np.ones((4, 3), np.float32), np.ones((8, 6), np.float32)
    for eps in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="eps must be above 0"):
            layer_norm(x, eps=eps)
    with pytest.raises(TypeError, match="eps must be a number"):
        layer_norm(x, eps="1")
    with pytest.raises(ValueError, match=r"bias must have the shape \(6,\).*got \(5,\)"):
        layer_norm(x, w, w[:5])
    with pytest.raises(TypeError, match="weight is of float64"):
        layer_norm(x, w.astype(np.float64))
    with pytest.raises(ValueError, match=r"stats must have the shape \(4, 3\).*got \(3, 4\)"):
        layer_norm(x, stats=np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match=r"residual must have the shape of x, \(4, 6\), got"):
        add_norm(x, x.T)
    with pytest.raises(ValueError, match="kind must be 'layer' or 'rms', got 'batch'"):
        add_norm(x, x, kind="batch")
    with pytest.raises(ValueError, match="p must be from 0 to 1"):
        add_norm(x, x, p=1.5)
    with pytest.raises(ValueError, match="dweight must be contiguous"):
        layer_norm_backward(x, x, stats, dweight=np.ones(12, np.float32)[::2])
    with pytest.raises(ValueError, match="dbias overlaps dweight"):
        layer_norm_backward(x, x, stats, dweight=w, dbias=w)
    with pytest.raises(ValueError, match="dweight overlaps weight"):
        layer_norm_backward(x, x, stats, w, dweight=w)
    with pytest.raises(ValueError, match="out overlaps x"):
        layer_norm(memory[:4], out=memory[1:5])
    with pytest.raises(ValueError, match="h overlaps out"):
        add_norm(x, x.copy(), h=memory[:4], out=memory[:4])
    with pytest.raises(ValueError, match="stats overlaps x"):
        layer_norm(memory[:4], stats=memory[:2].reshape(4, 3))
    frozen = np.ones(6, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="dbias is read-only"):
        layer_norm_backward(x, x, stats, dbias=frozen)


def test_against_pytorch(real, rng):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    x, dy = normal(rng, (20, 48), real), normal(rng, (20, 48), real)
    weight, bias, stats = normal(rng, 48, real), normal(rng, 48, real), new_stats(x)
    tensors = [torch.from_numpy(a.copy()).requires_grad_() for a in (x, weight, bias)]
    y = torch.nn.functional.layer_norm(tensors[0], (48,), *tensors[1:], eps=1e-5)
    gradients = torch.autograd.grad(y, tensors, torch.from_numpy(dy))
    close(layer_norm(x, weight, bias, stats=stats), y.detach().numpy(), 40)
    dweight, dbias = np.zeros(48, real), np.zeros(48, real)
    dx = layer_norm_backward(dy, x, stats, weight, dweight=dweight, dbias=dbias)
    for found, want in zip((dx, dweight, dbias), gradients, strict=True):
        close(found, want.numpy(), 100)
    y = torch.rms_norm(tensors[0], (48,), tensors[1], 1e-6)
    gradients = torch.autograd.grad(y, tensors[:2], torch.from_numpy(dy))
    close(rms_norm(x, weight, stats=stats), y.detach().numpy(), 40)
    dweight = np.zeros(48, real)
    dx = rms_norm_backward(dy, x, stats, weight, dweight=dweight)
    for found, want in zip((dx, dweight), gradients, strict=True):
        close(found, want.numpy(), 100)


@kinds
def test_constant_rows_with_a_tiny_eps(kind, real):
    x = np.full((5, 7), 3 if kind == "layer" else 0, real)
    x[1, 1] = np.nan
    stats = new_stats(x)
    y = FORWARD[kind](x, eps=1e-300, stats=stats)
    others = [0, 2, 3, 4]
    assert np.isnan(y[1]).all() and (y[others] == 0).all()
    assert np.isfinite(stats[others]).all()
