import numpy as np
import pytest

import fastnn
from fastnn.kernels import rotary

from .variants import WRONG_TYPES, guarded, misaligned, spaced

REALS = [np.float32, np.float64]
BOUND = {np.float32: 3e-7, np.float64: 4e-16}


def reference(x, start=0, base=10000.0, inverse=False):
    """In complex numbers of long doubles."""
    x = x.astype(np.longdouble)
    half = x.shape[-1] // 2
    rate = np.longdouble(base) ** (-np.arange(half, dtype=np.longdouble) / max(half, 1))
    positions = np.reshape(start, (-1, 1)) + np.arange(x.shape[2])
    angles = positions[:, None, :, None] * rate * (-1 if inverse else 1)
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], axis=-1)


def assert_turned(y, x, scale=1.0, **how):
    half = x.shape[-1] // 2
    length = np.hypot(x[..., :half], x[..., half:]).astype(float)
    bound = scale * BOUND[x.dtype.type] * np.concatenate([length, length], axis=-1)
    assert y.dtype == x.dtype and y.shape == x.shape
    assert (np.abs(y - reference(x, **how)) <= bound + np.finfo(x.dtype).tiny).all()


def normal(shape, real, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(real)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("d", [2, 6, 16, 30, 32, 64, 66, 128])
def test_sizes(real, d):
    x = normal((2, 3, 5, d), real)
    assert_turned(rotary(x), x, scale=20)
    assert_turned(rotary(x, start=70, base=500.0), x, scale=400, start=70, base=500.0)


@pytest.mark.parametrize("real", REALS)
def test_position_100000_is_as_good(real):
    x = normal((1, 1, 3, 64), real)
    limit = 1e-6 if real == np.float32 else 1e-10
    for start in (99_999, 131_071, 1_000_000):
        error = np.abs(rotary(x, start=start) - reference(x, start=start)).max()
        assert error <= limit * max(1, start / 1e5)


@pytest.mark.parametrize("real", REALS)
def test_starts_of_rows(real):
    x = normal((4, 2, 70, 8), real)
    starts = np.array([0, 3, 200, 17])
    y = rotary(x, start=starts)
    for b, start in enumerate(starts):
        assert (y[b : b + 1] == rotary(x[b : b + 1], start=int(start))).all()
    assert (rotary(x, start=starts.astype(np.uint8)) == y).all()
    far = starts + 10**6
    assert (rotary(x, start=far)[2:3] == rotary(x[2:3], start=200 + 10**6)).all()


@pytest.mark.parametrize("real", REALS)
def test_a_position_depends_on_nothing_else(real):
    x = normal((1, 2, 300, 16), real)
    whole = rotary(x)
    for t in (0, 63, 64, 257):
        assert (rotary(x[:, :, t : t + 1], start=t) == whole[:, :, t : t + 1]).all()


@pytest.mark.parametrize("real", REALS)
def test_products_depend_on_the_distance(real):
    q, k = normal((1, 1, 1, 32), real, 1), normal((1, 1, 1, 32), real, 2)
    scores = [(rotary(q, start=p + 5) * rotary(k, start=p)).sum(dtype=float) for p in (0, 10, 1000)]
    assert np.ptp(scores) < (1e-4 if real == np.float32 else 1e-12)


@pytest.mark.parametrize("real", REALS)
def test_inverse_is_the_gradient(real):
    x, dy = normal((2, 2, 3, 6), real), normal((2, 2, 3, 6), real, 1)
    dx = rotary(dy, start=4, inverse=True)
    assert_turned(dx, dy, scale=20, start=4, inverse=True)
    back = rotary(rotary(x, start=9), start=9, inverse=True)
    np.testing.assert_allclose(back, x, rtol=0, atol=10 * np.finfo(real).eps)
    if real == np.float64:
        step = np.zeros_like(x)
        step[1, 0, 2, 4] = 1e-3
        slope = ((rotary(x + step, start=4) - rotary(x - step, start=4)) * dy).sum() / 2e-3
        assert abs(slope - dx[1, 0, 2, 4]) < 1e-11


@pytest.mark.parametrize("real", REALS)
def test_views_of_one_projection_in_place(real):
    qkv = normal((2, 7, 3 * 24), real)
    before = qkv.copy()
    parts = [qkv[..., i * 24 : (i + 1) * 24].reshape(2, 7, 3, 8).swapaxes(1, 2) for i in range(3)]
    want = [rotary(part.copy(), start=2) for part in parts]
    for part in parts[:2]:
        assert rotary(part, start=2, out=part) is part
    assert (parts[0] == want[0]).all() and (parts[1] == want[1]).all()
    assert (qkv[..., 48:] == before[..., 48:]).all()


@pytest.mark.parametrize("real", REALS)
def test_strides_and_outputs(real):
    x = normal((2, 3, 5, 10), real)
    want = rotary(x)
    for y in (spaced(x), np.asfortranarray(x), x[:, :, ::-1].copy()[:, :, ::-1]):
        assert (rotary(y) == want).all()
        out, check = guarded(x.shape, real)
        assert rotary(y, out=out) is out and (out == want).all()
        check()
    out = np.zeros((2, 3, 5, 20), real)
    assert (rotary(x, out=out[..., ::2])[...] == want).all() and not out[..., 1::2].any()
    fortran = np.asfortranarray(x)
    assert (rotary(fortran, out=fortran) == want).all()


@pytest.mark.parametrize("real", REALS)
def test_threads_give_the_same_bits(real):
    x = normal((3, 4, 200, 64), real)
    starts = np.array([0, 9, 300])
    results = []
    for n in (1, 2, 3, 8):
        with fastnn.num_threads(n):
            results.append(rotary(x, start=starts))
    assert all((y == results[0]).all() for y in results)


@pytest.mark.parametrize("shape", [(0, 2, 3, 4), (2, 0, 3, 4), (2, 2, 0, 4), (2, 2, 3, 0)])
def test_empty(shape):
    assert rotary(np.ones(shape, np.float32)).shape == shape
    assert rotary(np.ones(shape, np.float32), start=np.arange(shape[0])).shape == shape


def test_nan_stays_in_its_pair():
    x = np.ones((1, 1, 2, 8), np.float32)
    x[0, 0, 0, 1] = np.nan
    y = rotary(x, start=1)
    assert np.isnan(y[0, 0, 0, [1, 5]]).all() and np.isnan(y).sum() == 2


def test_refusals():
    x = np.ones((2, 2, 3, 4), np.float32)
    for wrong in WRONG_TYPES:
        with pytest.raises(TypeError, match="rotary: x"):
            rotary(wrong)
    with pytest.raises(ValueError, match="rotary: x is not aligned"):
        rotary(misaligned(16, np.float32).reshape(1, 1, 4, 4))
    for shape in ((2, 3, 4), (2, 2, 3, 5), (4,)):
        with pytest.raises(ValueError, match="even size"):
            rotary(np.ones(shape, np.float32))
    for start in (-1, 2**53, 10**30, np.array([0, -1])):
        with pytest.raises(ValueError, match="start must be from 0"):
            rotary(x, start=start)
    with pytest.raises(ValueError, match=r"\(2,\) of the batch"):
        rotary(x, start=np.arange(3))
    for start in (1.5, None, "1", True):
        with pytest.raises(TypeError, match="start"):
            rotary(x, start=start)
    with pytest.raises(TypeError, match="start"):
        rotary(x, start=np.ones(2))
    for base in (0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="base"):
            rotary(x, base=base)
    for scalars in ({"base": "x"}, {"base": True}, {"inverse": "no"}):
        with pytest.raises(TypeError, match=f"rotary: {next(iter(scalars))} must be"):
            rotary(x, **scalars)
    with pytest.raises(TypeError, match="out"):
        rotary(x, out=x.astype(np.float64))
    with pytest.raises(ValueError, match="out"):
        rotary(x, out=np.ones((2, 2, 3, 6), np.float32))
    wide = np.ones((2, 2, 4, 4), np.float32)
    with pytest.raises(ValueError, match="overlaps"):
        rotary(wide[:, :, 1:], out=wide[:, :, :-1])
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        rotary(x, out=x)


@pytest.mark.parametrize("real", REALS)
def test_rates_of_ones_own(real):
    """Powers of the base give the same bits; fewer rates turn the first columns alone."""
    x = normal((2, 3, 5, 8), real)
    rates = np.array([500.0 ** (-2 * i / 8) for i in range(4)])
    want = rotary(x, start=7, base=500.0)
    np.testing.assert_array_equal(rotary(x, start=7, rates=rates), want)
    part = rotary(x, rates=rates[:2], factor=1.5)
    np.testing.assert_array_equal(part[..., 4:], x[..., 4:])
    turned = rotary(np.ascontiguousarray(x[..., :4]), rates=rates[:2])
    eps = np.finfo(real).eps
    np.testing.assert_allclose(part[..., :4], 1.5 * turned, rtol=0, atol=20 * eps)
    again = x.copy()
    np.testing.assert_array_equal(rotary(again, rates=rates[:2], factor=1.5, out=again), part)
    spread = spaced(x)
    np.testing.assert_array_equal(rotary(spread, rates=rates[:2], factor=1.5), part)


@pytest.mark.parametrize("rates", [np.ones(5), np.ones(0), np.ones((2, 2))])
def test_rates_that_do_not_fit(rates):
    with pytest.raises(ValueError, match=r"rates must have the shape \(n,\) with n from 1 to 4"):
        rotary(np.ones((1, 1, 2, 8)), rates=rates)
    with pytest.raises(TypeError, match="rates"):
        rotary(np.ones((1, 1, 2, 8)), rates=[1.0])
