"""l1_norm against exact fractions, and the axioms of a norm."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastnn
from fastnn import l1_norm

from .test_norm import bound, mixtures, ulps, views
from .variants import WRONG_TYPES, layouts, spaced


def exact(x):
    """The sum of magnitudes, correctly rounded to double; infinity where it overflows."""
    total = sum((Fraction(abs(v)) for v in np.asarray(x, np.float64).ravel().tolist()), Fraction(0))
    return float(total) if total <= Fraction(np.finfo(float).max) else math.inf


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 4), (7, 9, 11), (1000,), (130, 131), (40000,)])
def test_accuracy(shape, real, rng):
    x = rng.standard_normal(shape).astype(real)
    assert ulps(l1_norm(x), exact(x)) <= bound(real)


def test_the_books_example(real):
    assert l1_norm(np.array([3, -4], real)) == 7.0
    assert l1_norm(np.full((4, 9), -1, real)) == 36.0
    assert l1_norm(np.array(-3, real)) == 3.0


def test_adversarial_data(rng):
    for name, x in mixtures(rng):
        x = x / 1e6  # the sum of 50,001 numbers near 1e300 stays finite
        assert ulps(l1_norm(x), exact(x)) <= 1, name
        assert l1_norm(spaced(x)) == pytest.approx(exact(x), rel=3e-16), f"{name}, spaced"


def test_extremes():
    largest = np.finfo(float).max
    assert l1_norm(np.array([largest, -largest])) == math.inf
    assert l1_norm(np.array([largest, 1.0])) == largest
    assert l1_norm(np.array([5e-324, -5e-324])) == 1e-323
    single = np.finfo(np.float32).max
    assert l1_norm(np.full(4, -single)) == 4.0 * float(single)  # beyond float32 itself
    ones = np.append(np.full(10_000, 1.0), 2.0**53)
    assert l1_norm(ones) == 2.0**53 + 10_000  # NumPy's sum in order would lose the ones


def test_nan_and_inf(real):
    for n in (2, 100, 50000):
        x = np.ones(n, real)
        x[n // 2] = -np.inf
        assert l1_norm(x) == np.inf
        x[n - 1] = np.nan
        assert math.isnan(l1_norm(x))


def test_several_arrays_together(real, rng):
    shapes = [(3,), (40, 50), (), (0, 7), (2, 3, 4), (30_000,)]
    arrays = [np.array(rng.standard_normal(shape), real) for shape in shapes]
    together = np.concatenate([a.ravel() for a in arrays])
    arrays[1], arrays[4] = np.asfortranarray(arrays[1]), spaced(arrays[4])
    assert ulps(l1_norm(arrays), exact(together)) <= bound(real)
    assert l1_norm(tuple(arrays)) == l1_norm(arrays)
    assert l1_norm([]) == l1_norm(()) == 0.0
    with pytest.raises(TypeError, match=r"l1_norm: x\[1\] is of float64 but x\[0\] of float32"):
        l1_norm([np.ones(3, np.float32), np.ones(3)])


def test_any_layout_without_change(real, rng):
    x = rng.standard_normal((60, 70)).astype(real)
    for name, view in layouts(x):
        before = view.copy()
        assert ulps(l1_norm(view), exact(x)) <= bound(real), name
        assert (view == before).all()


def test_same_bits_at_any_thread_count(real, rng):
    for view in (rng.standard_normal(500_001).astype(real), *views(rng, real)):
        results = set()
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                results.add(l1_norm(view))
        assert len(results) == 1
        assert ulps(results.pop(), exact(view)) <= bound(real)


elements = st.floats(-1e300, 1e300)


vectors = st.integers(0, 40).map(lambda n: hnp.arrays(float, n, elements=elements))


@given(vectors.flatmap(lambda vector: st.tuples(vector, vector)))
@settings(max_examples=100, deadline=None)
def test_axioms(pair):
    x, y = pair
    norm = l1_norm(x)
    assert norm >= 0 and (norm == 0) == (not x.any())
    assert l1_norm(-x) == norm and l1_norm(2 * x) == 2 * norm
    assert l1_norm(x + y) <= (norm + l1_norm(y)) * (1 + 4e-16)


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=str)
def test_wrong_types(bad):
    with pytest.raises(TypeError, match=r"l1_norm: x(\[0\])? must be a NumPy array"):
        l1_norm(bad)
