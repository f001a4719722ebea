"""Activations, forward and backward: references in wider types, special values, layouts."""

import math

import numpy as np
import pytest

import fastnn
from fastnn import kernels

from .variants import WRONG_TYPES, guarded, layouts, spaced

# name -> (forward, backward, True if backward reads the output)
ACTIVATIONS = kernels.ACTIVATIONS | {
    "leaky_relu": (kernels.leaky_relu, kernels.leaky_relu_backward, True)
}
NAMES = list(ACTIVATIONS)
FORWARD = [pytest.param(forward, id=name) for name, (forward, _, _) in ACTIVATIONS.items()]
BACKWARD = [pytest.param(backward, id=name) for name, (_, backward, _) in ACTIVATIONS.items()]

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
    (300, 67),
    (1, 70001),
]


def wide(x):
    """x in the widest type for which NumPy has the functions."""
    return np.asarray(x, np.longdouble)


def sigmoid_reference(x):
    x = wide(x)
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def gelu_tanh_argument(z):
    """2u where gelu_tanh(z) = z (1 + tanh u) / 2 = z sigmoid(2u)."""
    return 2 * np.sqrt(2 / wide(np.pi)) * (wide(z) + wide(0.044715) * wide(z) ** 3)


def normal_cdf(z):
    """In float64: accurate to some 1e-15, relative, where z is not far below 0."""
    z = np.asarray(z, np.float64)
    return np.reshape([math.erfc(-v / math.sqrt(2)) / 2 for v in z.ravel()], z.shape)


def reference(name, z):
    """(act(z), act'(z)) in a wide type; z is finite."""
    real, z = z.dtype.type, wide(z)
    s = sigmoid_reference(z)
    if name == "relu":
        return np.maximum(z, 0), np.where(z > 0, 1, 0)
    if name == "leaky_relu":
        slope = np.where(z > 0, 1, wide(real(0.01)))
        return slope * z, slope
    if name == "softplus":
        return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))), s
    if name == "tanh":
        return np.tanh(z), 1 - np.tanh(z) ** 2
    if name == "sigmoid":
        return s, s * (1 - s)
    if name == "silu":
        return z * s, s + z * s * (1 - s)
    if name == "gelu":
        phi = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        return z * normal_cdf(z), normal_cdf(z) + z * phi
    s = sigmoid_reference(gelu_tanh_argument(z))
    inner = 2 * np.sqrt(2 / wide(np.pi)) * (1 + 3 * wide(0.044715) * z * z)
    return z * s, s + z * s * (1 - s) * inner


def normal(rng, shape, real):
    return np.array(3 * rng.standard_normal(shape), real)


