"""Gated units against their formula and its derivative in float64."""

import numpy as np
import pytest

import fastnn
from fastnn import kernels

SHAPES = [(2,), (5, 2), (3, 4, 14), (7, 130), (1, 20_000), (300, 66), (0, 6), (4, 0)]
NAMES = [None, *kernels.ACTIVATIONS]


def halves(x):
    n = x.shape[-1] // 2
    return np.ascontiguousarray(x[..., :n]), np.ascontiguousarray(x[..., n:])


def act(name, x):
    return x if name is None else kernels.ACTIVATIONS[name][0](x)


def slope(name, dy, x):
    if name is None:
        return dy
    function, gradient, from_output = kernels.ACTIVATIONS[name]
    return gradient(dy, function(x) if from_output else x)


def normal(shape, real, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(real)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_formula(shape, name, real):
    x = normal(shape, real)
    a, b = halves(x)
    y = fastnn.gate(x, name)
    np.testing.assert_array_equal(y, act(name, a) * b)
    dy = normal(y.shape, real, 1)
    dx = fastnn.gate_backward(dy, x, name)
    wanted = np.concatenate([slope(name, dy * b, a), dy * act(name, a)], axis=-1)
    np.testing.assert_array_equal(dx, wanted)


@pytest.mark.parametrize("name", ["silu", "gelu", "tanh"])
def test_the_gradient_is_a_difference_quotient(name):
    x, dy, step = normal((3, 10), np.float64), normal((3, 5), np.float64, 1), 1e-6
    dx = fastnn.gate_backward(dy, x, name)
    for i in np.ndindex(x.shape):
        h = np.zeros_like(x)
        h[i] = step
        found = ((fastnn.gate(x + h, name) - fastnn.gate(x - h, name)) * dy).sum() / (2 * step)
        assert abs(found - dx[i]) < 1e-8


def test_strides_and_outputs(real):
    x, dy = normal((6, 12), real), normal((6, 6), real, 1)
    y, dx = fastnn.gate(x), fastnn.gate_backward(dy, x)
    wide, fortran = normal((6, 20), real), np.asfortranarray(x)
    wide[:, 3:15] = x
    for other in (wide[:, 3:15], fortran, np.repeat(x, 2, 0)[::2]):
        np.testing.assert_array_equal(fastnn.gate(other), y)
        np.testing.assert_array_equal(fastnn.gate_backward(dy, other), dx)
    out, dout = np.empty_like(y), np.empty_like(x)
    assert fastnn.gate(x, out=out) is out and fastnn.gate_backward(dy, x, out=dout) is dout
    np.testing.assert_array_equal(out, y)
    np.testing.assert_array_equal(dout, dx)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_same_bits_for_any_number_of_threads(threads, real):
    x, dy = normal((3, 40_000), real), normal((3, 20_000), real)
    with fastnn.num_threads(1):
        want = fastnn.gate(x), fastnn.gate_backward(dy, x)
    with fastnn.num_threads(threads):
        np.testing.assert_array_equal(fastnn.gate(x), want[0])
        np.testing.assert_array_equal(fastnn.gate_backward(dy, x), want[1])


X = np.ones((2, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fastnn.gate(X[:, :3]), ValueError, r"x must be \(\.\.\., 2 n\).*\(2, 3\)"),
        (lambda: fastnn.gate(X[0, 0]), TypeError, "gate: x"),
        (lambda: fastnn.gate(X, "swiglu"), ValueError, "activation"),
        (lambda: fastnn.gate(X, out=X), ValueError, r"out must have the shape \(2, 2\)"),
        (lambda: fastnn.gate(X, out=X[:, :2]), ValueError, "C-contiguous"),
        (lambda: fastnn.gate(X, out=np.ones((2, 2))), TypeError, "float64"),
        (lambda: fastnn.gate_backward(X, X), ValueError, r"dy must have the shape \(2, 2\)"),
        (lambda: fastnn.gate_backward(X[:, :2], X, out=X), ValueError, "overlap"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
