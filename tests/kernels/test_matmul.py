"""matmul and gemm against long double with the error bound of paths.pyx."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import gemm, matmul

from .variants import (
    WRONG_TYPES,
    assert_product,
    exact,
    guarded,
    layouts,
    misaligned,
    normal,
    spaced,
)

# Around the tiles (4 to 8 rows, 8 to 48 columns) of every instruction set.
SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 64, 97]


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
    """|C - C_ref| <= 2 k eps |A| |B| elementwise; the output starts as NaN between guards."""
    rng = np.random.default_rng(seed)
    real = np.float64 if double else np.float32
    a, b = normal(rng, (m, k), real), normal(rng, (k, n), real)
    x, y = list(layouts(a))[layout[0]][1], list(layouts(b))[layout[1]][1]
    out, untouched = guarded((m, n), real)
    matmul(x, y, out=out)
    untouched()
    bound = 2 * k * np.finfo(real).eps * exact(np.abs(a), np.abs(b))
    assert (np.abs(out - exact(a, b)) <= bound).all()


def test_any_layout_of_operands_and_output(real, rng):
    """The same bits in any layout."""
    a, b, bias = normal(rng, (37, 50), real), normal(rng, (50, 62), real), normal(rng, 62, real)
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
    with pytest.raises(ValueError, match=r"out must have the shape \(2, 5\).*got \(5, 2\)"):
        matmul(a(2, 3), a(3, 5), out=a(5, 2))
    with pytest.raises(ValueError, match=r"bias must have the shape \(5,\).*got \(2,\)"):
        matmul(a(2, 3), a(3, 5), bias=a(2))
    with pytest.raises(ValueError, match=r"activation must be one of None, 'relu', .* got 'swish'"):
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
    twice = np.lib.stride_tricks.as_strided(np.zeros(4, np.float32), (4, 4), (0, 4))
    with pytest.raises(ValueError, match="out overlaps itself"):
        matmul(a, a, out=twice)
    with pytest.raises(ValueError, match="c overlaps itself"):
        gemm(a, a, twice)
    interleaved = np.ones((4, 8), np.float32)
    matmul(interleaved[:, ::2], a, out=interleaved[:, 1::2])  # same bytes spanned, none shared
    assert (interleaved[:, 1::2] == 4).all() and (interleaved[:, ::2] == 1).all()


def test_read_only_operands_are_fine(real):
    a = np.ones((3, 3), real)
    a.flags.writeable = False
    assert (matmul(a, a) == 3).all()
