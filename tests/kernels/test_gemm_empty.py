"""C is written for all alpha, beta and k, by array and by pointer."""

import ctypes
from itertools import product

import numpy as np
import pytest

import fastnn
from fastnn import capi, gemm, kernels, matmul
from fastnn.kernels import relu

KINDS = {np.float32: ("gemm_f32", ctypes.c_float), np.float64: ("gemm_f64", ctypes.c_double)}
SCALARS = list(product((0.0, 1.0, -1.5), (0.0, 0.5, 1.0)))


def sizes(real):
    """Rows and columns of C: 0, 1, 2, odd, a fraction of a vector, and a tile plus or minus 1."""
    rows, cols = fastnn.build_info()["tile_f32" if real == np.float32 else "tile_f64"]
    lanes = 64 // np.dtype(real).itemsize
    around = (cols - 1, cols, cols + 1, lanes + 1, 2 * lanes + lanes // 4)
    return {0, 1, 2, 7, rows + 1, cols}, {0, 1, 2, 7, *around}


def left_operands(m, k, real):
    """Matrices (m, k): rows contiguous, columns contiguous, and both strides one element."""
    x = np.arange(1, m + k + m * k + 1, dtype=real) % 5 - 2
    one = np.dtype(real).itemsize
    yield x[: m * k].reshape(m, k)
    yield x[: m * k].reshape(k, m).T
    yield np.lib.stride_tricks.as_strided(x, (m, k), (one, one))


def right_operands(k, n, real):
    x = np.arange(k * n, dtype=real) % 7 - 3
    yield x.reshape(k, n)
    yield x.reshape(n, k).T


def outputs(m, n, real):
    yield np.empty((m, n), real)
    yield np.empty((n, m), real).T


def oracle(a, b, c, alpha, beta, bias=0):
    """The product in float64; beta = 0 ignores c, alpha = 0 the operands."""
    value = bias + np.zeros(c.shape)
    if alpha != 0:
        value = value + alpha * (a.astype(np.float64) @ b.astype(np.float64))
    return value + (beta * c.astype(np.float64) if beta != 0 else 0)


def call(real, alpha, a, b, beta, c, bias=None, activation=0, preact=None):
    """gemm by pointer; returns its status."""
    name, kind = KINDS[real]
    one = np.dtype(real).itemsize
    m, n, k = *c.shape, a.shape[1]

    def at(x):
        return None if x is None else ctypes.cast(x.ctypes.data, ctypes.POINTER(kind))

    def strides(x):
        return x.strides[0] // one, x.strides[1] // one

    return capi.ctypes(name)(
        m, n, k, alpha, at(a), *strides(a), at(b), *strides(b), beta, at(c), *strides(c),
        at(bias), activation, at(preact),
    )  # fmt: skip


@pytest.mark.parametrize("k", [0, 1, 2, 9])
def test_every_element_is_written(k, real):
    """Small integers, so that each way of adding them gives the same number."""
    for m, n in product(*sizes(real)):
        start = (np.arange(m * n, dtype=real) % 3).reshape(m, n)
        bias = np.arange(n, dtype=real) % 4
        for a, b in product(left_operands(m, k, real), right_operands(k, n, real)):
            for c, (alpha, beta) in product(outputs(m, n, real), SCALARS):
                where = f"m={m} n={n} k={k} a{a.strides} b{b.strides} c{c.strides} {alpha} {beta}"
                c[...] = start if beta else np.nan
                gemm(a, b, c, alpha=alpha, beta=beta)
                assert np.array_equal(c, oracle(a, b, start, alpha, beta)), where
                c[...] = start if beta else np.nan
                preact = np.full_like(c, np.nan)
                assert call(real, alpha, a, b, beta, c, bias, 1, preact) == 0
                want = oracle(a, b, start, alpha, beta, bias)
                assert np.array_equal(preact, want), where
                assert np.array_equal(c, np.maximum(want, 0)), where
            assert np.array_equal(gemm(a, b, alpha=0), np.zeros((m, n))), where


@pytest.mark.parametrize("m", [0, 1, 2, 48, 49])
def test_products_without_terms(m, real):
    """k = 0 gives zeros, or the activation of the bias: matrices, packed weights, stacks."""
    old = [np.full((m, 17), 7, real) for _ in range(40)]
    del old  # memory that is not zero
    for n in (0, 1, 17, 20, 33, 100):
        bias = np.arange(n, dtype=real) - 2
        for a in (
            np.empty((m, 0), real),
            np.empty(0, real).reshape(m, 0),
            np.ones((m, 3), real)[:, :0],
        ):
            b = np.ones((0, n), real)
            preact = np.full((m, n), np.nan, real)
            assert (matmul(a, b) == 0).all()
            assert (matmul(a, fastnn.pack(b)) == 0).all()
            assert (matmul(np.stack([a, a]), np.stack([b, b])) == 0).all()
            assert (matmul(a, b, bias=bias, activation="relu", preact=preact) == relu(bias)).all()
            assert (preact == bias).all()


def test_linear_backward_of_nothing(real):
    """Without rows nothing is added; without outputs the gradient is 0."""
    w, dw, db = np.ones((20, 17), real), np.full((20, 17), 3, real), np.full(17, 5, real)
    dx = kernels.linear_backward(np.ones((0, 17), real), np.ones((0, 20), real), w, dw=dw, db=db)
    assert dx.shape == (0, 20) and (dw == 3).all() and (db == 5).all()
    empty = np.ones((20, 0), real)
    dx = kernels.linear_backward(
        np.ones((48, 0), real), np.ones((48, 20), real), empty, dw=np.ones((20, 0), real)
    )
    assert dx.shape == (48, 20) and (dx == 0).all()


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (3, 2), (0, 1), (4, 0), (-1, 1)])
def test_outputs_that_overlap_themselves_are_refused(strides, real):
    a, b, memory = np.ones((4, 3), real), np.ones((3, 5), real), np.full(64, 9, real)
    one = np.dtype(real).itemsize
    c = np.lib.stride_tricks.as_strided(memory[20:], (4, 5), [one * s for s in strides])
    with pytest.raises(ValueError, match="c overlaps itself"):
        gemm(a, b, c)
    with pytest.raises(ValueError, match="out overlaps itself"):
        matmul(a, b, out=c)
    assert call(real, 1.0, a, b, 0.0, c) == 2
    assert (memory == 9).all()


