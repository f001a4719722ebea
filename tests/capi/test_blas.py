"""The functions with BLAS's arguments: strides of every kind, long sums, threads, refusals."""

import ctypes

import numpy as np
import pytest

import fastnn
from fastnn import capi

INCREMENTS = [1, -1, 2, -3, 7]
BAD_ARGUMENT = 2


@pytest.fixture
def blas(real):
    def call(name, *args):
        suffix = "f32" if real is np.float32 else "f64"
        pointers = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in args]
        return capi.ctypes(f"blas_{name}_{suffix}", void_pointers=True)(*pointers)

    return call


def vector(rng, real, n, inc):
    """Return (memory, view): element i of the view is element i of BLAS's vector."""
    memory = rng.standard_normal(max(1, n * abs(inc))).astype(real)
    return memory, memory[: n * abs(inc) : abs(inc)][:: 1 if inc > 0 else -1][:n]


def close(real, got, want, terms=1):
    np.testing.assert_allclose(got, want, rtol=0, atol=8 * np.finfo(real).eps * (terms + 8))


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (3, 5, 4), (33, 17, 40), (4, 3, 0)])
def test_gemm(real, rng, blas, trans_a, trans_b, m, n, k):
    a = rng.standard_normal((k, m + 2) if trans_a else (m, k + 2)).astype(real)
    b = rng.standard_normal((n, k + 1) if trans_b else (k, n + 1)).astype(real)
    c = rng.standard_normal((m, n + 3)).astype(real)
    left = a[:, :m].T if trans_a else a[:, :k]
    right = b[:, :k].T if trans_b else b[:, :n]
    want = c.astype(np.float64)
    want[:, :n] = 1.5 * left.astype(np.float64) @ right - 0.5 * want[:, :n]
    lds = [max(1, x.shape[1]) for x in (a, b, c)]
    status = blas("gemm", trans_a, trans_b, m, n, k, 1.5, a, lds[0], b, lds[1], -0.5, c, lds[2])
    assert status == 0
    close(real, c, want, k)
    c[...] = np.nan
    assert blas("gemm", trans_a, trans_b, m, n, k, 1.0, a, lds[0], b, lds[1], 0.0, c, lds[2]) == 0
    close(real, c[:, :n], left.astype(np.float64) @ right, k)
    assert np.isnan(c[:, n:]).all()


@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize("incx", [*INCREMENTS, 0])
@pytest.mark.parametrize("incy", INCREMENTS)
def test_gemv(real, rng, blas, trans, incx, incy):
    a = rng.standard_normal((6, 11)).astype(real)
    op = (a[:, :9].T if trans else a[:, :9]).astype(np.float64)
    memory, x = vector(rng, real, op.shape[1], incx or 1)
    x = np.broadcast_to(memory[:1], op.shape[1:]) if incx == 0 else x
    out, y = vector(rng, real, op.shape[0], incy)
    around, want = out.copy(), 2 * op @ x + 0.25 * y
    assert blas("gemv", trans, 6, 9, 2.0, a, 11, memory, incx, 0.25, out, incy) == 0
    close(real, y, want, 9)
    out[:: abs(incy)] = around[:: abs(incy)] = 0
    np.testing.assert_array_equal(out, around)


@pytest.mark.parametrize("incx", INCREMENTS)
@pytest.mark.parametrize("incy", INCREMENTS)
@pytest.mark.parametrize("n", [0, 1, 5, 100])
def test_axpy_and_dot(real, rng, blas, n, incx, incy):
    memory, x = vector(rng, real, n, incx)
    out, y = vector(rng, real, n, incy)
    result, want = np.full(1, 7, real), x.astype(np.float64) @ y
    assert blas("dot", n, memory, incx, out, incy, result) == 0
    close(real, result[0], want, n)
    around, want = out.copy(), -1.5 * x.astype(np.float64) + y
    assert blas("axpy", n, -1.5, memory, incx, out, incy) == 0
    close(real, y, want)
    out[: n * abs(incy) : abs(incy)] = around[: n * abs(incy) : abs(incy)] = 0
    np.testing.assert_array_equal(out, around)


@pytest.mark.parametrize("inc", INCREMENTS)
def test_scal(real, rng, blas, inc):
    out, _ = vector(rng, real, 40, inc)
    want = np.where(np.arange(len(out)) % abs(inc) == 0, out * real(0.3), out)
    assert blas("scal", 40, 0.3, out, inc) == 0
    np.testing.assert_array_equal(out, want)


def test_long_dot_products_of_ones(real, blas):
    """One chain of float32 would stop at 2^24."""
    ones, result = np.ones(2**25, real), np.empty(1, real)
    for n, incx, incy in ((2**25, 1, 1), (2**23, 2, 3), (2**23, 4, -4)):
        assert blas("dot", n, ones, incx, ones, incy, result) == 0
        assert result[0] == pytest.approx(n, rel=1e-6)


def test_bits_do_not_depend_on_the_threads(real, rng, blas):
    n = 600_000
    x, y = (rng.standard_normal(4 * n).astype(real) for _ in range(2))
    found = set()
    for threads in (1, 2, 3, 8):
        with fastnn.num_threads(threads):
            out, result = y.copy(), np.empty(4, real)
            for i, (incx, incy) in enumerate([(1, 1), (2, 1), (1, -3), (4, 3)]):
                assert blas("dot", n, x, incx, y, incy, result[i:]) == 0
                assert blas("axpy", n, 0.7, x, incx, out, incy) == 0
            found.add((out.tobytes(), result.tobytes()))
    assert len(found) == 1


def test_refusals_write_nothing(real, blas):
    x, out = np.ones(64, real), np.full(64, 7, real)
    for call in (
        ("gemm", 0, 0, 4, 4, 4, 1.0, x, 3, x, 4, 0.0, out, 4),
        ("gemm", 1, 0, 4, 4, 2, 1.0, x, 3, x, 4, 0.0, out, 4),
        ("gemm", 0, 1, 4, 4, 4, 1.0, x, 4, x, 3, 0.0, out, 4),
        ("gemm", 0, 0, 4, 4, 4, 1.0, x, 4, x, 4, 0.0, out, 3),
        ("gemm", 0, 0, 4, 4, 4, 1.0, x, 4, out[8:], 4, 0.0, out, 4),
        ("gemv", 0, 4, 4, 1.0, x, 3, x, 1, 0.0, out, 1),
        ("gemv", 0, 4, 4, 1.0, x, 4, x, 1, 0.0, out, 0),
        ("gemv", 0, 4, 4, 1.0, None, 4, x, 1, 0.0, out, 1),
        ("gemv", 0, 4, 4, 1.0, x, 4, out, 1, 0.0, out, 1),
        ("axpy", 4, 1.0, x, 1, out, 0),
        ("axpy", 4, 1.0, None, 1, out, 1),
        ("axpy", 4, 1.0, out[2:], 1, out, 1),
        ("scal", 4, 2.0, out, 0),
        ("scal", 4, 2.0, None, 1),
        ("dot", 4, x, 1, None, 1, out),
        ("dot", 4, x, 1, out, 1, out),
        ("dot", 4, x, 1, x, 1, None),
    ):
        assert blas(*call) == BAD_ARGUMENT, call
    assert (out == 7).all()


def test_argument_types_are_those_of_cblas():
    """Sizes and increments are int, so that a pointer takes the place of one into CBLAS."""
    kinds = [k for k, _ in capi.functions()["blas_axpy_f32"].arguments]
    assert kinds == ["int", "float", "float const *", "int", "float *", "int"]
    assert capi.ctypes("blas_axpy_f32").argtypes[0] is ctypes.c_int
