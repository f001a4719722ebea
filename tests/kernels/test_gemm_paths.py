"""The paths of gemm: GEMV, long k, narrow, strided, packed weights, kept pre-activation."""

import ctypes
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import gemm, kernels, matmul

from .variants import WRONG_TYPES, assert_product, exact, guarded, layouts, normal


@pytest.mark.parametrize("k", [1, 63, 128, 191, 256, 300, 1024, 1500])
@pytest.mark.parametrize("n", [2, 3, 5, 9, 10, 11, 17, 19, 22, 23])
def test_narrow(n, k, real, rng):
    """Narrow C: dot products for a long k, taller tiles for a short k, C^T if A is transposed."""
    for m in (2, 13, 130):
        a, b, bias = normal(rng, (m, k), real), normal(rng, (k, n), real), normal(rng, n, real)
        for x in (a, np.asfortranarray(a)):
            for y in (b, np.asfortranarray(b), layouts(b)):
                y = y if isinstance(y, np.ndarray) else dict(y)["sliced"]
                out, untouched = guarded((m, n), real)
                matmul(x, y, bias=bias, out=out)
                assert_product(out, a, b, bias.astype(np.longdouble))
                untouched()
        c = normal(rng, (m, n), real)
        want = 2 * c - exact(a, b)
        bound = (k + 4) * np.finfo(real).eps * (exact(np.abs(a), np.abs(b)) + 2 * np.abs(c))
        assert (np.abs(gemm(a, b, c, alpha=-1, beta=2) - want) <= bound).all()


@pytest.mark.parametrize("m", [*range(2, 36), 100, 260])
def test_tiles_of_one_vector(m, real, rng):
    """Every tile height; tiles one vector wide may be twice as high."""
    for k, n in [(7, 16), (40, 8), (33, 4), (130, 10)]:
        a, b = normal(rng, (m, k), real), normal(rng, (k, n), real)
        for x in (a, np.asfortranarray(a), dict(layouts(a))["sliced"]):
            out, untouched = guarded((m, n), real)
            matmul(x, b, out=out, activation="relu")
            np.testing.assert_array_equal(out, np.maximum(matmul(x, b), 0))
            assert_product(matmul(x, b), a, b)
            untouched()


@pytest.mark.parametrize("n", [17, 20, 34, 65, 66, 97, 100, 113])
def test_tail_of_few_columns(n, real, rng):
    """A nearly empty last vector is done as dot products or as C^T.

    It gets the epilogue of the other columns, and the same bits with any number of threads.
    """
    for m, k in [(3, 40), (50, 100), (61, 230)]:
        a, b, bias = normal(rng, (m, k), real), normal(rng, (k, n), real), normal(rng, n, real)
        for x in (a, np.asfortranarray(a)):
            for y in (b, np.asfortranarray(b)):
                results = set()
                for n_threads in (1, 2, 3, 8):
                    with fastnn.num_threads(n_threads):
                        out, untouched = guarded((m, n), real)
                        preact = np.full((m, n), np.nan, real)
                        matmul(x, y, bias=bias, activation="relu", out=out, preact=preact)
                        plain = matmul(x, y)
                    assert_product(preact, a, b, bias.astype(np.longdouble))
                    assert_product(plain, a, b)
                    np.testing.assert_array_equal(out, np.maximum(preact, 0))
                    untouched()
                    results.add(out.tobytes() + plain.tobytes())
                assert len(results) == 1
        c = normal(rng, (m, n), real)
        want = 2 * c - exact(a, b)
        bound = (k + 4) * np.finfo(real).eps * (exact(np.abs(a), np.abs(b)) + 2 * np.abs(c))
        assert (np.abs(gemm(a, b, c, alpha=-1, beta=2) - want) <= bound).all()


ROWS_AND_COLUMNS = [
    (1, 784, 256),
    (1, 100, 3000),
    (1, 3000, 100),
    (1, 7, 1),
    (300, 500, 1),
    (1, 1, 500),
    (9, 1, 1),
]


