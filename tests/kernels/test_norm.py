"""frobenius_norm against math.fsum and the axioms of a norm."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastnn
from fastnn import frobenius_norm

from .variants import WRONG_TYPES, layouts


def exact_norm(x):
    """Correctly rounded to double: the sum of squares as a fraction, its root to 40 more bits."""
    total = sum((Fraction(float(v)) ** 2 for v in x.ravel()), Fraction(0))
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


def test_adversarial_cancellation_of_digits(rng):
    x = np.concatenate([np.full(3, 1e8), rng.uniform(0, 1, 60000)])
    assert ulps(frobenius_norm(x), exact_norm(x)) <= 1


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


elements = st.floats(-1e100, 1e100)


@given(hnp.arrays(np.float64, st.integers(0, 40), elements=elements), st.floats(-1e100, 1e100))
@settings(max_examples=100, deadline=None)
def test_homogeneous_and_definite(x, factor):
    assert frobenius_norm(x) >= 0
    assert (frobenius_norm(x) == 0) == (not x.any())
    assert frobenius_norm(factor * x) == pytest.approx(
        abs(factor) * frobenius_norm(x), rel=1e-14, abs=1e-300
    )


@given(
    st.integers(0, 40).flatmap(
        lambda n: st.tuples(*[hnp.arrays(np.float64, n, elements=elements)] * 2)
    )
)
@settings(max_examples=100, deadline=None)
def test_triangle_inequality(pair):
    x, y = pair
    assert frobenius_norm(x + y) <= (frobenius_norm(x) + frobenius_norm(y)) * (1 + 4e-16)


def test_same_bits_at_any_thread_count(real, rng):
    x = rng.standard_normal(500_001).astype(real)
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            results.add(frobenius_norm(x))
    assert len(results) == 1


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=str)
def test_wrong_types(bad):
    with pytest.raises(TypeError, match="frobenius_norm: x must be a NumPy array"):
        frobenius_norm(bad)