def ulps(got, want):
    """|got - want| in ulp of want; below the normal numbers, in the spacing of subnormals."""
    info = np.finfo(got.dtype)
    _, exponent = np.frexp(np.asarray(want, np.longdouble))
    spacing = np.ldexp(np.longdouble(1), np.maximum(exponent - 1, info.minexp) - info.nmant)
    return np.asarray(np.abs(got.astype(np.longdouble) - want) / spacing, np.float64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients(name, shape, real, rng, n_threads):
    forward, backward, reads_output = ACTIVATIONS[name]
    x, dy = normal(rng, shape, real), normal(rng, shape, real)
    want, slope = reference(name, x)
    y = forward(x)
    assert y.dtype == real and y.shape == x.shape
    eps = float(np.finfo(real).eps)
    # other tests cover the far tails of GELU, where exp magnifies the rounding of its argument
    np.testing.assert_allclose(
        y.astype(np.float64), want.astype(np.float64), rtol=64 * eps, atol=1e-3 * eps
    )
    dx = backward(dy, y if reads_output else x)
    assert dx.dtype == real and dx.shape == x.shape
    # absolute: slopes pass through 0, and outputs near a limit determine slopes poorly
    np.testing.assert_allclose(
        dx.astype(np.float64), (dy * slope).astype(np.float64), rtol=0, atol=64 * eps
    )


@pytest.mark.parametrize("name", NAMES)
def test_gradients_by_central_differences(name, rng):
    forward, backward, reads_output = ACTIVATIONS[name]
    x = 3 * rng.standard_normal((40, 25))
    x += np.copysign(0.01, x)  # away from the kink of ReLU
    dy, h = rng.standard_normal(x.shape), 1e-5
    want = dy * (forward(x + h) - forward(x - h)) / (2 * h)
    got = backward(dy, forward(x) if reads_output else x)
    assert np.abs(got - want).max() <= 1e-9 * np.abs(want).max() + 1e-9


# ulp for float32 and float64; bench/accuracy.py finds them over all float32 inputs
@pytest.mark.parametrize(
    ("name", "limit"),
    [("relu", 0), ("tanh", 1.5), ("sigmoid", 2.1), ("silu", 2.5), ("softplus", 2)],
)
def test_accuracy_at_every_exponent(name, limit, real, rng):
    bits = np.uint32 if real is np.float32 else np.uint64
    x = rng.integers(0, np.iinfo(bits).max, 500_000, bits, endpoint=True).view(real)
    near = np.concatenate([rng.uniform(-a, a, 200_000) for a in (1, 20, 120, 760)]).astype(real)
    x = np.concatenate([x[np.isfinite(x)], near])
    want, _ = reference(name, x)
    assert ulps(ACTIVATIONS[name][0](x), want).max() <= limit + 0.1


def test_gelu_keeps_its_relative_accuracy_in_the_tail(rng):
    """Down to where float32 underflows; 1 + erf would be 0 long before."""
    z = np.concatenate([rng.uniform(-14.5, 14.5, 200_000), rng.uniform(-1, 1, 50_000)])
    z = z.astype(np.float32)
    z64 = z.astype(np.float64)
    error = ulps(kernels.gelu(z), z64 * normal_cdf(z64))
    assert error.max() <= 8 and error[z > 0].max() <= 4
    argument = np.abs(gelu_tanh_argument(z)).astype(np.float64)
    want, _ = reference("gelu_tanh", z)
    error = ulps(kernels.gelu(z, approximate="tanh"), want)
    assert (error <= 4 * (1 + np.where(z < 0, argument, 0))).all()


# z, gelu(z), gelu'(z), from mpmath with 40 digits
GELU = [
    (-38.25, -7.9547863022184754749e-319, -3.0427029273482908978e-317),
    (-30.5, -3.9739606351931328703e-203, -1.2120552074078685467e-201),
    (-20.0, -5.5072482372124673902e-88, -1.1014360483133464042e-86),
    (-12.75, -1.9873760183235289903e-36, -2.5337182984398330256e-35),
    (-8.0, -4.9767684594174272988e-15, -3.9796072610867959891e-14),
    (-5.5, -1.0444259356238245661e-7, -5.7334723987399248035e-7),
    (-3.0, -0.00404969409489028358, -0.011945647204183927),
    (-1.5, -0.10021080190328709901, -0.12746919222997952542),
    (-0.75, -0.1699705142826511495, 0.00077427826076489562831),
    (-0.001, -0.00049960105778608894781, 0.49920211570515859505),
    (0.001, 0.00050039894221391107301, 0.50079788429484140495),
    (0.5, 0.34573123063700655182, 0.86749512465616284253),
    (1.25, 1.1179377829164309279, 1.1226615830694221236),
    (3.0, 2.9959503059051097164, 1.011945647204183927),
    (9.0, 8.999999999999999999, 1.0000000000000000091),
]


def test_gelu_against_exact_values():
    z, want, slope = np.array(GELU).T
    assert ulps(kernels.gelu(z), want).max() <= 9
    dx = kernels.gelu_backward(np.ones_like(z), z)
    np.testing.assert_allclose(dx, slope, rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(dx[z < -1.5], slope[z < -1.5], rtol=1e-14, atol=1e-320)


def test_special_values(real):
    inf, nan, tiny = np.inf, np.nan, np.finfo(real).smallest_subnormal
    largest = np.finfo(real).max
    x = np.array([nan, -inf, -0.0, 0.0, inf, -1, tiny, -tiny, largest, -largest], real)
    half, log2 = np.array(tiny / 2, real), math.log(2)
    same = {
        "relu": [nan, 0, 0, 0, inf, 0, tiny, 0, largest, 0],
        "tanh": [nan, -1, -0.0, 0, 1, math.tanh(-1), tiny, -tiny, 1, -1],
        "leaky_relu": [nan, -inf, -0.0, 0, inf, -0.01, tiny, -0.0, largest, real(-0.01) * largest],
        "softplus": [nan, 0, log2, log2, inf, math.log1p(1 / math.e), log2, log2, largest, 0],
        "sigmoid": [nan, 0, 0.5, 0.5, 1, 1 / (1 + math.e), 0.5, 0.5, 1, 0],
        "silu": [nan, 0, -0.0, 0, inf, -1 / (1 + math.e), half, -half, largest, 0],
        "gelu": [nan, 0, -0.0, 0, inf, -math.erfc(0.5**0.5) / 2, half, -half, largest, 0],
    }
    for name, want in same.items():
        got = ACTIVATIONS[name][0](x)
        want = np.array(want, real)
        np.testing.assert_allclose(got, want, rtol=4 * np.finfo(real).eps, atol=tiny, err_msg=name)
        zeros = [2, 3] if name in ("tanh", "silu", "gelu", "leaky_relu") else [3]
        np.testing.assert_array_equal(
            np.signbit(got[zeros]), np.signbit(x[zeros]), err_msg=f"{name}: the sign of zero"
        )
    tanh_form = kernels.gelu(x, approximate="tanh")
    np.testing.assert_allclose(tanh_form[[0, 1, 2, 3, 4, 8, 9]], x[[0, 3, 2, 3, 4, 8, 3]])
    assert list(np.signbit(tanh_form[2:4])) == [True, False]


def test_slopes_at_special_values(real):
    inf, nan = np.inf, np.nan
    x, ones = np.array([nan, -inf, -0.0, 0.0, inf, -1e30, 1e30], real), np.ones(7, real)
    want = {
        "relu": [1, 0, 0, 0, 1, 0, 1],
        "tanh": [nan, 0, 1, 1, 0, 0, 0],
        "leaky_relu": [0.01, 0.01, 0.01, 0.01, 1, 0.01, 1],
        "softplus": [nan, 0, 0.5, 0.5, 1, 0, 1],
        "sigmoid": [nan, 0, 0.25, 0.25, 0, 0, 0],
        "silu": [nan, 0, 0.5, 0.5, 1, 0, 1],
        "gelu": [nan, 0, 0.5, 0.5, 1, 0, 1],
        "gelu_tanh": [nan, 0, 0.5, 0.5, 1, 0, 1],
    }
    for name, (forward, backward, reads_output) in ACTIVATIONS.items():
        got = backward(ones, forward(x) if reads_output else x)
        np.testing.assert_allclose(got, want[name], rtol=1e-6, err_msg=name)
    y = np.array([-1, 0, 2], real)
    np.testing.assert_array_equal(
        kernels.relu_backward(np.array([nan, inf, nan], real), y), np.array([0, 0, nan], real)
    )


def test_relu_is_exact_and_its_zeros_are_positive(real, rng):
    x = normal(rng, (50, 41), real)
    y = kernels.relu(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    assert not np.signbit(y).any() and not np.signbit(kernels.relu(-np.zeros(20, real))).any()
    np.testing.assert_array_equal(kernels.relu_backward(x, x), kernels.relu_backward(x, y))


@pytest.mark.parametrize("function", FORWARD)
def test_any_layout_forward(function, real, rng):
    x = normal(rng, (21, 37), real)
    plain = function(x)
    for name, view in layouts(x):
        np.testing.assert_array_equal(function(view), plain, err_msg=name)
    for name, out in layouts(np.full_like(x, np.nan)):
        assert function(x, out=out) is out
        np.testing.assert_array_equal(out, plain, err_msg=name)


@pytest.mark.parametrize("function", BACKWARD)
def test_any_layout_backward(function, real, rng):
    x, dy = normal(rng, (21, 37), real), normal(rng, (21, 37), real)
    plain = function(dy, x)
    for name, view in layouts(dy):
        np.testing.assert_array_equal(function(view, x), plain, err_msg=name)
        np.testing.assert_array_equal(function(view, spaced(x)), plain, err_msg=name)
    for name, out in layouts(np.full_like(x, np.nan)):
        assert function(dy, x, out=out) is out
        np.testing.assert_array_equal(out, plain, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_in_place_and_nothing_else_touched(name, real, rng):
    forward, backward, _ = ACTIVATIONS[name]
    x, dy = normal(rng, (9, 19), real), normal(rng, (9, 19), real)
    out, untouched = guarded(x.shape, real)
    plain = forward(x, out=out).copy()
    untouched()
    for _, same in layouts(x.copy()):
        np.testing.assert_array_equal(forward(same, out=same), plain)
    out, untouched = guarded(x.shape, real)
    plain = backward(dy, x, out=out).copy()
    untouched()
    same = dy.copy()
    np.testing.assert_array_equal(backward(same, x, out=same), plain)
    same = x.copy()
    np.testing.assert_array_equal(backward(dy, same, out=same), plain)


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_at_any_thread_count(name, real, rng):
    forward, backward, _ = ACTIVATIONS[name]
    x, dy = normal(rng, (500, 333), real), normal(rng, (500, 333), real)
    for call in (
        lambda: forward(x),
        lambda: forward(x[:, :300]),
        lambda: forward(x.ravel()[:-1]),
        lambda: backward(dy, x),
        lambda: backward(dy[:, 1:], x[:, 1:]),
    ):
        results = set()
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                results.add(call().tobytes())
        assert len(results) == 1


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=str)
def test_wrong_types(bad):
    good = np.ones(4, np.float32)
    for forward, backward, reads_output in ACTIVATIONS.values():
        with pytest.raises(TypeError, match="x must be a NumPy array"):
            forward(bad)
        with pytest.raises(TypeError, match="dy must be a NumPy array"):
            backward(bad, good)
        saved = "y" if reads_output else "x"
        with pytest.raises(TypeError, match=f": {saved} must be a NumPy array"):
            backward(good, bad)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_outputs_and_shapes(name):
    forward, backward, reads_output = ACTIVATIONS[name]
    x = np.ones((4, 6), np.float32)
    frozen = np.ones((4, 6), np.float32)
    frozen.flags.writeable = False
    memory = np.ones((8, 6), np.float32)
    for call in (lambda a, out: forward(a, out=out), lambda a, out: backward(a, x, out=out)):
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
    saved = "y" if reads_output else "x"
    with pytest.raises(
        ValueError, match=rf": {saved} must have the shape of dy, \(4, 6\), got \(4, 5\)"
    ):
        backward(x, np.ones((4, 5), np.float32))


@pytest.mark.parametrize("approximate", ["erf", True, 1, b"tanh"])
def test_gelu_has_two_forms(approximate):
    x = np.ones(3, np.float32)
    for call in (
        lambda: kernels.gelu(x, approximate=approximate),
        lambda: kernels.gelu_backward(x, x, approximate=approximate),
    ):
        with pytest.raises(ValueError, match="approximate must be None or 'tanh', got"):
            call()
