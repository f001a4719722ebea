"""Softmax by valid lengths: the valid part, NaN beyond it, layouts, threads, errors."""

import numpy as np
import pytest

import fastnn
from fastnn import softmax, softmax_backward

from .variants import guarded, layouts

# The shape of x and that of the lengths.
SHAPES = [
    ((4, 5), (4,)),
    ((4, 5), ()),
    ((3, 6, 17), (3,)),
    ((3, 6, 17), (3, 6)),
    ((2, 3, 4, 70), (2,)),
    ((2, 3, 4, 70), (2, 3)),
    ((9, 1), (9,)),
    ((3, 0), (3,)),
    ((0, 3), (0,)),
    ((5, 0, 4), (5,)),
    ((400, 3, 33), (400,)),
]


def problem(rng, shape, of, real):
    """x and dy with NaN beyond the lengths, the lengths, and the mask of what is valid."""
    lengths = np.array(rng.integers(0, shape[-1] + 1, of))
    wide = np.broadcast_to(lengths.reshape(*of, *[1] * (len(shape) - len(of))), (*shape[:-1], 1))
    valid = np.arange(shape[-1]) < wide
    x, dy = np.array(3 * rng.standard_normal((2, *shape)), real)
    x[~valid] = dy[~valid] = np.nan
    return x, dy, lengths, valid


@pytest.mark.parametrize("shape, of", SHAPES, ids=str)
def test_rows_are_those_of_softmax(shape, of, real, rng, n_threads):
    x, dy, lengths, valid = problem(rng, shape, of, real)
    y = softmax(x, lengths=lengths)
    saved = np.where(valid, y, np.nan).astype(real)
    dx = softmax_backward(dy, saved, lengths=lengths)
    assert (y[~valid] == 0).all() and (dx[~valid] == 0).all()
    for row in np.ndindex(shape[:-1]):
        n = int(valid[row].sum())
        np.testing.assert_array_equal(y[row][:n], softmax(x[row][:n].copy()))
        np.testing.assert_array_equal(
            dx[row][:n], softmax_backward(dy[row][:n].copy(), y[row][:n].copy())
        )


def test_the_book_s_examples(real, rng):
    """*Dive into Deep Learning*, section 11.3.2."""
    x = rng.random((2, 2, 4)).astype(real)
    one = softmax(x, lengths=np.array([2, 3]))
    assert (one[0, :, 2:] == 0).all() and (one[1, :, 3:] == 0).all()
    two = softmax(x, lengths=np.array([[1, 3], [2, 4]]))
    np.testing.assert_array_equal(two[0, 0], np.array([1, 0, 0, 0], real))
    assert (two > 0).sum(-1).tolist() == [[1, 3], [2, 4]]
    np.testing.assert_allclose(two.sum(-1), 1, rtol=1e-6)


def test_gradient_by_central_differences(rng):
    x, dy = rng.standard_normal((2, 4, 7))
    lengths, h = np.array([0, 1, 4, 7]), 1e-6
    got = softmax_backward(dy, softmax(x, lengths=lengths), lengths=lengths)
    want = np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        above, below = softmax(up, lengths=lengths), softmax(down, lengths=lengths)
        want[i] = ((above - below) * dy).sum() / (2 * h)
    assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max()


def test_layouts_in_place_and_nothing_else_touched(real, rng):
    x, dy, lengths, _ = problem(rng, (6, 9), (6,), real)
    y = softmax(x, lengths=lengths)
    dx = softmax_backward(dy, y, lengths=lengths)
    for name, view in layouts(x):
        assert softmax(view, lengths=lengths, out=view) is view
        np.testing.assert_array_equal(view, y, err_msg=name)
    for name, view in layouts(dy):
        assert softmax_backward(view, y, lengths=lengths, out=view) is view
        np.testing.assert_array_equal(view, dx, err_msg=name)
    out, untouched = guarded(x.shape, real)
    np.testing.assert_array_equal(softmax(x, lengths=lengths, out=out), y)
    untouched()
    for kind in (np.int8, np.uint16, np.uint64, ">i4"):
        np.testing.assert_array_equal(softmax(x, lengths=lengths.astype(kind)), y)
    twice = np.repeat(lengths, 2)[::2]
    np.testing.assert_array_equal(softmax(x, lengths=twice), y)


def test_same_bits_at_any_thread_count(real, rng):
    x, dy, lengths, _ = problem(rng, (60, 5, 200), (60, 5), real)
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            y = softmax(x, lengths=lengths)
            results.add((y.tobytes(), softmax_backward(dy, y, lengths=lengths).tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("wrong", [-1, 6, 2**40])
def test_length_out_of_range_changes_nothing(wrong):
    x, out = np.ones((2, 3, 5), np.float32), np.full((2, 3, 5), 7, np.float32)
    lengths = np.full((2, 3), 5)
    lengths[1, 2] = wrong
    with pytest.raises(ValueError, match=rf"the length {wrong} at \(1, 2\) is not from 0 to 5"):
        softmax(x, lengths=lengths, out=out)
    with pytest.raises(ValueError, match=rf"the length {wrong} at 1 is not from 0 to 5"):
        softmax_backward(x, x, lengths=lengths[:, 2].copy(), out=out)
    assert (out == 7).all()


def test_wrong_lengths():
    x = np.ones((2, 3, 5), np.float32)
    for bad in ([5, 5], 5, np.ones(2), np.ones(2, bool)):
        with pytest.raises(TypeError, match="lengths must be a NumPy array of integers"):
            softmax(x, lengths=bad)
    for shape in ((3,), (2, 5), (2, 3, 5), (2, 3, 1)):
        with pytest.raises(ValueError, match=r"lengths must have the shape of the first axes of x"):
            softmax(x, lengths=np.ones(shape, int))
    with pytest.raises(ValueError, match="lengths must have the shape"):
        softmax(np.array(1.0), lengths=np.array(1))
    memory = np.zeros(30, np.int64)
    with pytest.raises(ValueError, match="out overlaps lengths"):
        softmax(np.ones((2, 5)), lengths=memory[:2], out=memory[:10].view(np.float64).reshape(2, 5))
