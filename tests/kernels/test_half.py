"""bfloat16 and float16 against NumPy and their definition: all codes, and edges of rounding."""

import importlib.util

import numpy as np
import pytest

from fastnn import kernels

CODES = np.arange(1 << 16, dtype=np.uint16)
FORMATS = ("bf16", "f16")


def exact(format):
    """The float32 numbers of all codes, by the definition."""
    if format == "bf16":
        return (CODES.astype(np.uint32) << 16).view(np.float32)
    return CODES.view(np.float16).astype(np.float32)


def codes(y):
    return y.view(np.uint16)


def as_format(x, format):
    return x if format == "bf16" else x.view(np.float16)


def nearest(x, format):
    """Codes of x >= 0 that is finite: the nearer neighbor, the even one at ties."""
    last = 0x7F80 if format == "bf16" else 0x7C00
    grid = exact(format)[: last + 1].astype(float)
    grid[last] = 2.0 ** (128 if format == "bf16" else 16)  # what the next number would be
    upper = np.clip(np.searchsorted(grid, x.astype(float)), 1, last)
    lower = upper - 1
    down, up = x - grid[lower], grid[upper] - x
    even = np.where(lower % 2 == 0, lower, upper)
    return np.where(down < up, lower, np.where(up < down, upper, even)).astype(np.uint16)


@pytest.mark.parametrize("format", FORMATS)
def test_all_codes_are_widened_and_rounded_back(format):
    wide = kernels.widen(as_format(CODES, format))
    expected = exact(format)
    nan = np.isnan(expected)
    np.testing.assert_array_equal(wide.view(np.uint32)[~nan], expected.view(np.uint32)[~nan])
    assert (np.isnan(wide) == nan).all()
    back = codes(kernels.narrow(wide, format))
    np.testing.assert_array_equal(back[~nan], CODES[~nan])
    assert np.isnan(kernels.widen(as_format(back, format))[nan]).all()
    np.testing.assert_array_equal(back[nan] >> 15, CODES[nan] >> 15)  # the sign of NaN


@pytest.mark.parametrize("format", FORMATS)
def test_edges_of_rounding(format):
    """At each tie between neighbors, one step of float32 below and above it, and elsewhere."""
    grid = exact(format)[: 0x7F80 if format == "bf16" else 0x7C00].astype(float)
    ties = ((grid[:-1] + grid[1:]) / 2).astype(np.float32)
    largest = np.float32([65519.99, 65520, 3.4028235e38, 1e-45, 0, 2.0**-25, 2.0**-126])
    rng = np.random.default_rng(0)
    anywhere = rng.integers(0, 0x7F800000, 100_000, dtype=np.uint32).view(np.float32)
    beside = [np.nextafter(ties, np.float32(end)) for end in (0, np.inf)]
    x = np.concatenate([ties, *beside, largest, anywhere])
    x = x[np.isfinite(x)]
    found = codes(kernels.narrow(x, format))
    np.testing.assert_array_equal(found, nearest(x, format))
    np.testing.assert_array_equal(codes(kernels.narrow(-x, format)), found | 0x8000)
    if format == "f16":
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(found, codes(x.astype(np.float16)))


@pytest.mark.parametrize("format", FORMATS)
def test_infinite_and_nan(format):
    x = np.float32([np.inf, -np.inf, np.nan])
    payload = np.uint32([0x7F800001, 0xFF800001, 0x7FFFFFFF]).view(np.float32)
    y = kernels.widen(kernels.narrow(np.concatenate([x, payload]), format))
    np.testing.assert_array_equal(y[:2], x[:2])
    assert np.isnan(y[2:]).all()


def test_shapes_strides_threads_and_byte_order():
    x = np.random.default_rng(1).standard_normal((5, 7, 301)).astype(np.float32)
    for view in (x, x[::2, ::-1, ::3], x.T, x[:0], x[0, 0, 0, None][0:1].reshape(())):
        for format in FORMATS:
            y = kernels.narrow(view, format)
            assert y.shape == view.shape
            np.testing.assert_array_equal(y, kernels.narrow(np.ascontiguousarray(view), format))
            np.testing.assert_allclose(kernels.widen(y), view, rtol=2.0**-8, atol=1e-7)
    half = x.astype(np.float16)
    swapped = half.astype(half.dtype.newbyteorder())
    np.testing.assert_array_equal(kernels.widen(swapped), half.astype(np.float32))
    np.testing.assert_array_equal(kernels.widen(half[:, ::2]), half[:, ::2].astype(np.float32))
    big = np.random.default_rng(2).standard_normal(300_001).astype(np.float32)
    found = set()
    for threads in (1, 2, 3, 8):
        with kernels.num_threads(threads):
            found.add(kernels.narrow(big).tobytes())
    assert len(found) == 1


def test_refusals():
    with pytest.raises(TypeError, match="narrow: x is"):
        kernels.narrow(np.ones(3))
    with pytest.raises(ValueError, match="format"):
        kernels.narrow(np.ones(3, np.float32), "f8")
    with pytest.raises(TypeError, match="widen: x must be an array of float16 or bfloat16"):
        kernels.widen(np.ones(3, np.float32))


@pytest.mark.skipif(not importlib.util.find_spec("ml_dtypes"), reason="needs ml_dtypes")
def test_against_ml_dtypes():
    import ml_dtypes

    rng = np.random.default_rng(3)
    x = rng.integers(0, 1 << 32, 200_000, dtype=np.uint32).view(np.float32)
    x = x[~np.isnan(x)]
    with np.errstate(over="ignore"):
        expected = x.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(kernels.narrow(x), expected.view(np.uint16))
    np.testing.assert_array_equal(kernels.widen(expected), expected.astype(np.float32))