@pytest.mark.parametrize("shape", ROWS_AND_COLUMNS, ids=str)
def test_one_row_or_one_column(shape, real, rng, n_threads):
    """The paths that read the matrix in place, along its rows and along its columns."""
    m, k, n = shape
    a, b, bias = normal(rng, (m, k), real), normal(rng, (k, n), real), normal(rng, n, real)
    for name, x, y in [(f"{i} {j}", x, y) for i, x in layouts(a) for j, y in layouts(b)]:
        out, untouched = guarded((m, n), real)
        matmul(x, y, bias=bias, out=out)
        assert_product(out, a, b, bias.astype(np.longdouble))
        untouched()
        c = normal(rng, (m, n), real)
        start, got = c.copy(), gemm(x, y, c, alpha=-2, beta=1)
        bound = (k + 4) * np.finfo(real).eps * (2 * exact(np.abs(a), np.abs(b)) + np.abs(start))
        assert (np.abs(got - (start - 2 * exact(a, b))) <= bound).all(), name
    assert (matmul(a, b, bias=bias, activation="relu") >= 0).all()


def test_one_row_and_more_columns_than_a_cache_holds(real, rng, n_threads):
    """Large matrices are read in four streams of columns, small ones in one."""
    k, n = 1100, 17 * 2**20 // (1100 * np.dtype(real).itemsize) + 3
    x, b = normal(rng, (1, k), real), normal(rng, (n, k), real).T
    y = matmul(x, b)
    assert_product(y, x, b)
    np.testing.assert_array_equal(matmul(x, b[:, 16:])[:, :64], y[:, 16:80])


@pytest.mark.parametrize("shape", [(3, 5000, 4), (10, 20000, 10), (8, 2048, 48), (2, 2049, 65)])
def test_long_sums_over_a_small_product(shape, real, rng):
    m, k, n = shape
    a, b, bias = normal(rng, (m, k), real), normal(rng, (k, n), real), normal(rng, n, real)
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            c = matmul(a, b, bias=bias)
            assert_product(c, a, b, bias.astype(np.longdouble))
            results.add(c.tobytes())
            c = np.ones((m, n), real)
            gemm(np.asfortranarray(a), b, c, alpha=0.5, beta=2)
            np.testing.assert_allclose(c, 0.5 * exact(a, b) + 2, atol=4 * k * np.finfo(real).eps)
    assert len(results) == 1


@pytest.mark.parametrize("wide", [512, 1024, 1027])
def test_strides_of_a_page_and_more(wide, real, rng):
    """Operands whose steps along k are a page or more are packed, others are read in place."""
    big = normal(rng, (wide, wide), real)
    for m, k, n in [(200, 300, 210), (20, wide, 130), (50, 40, wide), (wide, 33, 50)]:
        a, b = big[:k, :m].T, big[:k, wide - n :]
        out, untouched = guarded((m, n), real)
        matmul(a, b, out=out)
        assert_product(out, a, b)
        untouched()


@pytest.mark.parametrize(
    "shape", [(61, 4096, 800), (64, 2048, 770), (13, 8192, 769), (100, 1024, 800)]
)
def test_rows_that_crowd_the_cache(shape, real, rng, n_threads):
    """Rows of A a large power of two apart, many columns: the panels of A are packed."""
    m, k, n = shape
    a, b = normal(rng, (m, 2 * k), real)[:, :300], normal(rng, (300, n), real)
    out, untouched = guarded((m, n), real)
    matmul(a, b, out=out)
    assert_product(out, a, b)
    untouched()
    np.testing.assert_array_equal(matmul(a[::-1], b)[::-1], out)


def test_alpha_zero_reads_nothing(real):
    a, c = np.full((5, 300), np.nan, real), np.full((5, 7), 3, real)
    b = np.full((300, 7), np.inf, real)
    assert (gemm(a, b, c, alpha=0, beta=2) == 6).all()
    assert (gemm(a, b, alpha=0) == 0).all()
    assert (gemm(a[:1], b, alpha=0) == 0).all()


