"""Embedding: lookup and gradient against NumPy, layouts, threads, invalid ids."""

import numpy as np
import pytest

import fastnn
from fastnn import embedding, embedding_backward

from .variants import WRONG_TYPES, guarded, layouts, spaced


def normal(rng, shape, real):
    return rng.standard_normal(shape).astype(real)


def summed(ids, dy, rows, scale=1.0):
    """The gradient in float64, by a plain loop."""
    table = np.zeros((rows, dy.shape[-1]))
    for i in np.ndindex(ids.shape):
        table[ids[i]] += scale * dy[i].astype(np.float64)
    return table


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (4, 5), (2, 3, 4), (300, 3)], ids=str)
@pytest.mark.parametrize("d", [1, 5, 16, 37, 130])
@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_against_numpy(shape, d, scale, real, rng, n_threads):
    weight, ids = normal(rng, (11, d), real), rng.integers(0, 11, shape)
    ids = np.asarray(ids)
    y = embedding(ids, weight, scale=scale)
    assert y.dtype == real
    np.testing.assert_array_equal(y, weight[ids] * real(scale))
    dy, dweight = normal(rng, (*shape, d), real), np.full((11, d), 2, real)
    assert embedding_backward(ids, dy, dweight=dweight, scale=scale) is None
    tolerance = 40 * float(np.finfo(real).eps) * (1 + ids.size / 11)
    np.testing.assert_allclose(dweight - 2, summed(ids, dy, 11, scale), rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.uint64])
def test_any_integers(kind, rng):
    weight, ids = normal(rng, (100, 8), np.float32), rng.integers(0, 100, (3, 9)).astype(kind)
    np.testing.assert_array_equal(embedding(ids, weight), weight[ids])
    np.testing.assert_array_equal(embedding(ids.T[::-1], weight), weight[ids.T[::-1]])
    swapped = ids.astype(ids.dtype.newbyteorder())
    np.testing.assert_array_equal(embedding(swapped, weight), weight[ids])


def test_padding_gets_no_gradient(real, rng):
    ids, dy = np.array([0, 3, 0, 1]), normal(rng, (4, 6), real)
    dweight = np.zeros((4, 6), real)
    embedding_backward(ids, dy, dweight=dweight, padding_idx=0)
    assert not dweight[[0, 2]].any()
    np.testing.assert_array_equal(dweight[[3, 1]], dy[[1, 3]])


def test_the_gradient_is_the_adjoint_of_the_lookup(rng):
    """<embedding(W), dy> = <W, embedding_backward(dy)>: lookup is linear in the table."""
    weight, ids = rng.standard_normal((9, 5)), rng.integers(0, 9, (4, 6))
    dy, dweight = rng.standard_normal((4, 6, 5)), np.zeros((9, 5))
    embedding_backward(ids, dy, dweight=dweight, scale=0.3)
    np.testing.assert_allclose(
        (embedding(ids, weight, scale=0.3) * dy).sum(), (weight * dweight).sum(), rtol=1e-12
    )


def test_any_layout_in_and_out(real, rng):
    weight, ids = normal(rng, (21, 37), real), rng.integers(0, 21, (2, 50))
    plain = embedding(ids, weight, scale=2.0)
    for name, view in layouts(weight):
        np.testing.assert_array_equal(embedding(ids, view, scale=2.0), plain, err_msg=name)
    for name, out in layouts(np.full_like(plain, np.nan)):
        assert embedding(ids, weight, scale=2.0, out=out) is out
        np.testing.assert_array_equal(out, plain, err_msg=name)
    out, untouched = guarded(plain.shape, real)
    embedding(ids, weight, scale=2.0, out=out)
    untouched()
    expected = np.zeros_like(weight)
    embedding_backward(ids, plain, dweight=expected)
    for name, view in layouts(plain):
        dweight, untouched = guarded(weight.shape, real, 0)
        embedding_backward(ids, view, dweight=dweight)
        untouched()
        np.testing.assert_array_equal(dweight, expected, err_msg=name)
    wide = np.zeros((21, 80), real)
    embedding_backward(ids, plain, dweight=wide[:, :37])
    np.testing.assert_array_equal(wide[:, :37], expected)
    assert not wide[:, 37:].any()


def test_same_bits_at_any_thread_count(real, rng):
    ids = rng.zipf(1.3, 5000) % 200
    weight, dy = normal(rng, (200, 70), real), normal(rng, (5000, 70), real)
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            dweight = np.zeros_like(weight)
            embedding_backward(ids, dy, dweight=dweight, scale=0.3)
            results.add((embedding(ids, weight, scale=0.3).tobytes(), dweight.tobytes()))
    assert len(results) == 1


