"""matmul and gemm against float64 (longdouble for float64) with the error bound of gemm.pyx."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import gemm, matmul

from .variants import WRONG_TYPES, guarded, layouts, misaligned, spaced

# Around the tiles (4 to 8 rows, 8 to 48 columns) and the blocks (144, 384) of every instruction set.
SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 64, 97]


def exact(a, b):
    return a.astype(np.longdouble) @ b.astype(np.longdouble)


def assert_product(c, a, b, extra=0.0):
    """|c - (a b + extra)| <= (k + 3) eps (|a| |b| + |extra|), elementwise."""
    k = a.shape[-1]
    want = exact(a, b) + extra
    bound = (k + 3) * np.finfo(c.dtype).eps * (
        exact(np.abs(a), np.abs(b)) + np.abs(extra)
    ) + np.finfo(c.dtype).tiny
    assert c.shape == want.shape
    assert (np.abs(c - want) <= bound).all()


def normal(rng, shape, real):
    return rng.standard_normal(shape).astype(real)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("n", SIZES)
def test_sizes_around_the_tiles(m, n, real, rng):
    for k in (1, 4, 37):
        a, b = normal(rng, (m, k), real), normal(rng, (k, n), real)
        out, untouched = guarded((m, n), real)
        assert matmul(a, b, out=out) is out
        assert_product(out, a, b)
        untouched()


@pytest.mark.parametrize(
    "shape",
    [(1, 1000, 1), (150, 385, 50), (145, 769, 97), (300, 10, 3100), (3, 5, 6200), (700, 400, 10)],
)
def test_sizes_around_the_blocks(shape, real, rng, n_threads):
    m, k, n = shape
    a, b = normal(rng, (m, k), real), normal(rng, (k, n), real)
    assert_product(matmul(a, b), a, b)


@given(
    m=st.integers(0, 200),
    k=st.integers(0, 200),
    n=st.integers(0, 200),
    layout=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    seed=st.integers(0, 2**32 - 1),
    double=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_shape_and_layout(m, k, n, layout, seed, double):
    """|C - C_ref| <= 2 k eps |A| |B| everywhere, into an output full of NaN with guards around it."""
    rng = np.random.default_rng(seed)
    real = np.float64 if double else np.float32
    a, b = normal(rng, (m, k), real), normal(rng, (k, n), real)
    x, y = list(layouts(a))[layout[0]][1], list(layouts(b))[layout[1]][1]
    out, untouched = guarded((m, n), real)
    matmul(x, y, out=out)
    untouched()
    bound = 2 * k * np.finfo(real).eps * exact(np.abs(a), np.abs(b))
    assert (np.abs(out - exact(a, b)) <= bound).all()


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
    want = None
    for name, x, y in [(f"{i} {j}", x, y) for i, x in layouts(a) for j, y in layouts(b)]:
        out, untouched = guarded((m, n), real)
        matmul(x, y, bias=bias, out=out)
        assert_product(out, a, b, bias.astype(np.longdouble))
        untouched()
        c = normal(rng, (m, n), real)
        want = c - 2 * exact(a, b) if want is None else want
        start, got = c.copy(), gemm(x, y, c, alpha=-2, beta=1)
        bound = (k + 4) * np.finfo(real).eps * (2 * exact(np.abs(a), np.abs(b)) + np.abs(start))
        assert (np.abs(got - (start - 2 * exact(a, b))) <= bound).all(), name
    assert (matmul(a, b, bias=bias, activation="relu") >= 0).all()


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
    """Transposed A and plain B whose steps along k are a page apart are packed, others read in place."""
    big = normal(rng, (wide, wide), real)
    for m, k, n in [(200, 300, 210), (20, wide, 130), (50, 40, wide), (wide, 33, 50)]:
        a, b = big[:k, :m].T, big[:k, wide - n :]
        out, untouched = guarded((m, n), real)
        matmul(a, b, out=out)
        assert_product(out, a, b)
        untouched()


def test_nothing_is_read_past_the_end(real):
    """Operands that end at a page that must not be touched."""
    mmap = pytest.importorskip("mmap")
    libc = pytest.importorskip("ctypes").CDLL(None)
    if not hasattr(libc, "mprotect"):
        pytest.skip("this system has no mprotect")
    import ctypes

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
        assert (fastnn.softmax(edge) == 1 / np.array(cols, real)).all() or cols > 1
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


def test_packed_refuses():
    good = fastnn.pack(np.ones((3, 4), np.float32))
    assert repr(good) == "PackedMatrix(shape=(3, 4), dtype=float32)"
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(3, 4\) do not fit"):
        matmul(np.ones((2, 2), np.float32), good)
    with pytest.raises(TypeError, match="packed matrix of float32 but a of float64"):
        matmul(np.ones((2, 3)), good)
    with pytest.raises(ValueError, match="must be 2-D"):
        fastnn.pack(np.ones(3, np.float32))
    with pytest.raises(TypeError):
        import pickle

        pickle.dumps(good)
    for bad in WRONG_TYPES:
        with pytest.raises(TypeError, match="pack: b must be"):
            fastnn.pack(bad)


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


def test_any_layout_of_operands_and_output(real, rng):
    a, b, bias = normal(rng, (37, 50), real), normal(rng, (50, 61), real), normal(rng, 61, real)
    plain = matmul(a, b, bias=bias, activation="relu")
    for a_name, x in layouts(a):
        for b_name, y in layouts(b):
            assert (matmul(x, y, bias=bias, activation="relu") == plain).all(), (a_name, b_name)
    for name, out in layouts(np.full_like(plain, np.nan)):
        if not out.flags.writeable:
            continue
        assert matmul(a, b, bias=spaced(bias), activation="relu", out=out) is out
        assert (out == plain).all(), name


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        ((5,), (5,)),
        ((5,), (5, 3)),
        ((4, 5), (5,)),
        ((5,), (2, 5, 3)),
        ((2, 4, 5), (5,)),
        ((2, 4, 5), (5, 3)),
        ((2, 4, 5), (2, 5, 3)),
        ((4, 5), (2, 5, 3)),
        ((7, 1, 4, 5), (2, 5, 3)),
        ((7, 2, 4, 5), (7, 1, 5, 3)),
        ((0, 4, 5), (5, 3)),
        ((2, 0, 5), (5, 3)),
        ((2, 4, 0), (0, 3)),
        ((2, 4, 5), (5, 0)),
        ((3, 0, 4, 5), (3, 1, 5, 6)),
        ((0,), (0,)),
        ((0,), (0, 4)),
    ],
)
def test_shape_rules_are_numpys(a_shape, b_shape, real, rng):
    a, b = normal(rng, a_shape, real), normal(rng, b_shape, real)
    want = np.matmul(a, b)
    got = matmul(a, b)
    assert got.shape == want.shape and got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    out = np.full(want.shape, np.nan, real)
    assert matmul(a, b, out=out) is out
    np.testing.assert_array_equal(out, got)


def test_stacks_of_views_and_broadcasts(real, rng, n_threads):
    fused = normal(rng, (4, 20, 3, 2, 8), real)  # (B, T, 3, H, D), as a fused projection leaves it
    q, k = fused[:, :, 0].transpose(0, 2, 1, 3), fused[:, :, 1].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(matmul(q, k), np.matmul(q, k), rtol=1e-4, atol=1e-5)
    big, square = normal(rng, (3, 150, 160), real), normal(rng, (160, 160), real)
    np.testing.assert_array_equal(
        matmul(big[:, ::-1], square), matmul(big, square)[:, ::-1]
    )  # each product has work for a team


def test_bias_and_activation(real, rng):
    a, b, bias = normal(rng, (30, 40), real), normal(rng, (40, 50), real), normal(rng, 50, real)
    assert_product(matmul(a, b, bias=bias), a, b, bias.astype(np.longdouble))
    both = matmul(a, b, bias=bias, activation="relu")
    np.testing.assert_array_equal(both, np.maximum(matmul(a, b, bias=bias), 0))
    long_k = (
        normal(rng, (9, 1000), real),
        normal(rng, (1000, 50), real),
    )  # several blocks of k: bias and activation once, at the end
    assert_product(matmul(*long_k, bias=bias), *long_k, bias.astype(np.longdouble))
    np.testing.assert_array_equal(
        matmul(np.zeros((3, 0), real), np.zeros((0, 50), real), bias=bias), np.tile(bias, (3, 1))
    )


def test_nan_and_inf_propagate(real):
    a, b = np.eye(20, dtype=real), np.ones((20, 60), real)
    a[3, 4] = np.nan
    a[5, 5] = np.inf
    c = matmul(a, b)
    assert np.isnan(c[3]).all() and (c[5] == np.inf).all() and np.isfinite(c[6]).all()
    assert np.isnan(matmul(a, b, activation="relu")[3]).all()
    assert np.isnan(matmul(np.full((1, 1), np.inf, real), np.zeros((1, 1), real))).all()


def test_same_bits_at_any_thread_count(real, rng):
    for m, k, n in [(333, 777, 555), (1000, 50, 10), (7, 3000, 200), (64, 4096, 64)]:
        a, b, bias = normal(rng, (m, k), real), normal(rng, (k, n), real), normal(rng, n, real)
        results = []
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                results.append(matmul(a, b, bias=bias, activation="relu").tobytes())
        assert len(set(results)) == 1


@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (1, 1), (-0.5, 2), (0, 1)])
def test_gemm(trans_a, trans_b, alpha, beta, real, rng):
    for m, k, n in [(5, 6, 7), (50, 400, 70), (4, 0, 3)]:
        a = normal(rng, (k, m) if trans_a else (m, k), real)
        b = normal(rng, (n, k) if trans_b else (k, n), real)
        x, y = a.T if trans_a else a, b.T if trans_b else b
        for _, c in layouts(normal(rng, (m, n), real)):
            start = c.copy()
            assert gemm(a, b, c, alpha=alpha, beta=beta, trans_a=trans_a, trans_b=trans_b) is c
            want = alpha * exact(x, y) + np.longdouble(beta) * start
            bound = (k + 4) * np.finfo(real).eps * (
                abs(alpha) * exact(np.abs(x), np.abs(y)) + abs(beta * start)
            ) + np.finfo(real).tiny
            assert (np.abs(c - want) <= bound).all()
        np.testing.assert_array_equal(gemm(a, b, trans_a=trans_a, trans_b=trans_b), matmul(x, y))


def test_beta_zero_never_reads_c(real, rng):
    for m, n in [(3, 5), (40, 130)]:
        a, b = normal(rng, (m, 20), real), normal(rng, (20, n), real)
        out, untouched = guarded((m, n), real, fill=np.nan)
        gemm(a, b, out, beta=0)
        assert_product(out, a, b)
        untouched()


def test_wrong_types():
    good = np.ones((2, 2), np.float32)
    for bad in WRONG_TYPES:
        for call in (
            lambda x: matmul(x, good),
            lambda x: matmul(good, x),
            lambda x: gemm(x, good),
            lambda x: gemm(good, x),
        ):
            with pytest.raises(TypeError, match=r"(matmul|gemm): [ab] "):
                call(bad)
    with pytest.raises(TypeError, match="b is of float64 but a of float32"):
        matmul(good, good.astype(np.float64))
    with pytest.raises(TypeError, match="native byte order"):
        matmul(good.astype(">f4"), good)
    with pytest.raises(TypeError, match="out is of float64"):
        matmul(good, good, out=np.ones((2, 2)))
    with pytest.raises(ValueError, match="not aligned"):
        matmul(misaligned(4, np.float32).reshape(2, 2), good)


def test_wrong_shapes():
    def a(*shape):
        return np.ones(shape, np.float32)

    with pytest.raises(
        ValueError, match=r"\(2, 3\) and \(4, 5\) do not fit: 3 columns of a, 4 rows of b"
    ):
        matmul(a(2, 3), a(4, 5))
    with pytest.raises(ValueError, match=r"\(3,\) and \(4, 5\)"):
        matmul(a(3), a(4, 5))
    with pytest.raises(ValueError, match=r"\(2, 3, 4\) and \(3, 4, 5\) do not broadcast"):
        matmul(a(2, 3, 4), a(3, 4, 5))
    with pytest.raises(ValueError, match="at least one dimension"):
        matmul(a(), a(2, 2))
    with pytest.raises(ValueError, match=r"out must have the shape \(2, 5\).*not \(5, 2\)"):
        matmul(a(2, 3), a(3, 5), out=a(5, 2))
    with pytest.raises(ValueError, match=r"bias must have the shape \(5,\).*not \(2,\)"):
        matmul(a(2, 3), a(3, 5), bias=a(2))
    with pytest.raises(ValueError, match="activation must be None or 'relu', not 'swish'"):
        matmul(a(2, 3), a(3, 5), activation="swish")
    with pytest.raises(ValueError, match="must be 2-D"):
        gemm(a(3), a(3, 5))
    with pytest.raises(ValueError, match="2 columns of a, 3 rows of b"):
        gemm(a(2, 3), a(3, 5), trans_a=True)
    with pytest.raises(ValueError, match=r"c must have the shape \(2, 5\)"):
        gemm(a(2, 3), a(3, 5), a(2, 4))
    with pytest.raises(ValueError, match="needs a c"):
        gemm(a(2, 3), a(3, 5), beta=1)


def test_outputs_that_cannot_be_written():
    a = np.ones((4, 4), np.float32)
    frozen = np.zeros((4, 4), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        matmul(a, a, out=frozen)
    with pytest.raises(ValueError, match="out overlaps a"):
        matmul(a, a.copy(), out=a)
    memory = np.ones((8, 4), np.float32)
    with pytest.raises(ValueError, match="out overlaps b"):
        matmul(a, memory[:4], out=memory[2:6])
    with pytest.raises(ValueError, match="c overlaps a"):
        gemm(memory[:4], a, memory[1:5])
    interleaved = np.ones((4, 8), np.float32)
    matmul(interleaved[:, ::2], a, out=interleaved[:, 1::2])  # same bytes spanned, none shared
    assert (interleaved[:, 1::2] == 4).all() and (interleaved[:, ::2] == 1).all()


def test_read_only_operands_are_fine(real):
    a = np.ones((3, 3), real)
    a.flags.writeable = False
    assert (matmul(a, a) == 3).all()