def test_nothing_is_read_past_the_end(real):
    """Operands that end right before an inaccessible page."""
    mmap = pytest.importorskip("mmap")
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mprotect"):
        pytest.skip("this system has no mprotect")
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 3 * page)
    view = np.frombuffer(memory, np.uint8)
    start = view.ctypes.data
    assert libc.mprotect(ctypes.c_void_p(start + 2 * page), ctypes.c_size_t(page), 0) == 0

    def at_the_end(rows, cols):
        size = np.dtype(real).itemsize * rows * cols
        x = view[2 * page - size : 2 * page].view(real).reshape(rows, cols)
        x[...] = 1
        return x

    ones = np.ones((40, 40), real)
    for rows, cols in [(1, 1), (1, 37), (7, 10), (3, 33), (13, 16), (39, 17), (9, 1)]:
        edge = at_the_end(rows, cols)
        for x, y in [
            (ones[:, :rows], edge),
            (edge, ones[:cols]),
            (edge.T, ones[:rows]),
            (ones[:, :cols], edge.T),
        ]:
            assert (matmul(x, y) == x.shape[1]).all()
            assert (matmul(x[:1], y) == x.shape[1]).all()
            assert (matmul(x, fastnn.pack(y)) == x.shape[1]).all()
        np.testing.assert_allclose(fastnn.softmax(edge), 1 / cols, rtol=1e-5)
        assert fastnn.frobenius_norm(edge) == pytest.approx(np.sqrt(edge.size))
        out = at_the_end(rows, cols)
        matmul(ones[:rows], ones[:, :cols], out=out)
        assert (out == 40).all()
    del x, y, edge, out
    assert libc.mprotect(ctypes.c_void_p(start + 2 * page), ctypes.c_size_t(page), 3) == 0


@pytest.mark.parametrize(
    "shape",
    [(1, 784, 256), (5, 7, 3), (33, 400, 97), (200, 1000, 65), (3, 5, 8200), (4, 0, 3), (4, 3, 0)],
)
def test_packed(shape, real, rng, n_threads):
    m, k, n = shape
    a, b, bias = normal(rng, (m, k), real), normal(rng, (k, n), real), normal(rng, n, real)
    for name, y in layouts(b):
        packed = fastnn.pack(y)
        y[...] = np.nan  # it is a copy
        assert packed.shape == (k, n) and packed.dtype == real and packed.nbytes >= b.nbytes
        out, untouched = guarded((m, n), real)
        assert matmul(a, packed, bias=bias, out=out) is out
        if k:
            assert_product(out, a, b, bias.astype(np.longdouble))
        untouched()
        assert (matmul(a.T.copy().T, packed, bias=bias) == out).all(), name
    packed = fastnn.pack(b)
    np.testing.assert_array_equal(matmul(a[0], packed), matmul(a[:1], packed)[0])
    stack = np.stack([a, a + 1])
    assert matmul(stack, packed).shape == (2, m, n)
    np.testing.assert_array_equal(matmul(stack[:, ::-1], packed)[:, ::-1], matmul(stack, packed))
    np.testing.assert_array_equal(
        matmul(stack, packed, out=np.empty((n, m, 2), real).T[:, :, :]), matmul(stack, packed)
    )


def test_packed_stack_into_any_layout(real, rng):
    a, b = normal(rng, (2, 4, 5), real), normal(rng, (5, 3), real)
    want, z = matmul(a, b, activation="gelu"), matmul(a, b)
    out, preact = np.empty((3, 4, 2), real).T, np.empty((3, 4, 2), real).T
    assert matmul(a, fastnn.pack(b), activation="gelu", out=out, preact=preact) is out
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(preact, z, rtol=1e-5, atol=1e-6)


