"""The losses by pointer, called through capsules; a refused call changes no output."""

from ctypes import byref, c_double, c_float, c_int, c_int64, c_void_p

import numpy as np
import pytest

from fastnn.kernels import cross_entropy, mse

from .test_attention_pointers import face

MSE, HUBER, BCE, BAD_ARGUMENT = 0, 2, 3, 2


@pytest.fixture
def suffix(real):
    return "f32" if real is np.float32 else "f64"


def test_labels_out_of_range(real, suffix, rng):
    types = [c_int64, c_int64, c_void_p, c_int64, c_void_p, c_void_p, c_int64, c_void_p]
    call = face(f"cross_entropy_{suffix}", types)
    logits = rng.standard_normal((3, 4)).astype(real)
    d, loss = np.full_like(logits, 7), c_double(7)
    labels = np.array([1, 3, 0], np.int64)
    args = (3, 4, logits.ctypes.data, 4, labels.ctypes.data, d.ctypes.data, 4, byref(loss))
    for wrong in (-1, -100, 4, np.iinfo(np.int64).min):
        labels[1] = wrong
        assert call(*args) == BAD_ARGUMENT
        assert loss.value == 7 and (d == 7).all()
    labels[1] = 3
    assert call(*args) == 0
    want, dwant = cross_entropy(logits, labels)
    assert loss.value == want
    np.testing.assert_array_equal(d, dwant)


def test_losses(real, suffix, rng):
    number = c_float if real is np.float32 else c_double
    types = [c_int, c_int64, c_void_p, c_void_p, c_void_p, c_int64, c_void_p, c_int64, number]
    call = face(f"loss_{suffix}", [*types, c_int, c_void_p, c_void_p, c_void_p])
    x, t = (rng.standard_normal((3, 4)).astype(real) for _ in range(2))
    d, loss, weight = np.full_like(x, 7), c_double(7), np.array([1, 2, 3], real)

    def run(kind=MSE, n=12, per_weight=4, delta=1.0):
        places = x.ctypes.data, t.ctypes.data, weight.ctypes.data, per_weight, None, 1, delta, 1
        return call(kind, n, *places, d.ctypes.data, None, byref(loss))

    tiny = float(np.finfo(real).smallest_subnormal) / 4
    for wrong in (
        {"kind": -1},
        {"kind": 4},
        {"n": 11},
        {"per_weight": 5},
        {"per_weight": 0},
        {"kind": HUBER, "delta": tiny},
        {"kind": HUBER, "delta": np.inf},
        {"kind": HUBER, "delta": np.nan},
    ):
        assert run(**wrong) == BAD_ARGUMENT, wrong
    weight[...] = [np.finfo(real).smallest_subnormal, 0, 0]
    assert run() == BAD_ARGUMENT
    weight[...] = [1, 2, 3]
    assert run(BCE) == BAD_ARGUMENT  # targets from a normal distribution
    assert loss.value == 7 and (d == 7).all()
    assert run() == 0
    want, dwant = mse(x, t, sample_weight=weight)
    assert loss.value == want
    np.testing.assert_array_equal(d, dwant)