def test_interleaved_outputs_are_not_refused(real):
    """Strides that cross without meeting: 0, 3, 6 and 2, 5, 8."""
    a, b, memory = np.ones((2, 3), real), np.ones((3, 3), real), np.full(10, 9, real)
    one = np.dtype(real).itemsize
    c = np.lib.stride_tricks.as_strided(memory, (2, 3), (2 * one, 3 * one))
    assert call(real, 1.0, a, b, 0.0, c) == 0
    assert memory.tolist() == [3, 9, 3, 3, 9, 3, 3, 9, 3, 9]
    gemm(a, b, c, alpha=2)
    assert (c == 6).all()


def linear_arguments(real):
    """Sizes and arrays of a call of linear_backward by pointer."""
    n, n_in, n_out = 6, 4, 4
    shapes = {
        "dy": (n, n_out), "x": (n, n_in), "w": (n_in, n_out), "saved": (n, n_out),
        "dw": (n_in, n_out), "db": (n_out,), "dx": (n, n_in),
    }  # fmt: skip
    return (n, n_in, n_out), {key: np.ones(shape, real) for key, shape in shapes.items()}


@pytest.mark.parametrize("output", ["dw", "db", "dx"])
@pytest.mark.parametrize("other", ["dy", "x", "w", "saved", "dw", "db", "dx"])
@pytest.mark.parametrize("shift", [-1, 0, 2])
def test_linear_backward_by_pointer_refuses_overlaps_before_it_stores(output, other, shift, real):
    if output == other:
        return
    (n, n_in, n_out), arrays = linear_arguments(real)
    kind = KINDS[real][1]
    function = capi.ctypes(f"linear_backward_{KINDS[real][0][-3:]}")
    memory = np.ones(100, real)
    size = arrays[other].size
    arrays[other] = memory[40 : 40 + size].reshape(arrays[other].shape)
    size = arrays[output].size
    arrays[output] = memory[40 + shift : 40 + shift + size].reshape(arrays[output].shape)
    for value, x in enumerate(arrays.values()):
        x[...] = value + 2
    before = [memory.copy(), *(x.copy() for x in arrays.values())]
    at = {key: ctypes.cast(x.ctypes.data, ctypes.POINTER(kind)) for key, x in arrays.items()}
    status = function(
        n, n_in, n_out, at["dy"], at["x"], n_in, 1, at["w"], n_out, 1, at["saved"], 1,
        at["dw"], at["db"], at["dx"],
    )  # fmt: skip
    assert status == 2
    for x, y in zip(before, [memory, *arrays.values()], strict=True):
        np.testing.assert_array_equal(x, y)
