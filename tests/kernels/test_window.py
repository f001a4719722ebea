"""Attention under a window: that of a band as a mask, and what lies outside is not read."""

import numpy as np
import pytest

import fastnn
from fastnn import attention, attention_backward

# (batch, heads, kv_heads, n_queries, n_keys, d, dv): one block and several, few queries, all decode
SHAPES = [
    (2, 4, 2, 20, 20, 8, 8),
    (1, 2, 2, 300, 300, 16, 24),
    (1, 2, 1, 33, 700, 8, 8),
    (1, 4, 2, 1, 1300, 16, 16),
    (2, 2, 1, 2, 500, 8, 8),
    (1, 1, 1, 5, 3, 4, 4),
    (1, 2, 1, 0, 4, 4, 4),
]
WINDOWS = (1, 2, 7, 64, 65, 130, 5000)
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}


def operands(shape, real, seed=0):
    batch, heads, kv_heads, n, m, d, dv = shape
    rng = np.random.default_rng(seed)
    sizes = (batch, heads, n, d), (batch, kv_heads, m, d), (batch, kv_heads, m, dv)
    return [rng.standard_normal(size).astype(real) for size in sizes]


def band(n, m, window, causal):
    """True where a query attends to a key; the last query is at the last key."""
    away = np.arange(n)[:, None] + m - n - np.arange(m)
    return (away < window) & (away >= 0 if causal else away > -window)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_window_is_a_band_of_a_mask(shape, causal, real):
    q, k, v = operands(shape, real)
    for window in WINDOWS:
        mask = band(shape[3], shape[4], window, causal)
        how = {"need_weights": True, "return_lse": True}
        for lengths in (None, np.full(shape[0], max(0, shape[4] - 3))):
            found = attention(q, k, v, causal=causal, window=window, lengths=lengths, **how)
            wanted = attention(q, k, v, mask=mask, lengths=lengths, **how)
            for got, want in zip(found, wanted, strict=True):
                limit = TOLERANCE[real] * max(1, np.abs(v).max(initial=0))
                np.testing.assert_allclose(got, want, rtol=limit, atol=limit)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_are_those_of_the_band(shape, causal):
    q, k, v = operands(shape, np.float64)
    dout = operands(shape, np.float64, 1)[0][..., :1] + np.zeros((*q.shape[:3], v.shape[3]))
    for window in WINDOWS:
        mask = band(shape[3], shape[4], window, causal)
        gradients = []
        for how in ({"causal": causal, "window": window}, {"mask": mask}):
            out, lse = attention(q, k, v, return_lse=True, **how)
            gradients.append(attention_backward(dout, q, k, v, out, lse, **how))
        for got, want in zip(*gradients, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


def test_what_is_hidden_is_not_read(real):
    """NaN before the window reaches nothing, in both directions and in decode."""
    for shape in ((1, 2, 2, 40, 200, 8, 8), (1, 2, 1, 1, 900, 8, 8)):
        q, k, v = operands(shape, real)
        n, m = shape[3], shape[4]
        clean = [x.copy() for x in (k, v)]
        first = m - n - 9  # the window of the first query begins behind it
        k[:, :, :first], v[:, :, :first] = np.nan, np.nan
        clean[0][:, :, :first], clean[1][:, :, :first] = 7, 7
        out, lse = attention(q, k, v, causal=True, window=10, return_lse=True)
        want, _ = attention(q, *clean, causal=True, window=10, return_lse=True)
        np.testing.assert_array_equal(out, want)
        dq, dk, dv = attention_backward(out, q, k, v, out, lse, causal=True, window=10)
        assert np.isfinite(dq).all() and not dk[:, :, :first].any() and not dv[:, :, :first].any()


def test_a_query_has_the_same_bits_alone_and_with_others(real):
    q, k, v = operands((1, 2, 2, 300, 300, 16, 16), real)
    whole = attention(q, k, v, causal=True, window=70)
    for n in (1, 3, 150, 299):
        few = attention(q[:, :, :n], k[:, :, :n], v[:, :, :n], causal=True, window=70)
        np.testing.assert_array_equal(few, whole[:, :, :n])
        last = attention(q[:, :, n - 1 : n], k[:, :, :n], v[:, :, :n], causal=True, window=70)
        np.testing.assert_array_equal(last, whole[:, :, n - 1 : n])


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_same_bits_for_any_number_of_threads(threads, real):
    q, k, v = operands((1, 2, 1, 600, 600, 16, 16), real)

    def run(n):
        with fastnn.num_threads(n):
            out, lse = attention(q, k, v, window=50, return_lse=True)
            return out, lse, *attention_backward(out, q, k, v, out, lse, window=50)

    for got, want in zip(run(threads), run(1), strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_bias_of_the_distance_is_a_view(real):
    """A mask (heads, n, n) over the memory of (heads, 2 n - 1) numbers."""
    n, heads = 70, 3
    q, k, v = operands((2, heads, heads, n, n, 8, 8), real)
    base = np.random.default_rng(2).standard_normal((heads, 2 * n - 1)).astype(real)
    row, item = base.strides
    view = np.lib.stride_tricks.as_strided(base[:, n - 1 :], (heads, n, n), (row, -item, item))
    assert view[1, 5, 9] == base[1, n - 1 + 4]
    np.testing.assert_array_equal(attention(q, k, v, mask=view), attention(q, k, v, mask=+view))


@pytest.mark.parametrize(
    ("window", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_wrong_windows(window, error):
    q, k, v = operands(SHAPES[0], np.float32)
    with pytest.raises(error, match=r"attention: window"):
        attention(q, k, v, window=window)
