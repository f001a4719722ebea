"""Additive scores and their backward: float64, central differences, attention, threads, errors."""

import numpy as np
import pytest

import fastnn
from fastnn import attention
from fastnn.kernels import additive_scores, additive_scores_backward, softmax_backward

SHAPES = [(2, 3, 4, 5), (1, 1, 1, 1), (3, 7, 20, 33), (2, 5, 0, 4), (0, 2, 3, 4), (2, 9, 11, 256)]


def scores_64(q, k, w):
    q, k, w = (x.astype(np.float64) for x in (q, k, w))
    return np.tanh(q[:, :, None] + k[:, None]) @ w


def gradients_64(ds, q, k, w):
    ds, q, k, w = (x.astype(np.float64) for x in (ds, q, k, w))
    t = np.tanh(q[:, :, None] + k[:, None])
    g = ds[..., None] * w * (1 - t * t)
    return g.sum(2), g.sum(1), (ds[..., None] * t).sum((0, 1, 2))


def operands(rng, shape, real):
    batch, n_queries, n_keys, n = shape
    sizes = ((batch, n_queries, n), (batch, n_keys, n), (n,), (batch, n_queries, n_keys))
    return [rng.standard_normal(s).astype(real) for s in sizes]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scores_and_gradients(shape, real, rng, n_threads):
    q, k, w, ds = operands(rng, shape, real)
    eps = np.finfo(real).eps
    np.testing.assert_allclose(
        additive_scores(q, k, w), scores_64(q, k, w), atol=4 * (4 + shape[3]) * eps
    )
    for g, want in zip(
        additive_scores_backward(ds, q, k, w), gradients_64(ds, q, k, w), strict=True
    ):
        limit = 40 * eps * max(1, np.abs(want).max(initial=0))
        assert g.dtype == real and g.shape == want.shape
        assert np.abs(g - want).max(initial=0) <= limit


def test_by_central_differences(rng):
    q, k, w, ds = operands(rng, (2, 3, 4, 5), np.float64)
    h = 1e-6
    for x, gradient in zip((q, k, w), additive_scores_backward(ds, q, k, w), strict=True):
        for i in np.ndindex(x.shape):
            kept = x[i]
            x[i] = kept + h
            up = (additive_scores(q, k, w) * ds).sum()
            x[i] = kept - h
            down = (additive_scores(q, k, w) * ds).sum()
            x[i] = kept
            assert abs(gradient[i] - (up - down) / (2 * h)) <= 1e-8


def test_additive_attention_of_the_book(real):
    """D2L, section 11.3: equal keys and valid lengths 2 and 6 average the valid values."""
    rng = np.random.default_rng(0)
    q, w = rng.standard_normal((2, 1, 8)).astype(real), rng.standard_normal(8).astype(real)
    k = np.ones((2, 10, 8), real)
    v = np.broadcast_to(np.arange(40, dtype=real).reshape(1, 1, 10, 4), (2, 1, 10, 4))
    none = np.empty((2, 1, 10, 0), real)
    mask = additive_scores(q, k, w)[:, None]
    out = attention(none[:, :, :1], none, v, mask=mask, lengths=[2, 6])
    np.testing.assert_array_equal(out[:, 0, 0], [[2, 3, 4, 5], [10, 11, 12, 13]])


def test_masked_keys_count_for_nothing(real, rng):
    """If a weight is 0, so is the gradient of its score; NaN in the key does not spread."""
    q, k, w, _ = operands(rng, (1, 2, 6, 7), real)
    weights = np.array([[[0.5, 0.25, 0.25, 0, 0, 0]] * 2], real)
    ds = softmax_backward(rng.standard_normal((1, 2, 6)).astype(real), weights)
    want = additive_scores_backward(ds, q, k, w)
    k[:, 3:] = np.nan
    for g, plain in zip(additive_scores_backward(ds, q, k, w), want, strict=True):
        np.testing.assert_array_equal(g, plain)


def test_same_bits_at_any_thread_count(real, rng):
    q, k, w, ds = operands(rng, (3, 20, 30, 100), real)
    for call in (
        lambda: additive_scores(q, k, w).tobytes(),
        lambda: b"".join(g.tobytes() for g in additive_scores_backward(ds, q, k, w)),
    ):
        results = set()
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                results.add(call())
        assert len(results) == 1


def test_layouts_and_bad_arguments(rng):
    q, k, w, ds = operands(rng, (2, 3, 4, 5), np.float32)
    plain = additive_scores(q, k, w)
    out = np.empty_like(plain)
    assert additive_scores(q[..., ::-1].copy()[..., ::-1], k, w, out=out) is out
    np.testing.assert_array_equal(out, plain)
    with pytest.raises(TypeError, match="k is of float64 but q of float32"):
        additive_scores(q, k.astype(np.float64), w)
    with pytest.raises(ValueError, match=r"w must have the shape \(size,\), got \(1, 5\)"):
        additive_scores(q, k, w[None])
    with pytest.raises(ValueError, match=r"must be \(batch, n_queries, size\)"):
        additive_scores(q, k[:1], w)
    with pytest.raises(ValueError, match=r"out must have the shape \(2, 3, 4\)"):
        additive_scores(q, k, w, out=out[:, :2])
    with pytest.raises(ValueError, match=r"dscores must have the shape \(2, 3, 4\)"):
        additive_scores_backward(ds[:, :2], q, k, w)