def test_nan_and_infinity_stay_in_their_rows(real):
    weight = np.array([[np.nan, 1], [np.inf, 2], [3, 4]], real)
    y = embedding(np.array([2, 0, 1]), weight, scale=2.0)
    np.testing.assert_array_equal(y, 2 * weight[[2, 0, 1]])
    dweight = np.zeros_like(weight)
    embedding_backward(np.array([0, 2]), np.array([[np.nan, 0], [1, 1]], real), dweight=dweight)
    np.testing.assert_array_equal(dweight, np.array([[np.nan, 0], [0, 0], [1, 1]], real))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([0, 1, 5]), r"ids\[2\] is 5, which is no row of .* with 5 rows"),
        (np.array([[0, 1], [-1, 7]]), r"ids\[\(1, 0\)\] is -1"),
        (np.array([2**64 - 1], np.uint64), r"ids\[0\] is 18446744073709551615"),
        (np.arange(1000).reshape(2, 500) % 5 + np.eye(2, 500, 499, dtype=int) * 9, r"\(0, 499\)"),
        (np.array(5), r"ids\[0\] is 5"),
    ],
)
def test_ids_that_are_no_rows(ids, message):
    weight, dy = np.ones((5, 3), np.float32), np.ones((*ids.shape, 3), np.float32)
    out, dweight = np.zeros_like(dy), np.zeros_like(weight)
    with pytest.raises(IndexError, match=message):
        embedding(ids, weight, out=out)
    with pytest.raises(IndexError, match=message):
        embedding_backward(ids, dy, dweight=dweight)
    assert not out.any() and not dweight.any()


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=str)
def test_wrong_types(bad):
    ids, weight = np.zeros(4, int), np.ones((4, 3), np.float32)
    with pytest.raises(TypeError, match="weight must be a NumPy array"):
        embedding(ids, bad)
    with pytest.raises(TypeError, match="dy must be a NumPy array"):
        embedding_backward(ids, bad, dweight=weight)
    with pytest.raises(TypeError, match="dweight must be a NumPy array"):
        embedding_backward(ids, np.ones((4, 3), np.float32), dweight=bad)
    if not (isinstance(bad, np.ndarray) and bad.dtype.kind in "iu"):
        with pytest.raises(TypeError, match="ids must be a NumPy array of integers"):
            embedding(bad, weight)


def test_wrong_arguments():
    ids, weight, dy = np.zeros(4, int), np.ones((5, 3), np.float32), np.ones((4, 3), np.float32)
    with pytest.raises(
        TypeError, match="ids must be a NumPy array of integers, got an array of bool"
    ):
        embedding(ids.astype(bool), weight)
    with pytest.raises(ValueError, match="weight must have two axes"):
        embedding(ids, weight[0])
    with pytest.raises(ValueError, match=r"out must have the shape \(4, 3\) .*got \(3, 4\)"):
        embedding(ids, weight, out=np.ones((3, 4), np.float32))
    with pytest.raises(TypeError, match="out is of float64"):
        embedding(ids, weight, out=np.ones((4, 3)))
    with pytest.raises(ValueError, match="out overlaps weight"):
        embedding(ids, weight, out=weight[:4])
    with pytest.raises(TypeError, match="scale must be a number"):
        embedding(ids, weight, scale="2")
    with pytest.raises(ValueError, match=r"dy must have the shape \(4, 3\) .*got \(4, 2\)"):
        embedding_backward(ids, dy[:, :2], dweight=weight)
    for padding in (-1, 5, 99):
        with pytest.raises(ValueError, match=f"padding_idx must be from 0 to 4, got {padding}"):
            embedding_backward(ids, dy, dweight=weight, padding_idx=padding)
    none = np.zeros((0, 4), weight.dtype)
    with pytest.raises(ValueError, match="padding_idx must be None, since dweight has no rows"):
        embedding_backward(ids[:0], dy[:0], dweight=none, padding_idx=0)
    with pytest.raises(TypeError, match="padding_idx must be an integer, got bool True"):
        embedding_backward(ids, dy, dweight=weight, padding_idx=True)
    with pytest.raises(ValueError, match="rows of dweight must be contiguous"):
        embedding_backward(ids, dy, dweight=spaced(weight))
    with pytest.raises(ValueError, match="dweight overlaps dy"):
        embedding_backward(ids, weight[:4], dweight=weight)
