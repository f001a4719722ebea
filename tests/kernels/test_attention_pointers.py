"""Attention and rotary positions by pointer, called as an extension would: through capsules."""

import ctypes
from ctypes import c_double, c_int, c_int64, c_uint64, c_void_p, py_object

import numpy as np

from fastnn.kernels import api as functions
from fastnn.kernels import attention, attention_backward


def face(name, argtypes):
    capsule = functions.__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [py_object]
    api.PyCapsule_GetPointer.restype = c_void_p
    api.PyCapsule_GetPointer.argtypes = [py_object, ctypes.c_char_p]
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(c_int, *argtypes)(address)


def ints(*values):
    return (c_int64 * len(values))(*values)


def strides(x):
    return ints(*(s // x.itemsize for s in x.strides[:3]))


OPTIONS = [c_double, c_int, c_void_p, c_void_p, c_int, c_void_p, c_void_p, c_double]
OPTIONS += [c_uint64, c_uint64]


def test_attention(real, rng):
    suffix = "f32" if real is np.float32 else "f64"
    q = rng.standard_normal((2, 4, 20, 5)).astype(real)
    k, v = (rng.standard_normal((2, 2, 30, 5)).astype(real) for _ in range(2))
    lengths = np.array([30, 11], np.int64)
    want, lse = attention(q, k, v, causal=True, lengths=lengths, return_lse=True)
    out, sums = np.empty_like(want), np.empty_like(lse)
    sizes = ints(2, 4, 2, 20, 30, 5, 5)
    options = (1 / np.sqrt(5), 1, lengths.ctypes.data, ints(1, 0), 0, None, None, 0.0, 0, 0)
    places = [q.ctypes.data, strides(q), k.ctypes.data, strides(k), v.ctypes.data, strides(v)]
    forward = face(f"attention_{suffix}", [c_void_p] * 10 + OPTIONS)
    status = forward(sizes, *places, out.ctypes.data, strides(out), sums.ctypes.data, *options)
    assert status == 0
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(sums, lse)
    dout = rng.standard_normal(out.shape).astype(real)
    gradients = [np.empty_like(x) for x in (q, k, v)]
    backward = face(f"attention_backward_{suffix}", [c_void_p] * 14 + OPTIONS)
    results = [out.ctypes.data, strides(out), sums.ctypes.data, *(g.ctypes.data for g in gradients)]
    assert backward(sizes, dout.ctypes.data, *places, *results, *options) == 0
    plain = attention_backward(dout, q, k, v, out, lse, causal=True, lengths=lengths)
    for g, w in zip(gradients, plain, strict=True):
        np.testing.assert_array_equal(g, w)
    for bad in (ints(2, 4, 3, 20, 30, 5, 5), ints(2, 4, 2, -1, 30, 5, 5)):
        assert forward(bad, *places, out.ctypes.data, strides(out), None, *options) == 2


def test_lse_beside_a_large_offset(real):
    """Backward by pointer has only lse, in which a maximum of 1e9 absorbs the sum."""
    suffix = "f32" if real is np.float32 else "f64"
    q, k = np.zeros((1, 1, 1, 2), real), np.zeros((1, 1, 10, 2), real)
    v, mask = np.zeros((1, 1, 10, 2), real), np.full(10, -1e9, real)
    dout = np.ones((1, 1, 1, 2), real)
    out, lse = attention(q, k, v, mask=mask, return_lse=True)
    gradients = [np.empty_like(x) for x in (q, k, v)]
    places = [ints(1, 1, 1, 1, 10, 2, 2), dout.ctypes.data]
    for x in (q, k, v, out):
        places += [x.ctypes.data, strides(x)]
    places += [lse.ctypes.data, *(g.ctypes.data for g in gradients)]
    options = (1.0, 0, None, None, 2, mask.ctypes.data, ints(0, 0, 0, 1), 0.0, 0, 0)
    assert face(f"attention_backward_{suffix}", [c_void_p] * 14 + OPTIONS)(*places, *options) == 0
    np.testing.assert_allclose(gradients[2], 0.1, rtol=2e-7)


def test_bad_values_write_nothing(real, rng):
    """Lengths and scales that the functions on arrays refuse are refused by pointer too."""
    suffix = "f32" if real is np.float32 else "f64"
    q = rng.standard_normal((2, 1, 3, 4)).astype(real)
    k, v = (rng.standard_normal((2, 1, 5, 4)).astype(real) for _ in range(2))
    out, lse = attention(q, k, v, return_lse=True)
    sizes = ints(2, 1, 1, 3, 5, 4, 4)
    places = [q.ctypes.data, strides(q), k.ctypes.data, strides(k), v.ctypes.data, strides(v)]
    forward = face(f"attention_{suffix}", [c_void_p] * 10 + OPTIONS)
    backward = face(f"attention_backward_{suffix}", [c_void_p] * 14 + OPTIONS)
    for lengths, step, scale, p in (
        ([5, -1], ints(1, 0), 1.0, 0.0),
        ([1000, 5], ints(1, 0), 1.0, 0.0),
        ([0, 1, 2, 3, 4, 6], ints(3, 1), 1.0, 0.0),
        ([0, 1, 2, 3, -(2**63), 5], ints(3, 1), 1.0, 0.0),
        ([5, 5], ints(1, 0), np.nan, 0.0),
        ([5, 5], ints(1, 0), -np.inf, 0.0),
        ([5, 5], ints(1, 0), 1.0, np.nan),
    ):
        lengths = np.array(lengths, np.int64)
        written = [np.full_like(x, 7) for x in (out, lse, q, k, v)]
        o, sums, *gradients = (x.ctypes.data for x in written)
        options = (scale, 0, lengths.ctypes.data, step, 0, None, None, p, 0, 0)
        assert forward(sizes, *places, o, strides(out), sums, *options) == 2
        results = [out.ctypes.data, strides(out), lse.ctypes.data, *gradients]
        assert backward(sizes, out.ctypes.data, *places, *results, *options) == 2
        assert all((x == 7).all() for x in written)


def test_rotary_refuses_positions_out_of_its_table(real):
    suffix = "f32" if real is np.float32 else "f64"
    x, table = np.ones((2, 1, 3, 4), real), np.empty((5, 4), real)
    make = face(f"rotary_table_{suffix}", [c_int64, c_int64, c_double, c_void_p])
    assert make(5, 4, 1e4, table.ctypes.data) == 0
    for positions, base in ((-1, 1e4), (-(2**63), 1e4), (5, 0.0), (5, np.nan), (5, np.inf)):
        assert make(positions, 4, base, table.ctypes.data) == 2
    turn = face(
        f"rotary_{suffix}",
        [c_void_p] * 4 + [c_int64, c_void_p, c_int64, c_int] + [c_void_p] * 2,
    )
    y = np.full_like(x, 7)
    for positions, starts in (
        (-(2**63), [0, 0]),
        (-1, [0, 0]),
        (2, [0, 0]),
        (5, [0, 3]),
        (5, [-(2**63), 0]),
        (5, [0, 2**63 - 1]),
    ):
        starts = np.array(starts, np.int64)
        places = [ints(2, 1, 3, 4), x.ctypes.data, strides(x), table.ctypes.data]
        args = [positions, starts.ctypes.data, 1, 0, y.ctypes.data, strides(y)]
        assert turn(*places, *args) == 2 and (y == 7).all()