def test_packed_refuses():
    good = fastnn.pack(np.ones((3, 4), np.float32))
    assert repr(good) == "PackedMatrix(shape=(3, 4), dtype=float32)"
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(3, 4\) do not fit"):
        matmul(np.ones((2, 2), np.float32), good)
    with pytest.raises(TypeError, match="packed matrix of float32 but a of float64"):
        matmul(np.ones((2, 3)), good)
    with pytest.raises(ValueError, match="must be 2-D"):
        fastnn.pack(np.ones(3, np.float32))
    with pytest.raises(TypeError, match="pickle the matrix and pack it again"):
        pickle.dumps(good)
    for bad in WRONG_TYPES:
        with pytest.raises(TypeError, match="pack: b must be"):
            fastnn.pack(bad)


NAMES = ["relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu"]


def activation(name, z):
    """The activation by itself, from its own kernel."""
    if name == "gelu_tanh":
        return kernels.gelu(z, approximate="tanh")
    return getattr(kernels, name)(z)


@pytest.mark.parametrize("name", NAMES)
def test_epilogue_of_every_path(name, real, rng, n_threads):
    """matmul(activation=...) has the bits of matmul followed by the kernel of the activation."""
    for m, k, n in [
        (1, 50, 33),
        (30, 400, 65),
        (4, 5000, 5),
        (200, 30, 200),
        (40, 300, 10),
        (9, 0, 4),
    ]:
        a, b, bias = normal(rng, (m, k), real), normal(rng, (k, n), real), normal(rng, n, real)
        a /= max(1, k) ** 0.5
        want = matmul(a, b, bias=bias)
        z, untouched = guarded((m, n), real)
        out, untouched_out = guarded((m, n), real)
        matmul(a, b, bias=bias, activation=name, preact=z, out=out)
        np.testing.assert_array_equal(z, want)
        np.testing.assert_array_equal(out, activation(name, want))
        np.testing.assert_array_equal(matmul(a, b, bias=bias, activation=name), out)
        untouched()
        untouched_out()
        packed = matmul(a, fastnn.pack(b), bias=bias, activation=name, preact=z)
        np.testing.assert_array_equal(packed, activation(name, z))
        x, y = np.empty((n, m), real).T, np.empty((n, m), real).T
        matmul(a, b, activation=name, out=x, preact=y)
        np.testing.assert_array_equal(x, activation(name, np.ascontiguousarray(y)))


def test_preact(real, rng, n_threads):
    for m, k, n in [(1, 50, 33), (30, 400, 65), (4, 5000, 5), (200, 30, 200)]:
        a, b, bias = normal(rng, (m, k), real), normal(rng, (k, n), real), normal(rng, n, real)
        z, untouched = guarded((m, n), real)
        y = matmul(a, b, bias=bias, activation="relu", preact=z)
        np.testing.assert_array_equal(z, matmul(a, b, bias=bias))
        np.testing.assert_array_equal(y, np.maximum(z, 0))
        untouched()
        np.testing.assert_array_equal(
            matmul(a, fastnn.pack(b), bias=bias, activation="relu", preact=z), np.maximum(z, 0)
        )
        out, z = np.empty((n, m), real).T, np.empty((n, m), real).T
        np.testing.assert_allclose(
            matmul(a, b, activation="relu", out=out, preact=z), np.maximum(z, 0)
        )
    stack = normal(rng, (3, 4, 5), real)
    z = np.empty((3, 4, 4), real)
    np.testing.assert_array_equal(
        matmul(stack, stack.transpose(0, 2, 1), activation="relu", preact=z), np.maximum(z, 0)
    )
    with pytest.raises(ValueError, match="preact must have the strides"):
        matmul(a, b, preact=np.empty((n, m), real).T)
    with pytest.raises(ValueError, match=r"preact must have the shape"):
        matmul(a, b, preact=np.empty((n, m + 1), real))
    with pytest.raises(ValueError, match="preact overlaps out"):
        matmul(a, b, out=(same := np.empty((m, n), real)), preact=same)
