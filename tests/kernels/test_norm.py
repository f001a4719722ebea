"""frobenius_norm and squared_norm against exact fractions, and the axioms of a norm."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastnn
from fastnn import frobenius_norm
from fastnn.kernels import squared_norm

from .variants import WRONG_TYPES, layouts, spaced


def exact_square(x):
    """The sum of squares as a fraction. Squares of one scale are added as integers for speed."""
    mantissas, exponents = np.frexp(np.asarray(x, np.float64).ravel())
    integers = np.ldexp(mantissas, 53).astype(np.int64).tolist()
    sums: dict[int, int] = {}
    for exponent, integer in zip(exponents.tolist(), integers, strict=True):
        sums[exponent] = sums.get(exponent, 0) + integer * integer
    return sum((Fraction(2) ** (2 * (e - 53)) * s for e, s in sums.items()), Fraction(0))


def exact_norm(x):
    """The root with 40 extra bits, correctly rounded to double."""
    total = exact_square(x)
    if total == 0:
        return 0.0
    shift = 2 * max(0, 120 - (total.numerator.bit_length() - total.denominator.bit_length()) // 2)
    root = math.isqrt((total.numerator << shift) // total.denominator)
    return float(Fraction(root, 1 << (shift // 2)))


def ulps(got, want):
    return abs(got - want) / math.ulp(want) if want else float(got != 0)


def bound(real):
    """Ulp of double allowed by norm.pyx: 2^-41 relative for float32 data, 1 ulp for float64."""
    return 2.0**11 if real is np.float32 else 1


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 4), (7, 9, 11), (1000,), (130, 131), (40000,)])
def test_accuracy(shape, real, rng):
    x = rng.standard_normal(shape).astype(real)
    assert ulps(frobenius_norm(x), exact_norm(x)) <= bound(real)


@pytest.mark.parametrize(
    "values",
    [
        [1e300, 1e300],
        [1e-300, 1e-300],
        [5e-324],
        [5e-324, 1e-320, 3e-310],
        [1e300, 1e-300, 1.0],
        [1.7e308, 1.0],
        [1e154, 1e154, 1e-160],
        [1e-160] * 1000,
        [1e-163, 3e-162],
        [0.0, -0.0],
    ],
)
def test_double_extremes(values):
    x = np.array(values)
    assert ulps(frobenius_norm(x), exact_norm(x)) <= 1


def test_single_extremes():
    f = np.float32
    assert (
        ulps(frobenius_norm(np.array([1e30, 1e30], f)), exact_norm(np.array([1e30, 1e30], f))) <= 1
    )
    assert (
        ulps(frobenius_norm(np.array([1e-45, 3e-42], f)), exact_norm(np.array([1e-45, 3e-42], f)))
        <= 1
    )
    largest = np.finfo(f).max
    assert frobenius_norm(np.full(4, largest, f)) == 2.0 * float(largest)  # beyond float32 itself
    assert f(frobenius_norm(np.full((2048, 2048), 0.1, f))) == f(204.8)


def test_the_books_examples(real):
    assert frobenius_norm(np.array([3, -4], real)) == 5.0
    assert frobenius_norm(np.ones((4, 9), real)) == 6.0


def mixtures(rng):
    """float64 data that are hard to sum: their order, growth and rounding."""
    n = 50_001
    plain = rng.standard_normal(n)
    yield "constant", np.full(n, 0.1)
    yield "squares that round by half an ulp", np.full(n, 1 + 2.0**-27)
    yield "three large ones first", np.concatenate([np.full(3, 1e8), rng.uniform(0, 1, n)])
    yield "one large one last", np.append(plain, 1e12)
    yield "zeros first", np.concatenate([np.zeros(40), plain])
    yield "tiny ones first", np.concatenate([np.full(40, 1e-30), plain])
    yield "sparse", plain * (rng.uniform(size=n) < 0.001)
    yield "any exponent", np.ldexp(plain, rng.integers(-300, 300, n))
    yield "rising", np.geomspace(1e-140, 1e140, n)
    yield "falling", np.geomspace(1e140, 1e-140, n)
    yield "all large", 1e300 * plain
    yield "all small", 1e-300 * plain
    yield "subnormal", 5e-324 * rng.integers(-1000, 1000, n)
    yield "large, small and subnormal", plain * np.resize([1e300, 1.0, 1e-300, 1e-320], n)


def test_adversarial_data(rng):
    for name, x in mixtures(rng):
        assert ulps(frobenius_norm(x), exact_norm(x)) <= 1, name
        assert ulps(frobenius_norm(spaced(x)), exact_norm(x)) <= 1, f"{name}, spaced"
        square = exact_square(x)
        if square < Fraction(np.finfo(float).max):
            assert ulps(squared_norm(x), float(square)) <= 1, name
        else:
            assert squared_norm(x) == math.inf, name


def test_squares(real, rng):
    x = rng.standard_normal((70, 90)).astype(real)
    assert ulps(squared_norm(x), float(exact_square(x))) <= 2 * bound(real)
    assert squared_norm(np.array([3, -4], real)) == 25.0
    assert squared_norm(np.array([1, np.inf], real)) == math.inf
    assert math.isnan(squared_norm(np.array([np.nan, np.inf], real)))
    assert squared_norm(np.zeros(0, real)) == squared_norm([]) == 0.0


def test_several_arrays_together(real, rng):
    shapes = [(3,), (40, 50), (), (0, 7), (2, 3, 4), (30_000,)]
    arrays = [np.array(rng.standard_normal(shape), real) for shape in shapes]
    together = np.concatenate([a.ravel() for a in arrays])
    arrays[1] = np.asfortranarray(arrays[1])
    arrays[4] = spaced(arrays[4])
    assert ulps(frobenius_norm(arrays), exact_norm(together)) <= bound(real)
    assert frobenius_norm(tuple(arrays)) == frobenius_norm(arrays)
    assert frobenius_norm([together]) == frobenius_norm(together)
    assert frobenius_norm([]) == frobenius_norm(()) == 0.0
    assert frobenius_norm([*arrays, np.array([np.inf], real)]) == math.inf
    assert math.isnan(frobenius_norm([np.array([np.inf, 1], real), np.array([np.nan], real)]))


@pytest.mark.parametrize("pair", [(1e300, 1e-300), (1e-300, 1e-290), (1e300, 1e300), (5e-324, 0)])
def test_extremes_in_several_arrays(pair):
    x = np.array(pair)
    assert ulps(frobenius_norm([x[:1], x[1:]]), exact_norm(x)) <= 1


def test_several_arrays_are_of_one_type():
    x = np.ones(3, np.float32)
    with pytest.raises(
        TypeError, match=r"squared_norm: x\[1\] is of float64 but x\[0\] of float32"
    ):
        squared_norm([x, np.ones(3)])
    with pytest.raises(TypeError, match=r"frobenius_norm: x\[2\] must be a NumPy array"):
        frobenius_norm((x, x, 1.0))


def test_nan_and_inf(real):
    for n in (2, 100, 50000):
        x = np.ones(n, real)
        x[n // 2] = -np.inf
        assert frobenius_norm(x) == np.inf
        x[n - 1] = np.nan
        assert math.isnan(frobenius_norm(x))


def test_any_layout_without_change(real, rng):
    x = rng.standard_normal((60, 70)).astype(real)
    want = exact_norm(x)
    for name, view in layouts(x):
        before = view.copy()
        assert ulps(frobenius_norm(view), want) <= bound(real), name
        assert (view == before).all()
    assert frobenius_norm(np.array(3, real)) == 3.0


def views(rng, real):
    """Views without mergeable axes: short and long rows, swapped, reversed and repeated axes."""
    x = rng.standard_normal((6, 5, 40, 41)).astype(real)
    yield x[::2, ::2, ::2, 1:40]
    yield x[:, 1:, :, ::3].transpose(2, 0, 3, 1)
    yield x[::-1, :, ::-2, ::-1]
    yield x[..., :2]
    yield x[..., 0]
    yield np.broadcast_to(x[0, 0, 0], (3, 41))
    long = rng.standard_normal((3, 40_000)).astype(real)
    yield long[:, 1:]
    yield long[:, ::2]
    yield long.T[1:]
    yield long[:, :20_000].reshape(3, 100, 200)[:, ::3, ::-1]


def test_any_view(real, rng):
    for i, view in enumerate(views(rng, real)):
        assert ulps(frobenius_norm(view), exact_norm(view)) <= bound(real), i
        results = set()
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                results.add(frobenius_norm(view))
        assert len(results) == 1, i


def test_views_are_not_copied(real):
    """Memory is what the elements of a view have, so a copy would show."""
    tracemalloc = pytest.importorskip("tracemalloc")
    view = np.ones((2000, 2000), real)[::2, ::2].T
    frobenius_norm(view)
    tracemalloc.start()
    frobenius_norm(view)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < view.nbytes / 100


elements = st.floats(allow_nan=False, allow_infinity=False, max_value=1e307, min_value=-1e307)
arrays = hnp.arrays(np.float64, st.integers(0, 40), elements=elements)


@given(arrays, st.floats(-1e100, 1e100))
@example(np.array([5e-324, 5e-324]), 1.5376250927266766e16)
@settings(max_examples=100, deadline=None)
def test_homogeneous_and_definite(x, factor):
    norm = frobenius_norm(x)
    assert norm >= 0
    assert (norm == 0) == (not x.any())
    assert frobenius_norm(-x) == norm
    x = np.clip(x, -1e150, 1e150)
    scaled = factor * x
    # by the products where they underflow, and by the norm of x where it is subnormal
    lost = np.finfo(float).tiny * math.sqrt(len(x))
    lost += abs(factor) * np.finfo(float).smallest_subnormal
    assert frobenius_norm(scaled) == pytest.approx(
        abs(factor) * frobenius_norm(x), rel=1e-15, abs=lost
    )


@given(hnp.arrays(np.float64, st.integers(0, 40), elements=st.floats(-1e50, 1e50)))
@settings(max_examples=100, deadline=None)
def test_homogeneous_to_the_bit_for_powers_of_two(x):
    x[np.abs(x) < 1e-50] = 0
    for exponent in (-700, -300, -1, 2, 300, 700):
        assert frobenius_norm(np.ldexp(x, exponent)) == math.ldexp(frobenius_norm(x), exponent)


@given(
    st.integers(0, 40).flatmap(
        lambda n: st.tuples(*[hnp.arrays(np.float64, n, elements=elements)] * 2)
    )
)
@example([np.array([5e-324, 5e-324])] * 2)
@settings(max_examples=100, deadline=None)
def test_triangle_inequality(pair):
    x, y = pair
    rounded = 3 * np.finfo(float).smallest_subnormal  # each of the norms, where it is subnormal
    bound = (frobenius_norm(x) + frobenius_norm(y)) * (1 + 4e-16) + rounded
    assert frobenius_norm(x + y) <= bound


def test_same_bits_at_any_thread_count(real, rng):
    x = rng.standard_normal(500_001).astype(real)
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            results.add(frobenius_norm(x))
    assert len(results) == 1


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=str)
def test_wrong_types(bad):
    with pytest.raises(TypeError, match=r"frobenius_norm: x(\[0\])? must be a NumPy array"):
        frobenius_norm(bad)
