"""Attention where scores share a large offset, and where masks are as large as their type allows.

Scores are exact here: with ``scale=ln 2`` the kernels' log2(e) scale is 1, and q k^T gives small
integers times a power of two that the type can represent beside the offset. So the oracle may omit
the offset, and the bounds are those of the other tests of attention.
"""

import numpy as np
import pytest

import fastnn
from fastnn import attention, attention_backward, nn

from .. import oracle
from .test_attention import SHAPES, assert_close
from .test_attention_backward import assert_gradients, upstream

OFFSETS = [sign * size for size in (0, 12, 1e2, 1e4, 1e6, 1e9) for sign in (1, -1)]
# Nonempty shapes of the other tests: size one, odd sizes, grouped heads, partial tiles and blocks,
# decode with and without split keys.
CASES = [s for s in SHAPES if s[0] * s[1] * s[3] * s[4] * s[5] * s[6]]
LN2 = float(np.log(2))


def whole_numbers(rng, shape, real, offset=0.0):
    """q, k, v, dout with q k^T in whole numbers of what the type resolves beside the offset."""
    batch, heads, kv_heads, n_queries, n_keys, d, dv = shape
    unit = max(1.0, float(np.spacing(real(2 * abs(offset)))))
    q = np.zeros((batch, heads, n_queries, d), real)
    k = np.zeros((batch, kv_heads, n_keys, d), real)
    used = min(d, 3)
    q[..., :used] = rng.integers(-1, 2, (*q.shape[:3], used))
    k[..., :used] = unit * rng.integers(-1, 2, (*k.shape[:3], used))
    v = rng.standard_normal((batch, kv_heads, n_keys, dv)).astype(real)
    return q, k, v, upstream(rng, q, v)


def limits(rng, shape):
    """Every way to hide keys, by name."""
    batch, _, _, n_queries, n_keys, *_ = shape
    return {
        "all": {},
        "causal": {"causal": True},
        "lengths": {"lengths": rng.integers(0, n_keys + 1, batch)},
        "lengths of queries": {"lengths": rng.integers(0, n_keys + 1, (batch, n_queries))},
    }


def check(q, k, v, dout, mask, same, what, **options):
    """Forward, weights and both ways backward against the oracle, whose mask is `same`."""
    real, given, options = q.dtype.type, {"mask": mask, **options}, {"mask": same, **options}
    out, lse, weights = attention(q, k, v, return_lse=True, need_weights=True, **given)
    plain, normalizer = attention(q, k, v, return_normalizer=True, **given)
    np.testing.assert_array_equal(plain, out)
    p = oracle.attention_weights(q, k, **options)
    assert_close(weights, p, real, what)
    assert_close(out, oracle.attention(q, k, v, **options), real, what)
    assert ((lse == -np.inf) == (p.sum(-1) == 0)).all(), what
    want = oracle.attention_backward(dout, q, k, v, **options)
    for saved in (lse, normalizer):
        got = attention_backward(dout, q, k, v, out, saved, **given)
        assert_gradients(in_units(got, k), in_units(want, k), real, what)


def in_units(gradients, k):
    """dq, dk, dv with dq in units of k, a power of two: its rounding errors are as large."""
    dq, dk, dv = gradients
    return dq / np.abs(k).max(initial=1), dk, dv


def hidden_alone(mask):
    """The mask without its finite numbers."""
    return np.where(mask == -np.inf, mask, 0)


@pytest.mark.parametrize("shape", CASES, ids=str)
def test_masks_that_add_one_number_to_a_row(shape, real, rng):
    """-1e9 for all keys of a row gives the weights of no mask, however the mask broadcasts."""
    batch, heads, _, n_queries, n_keys, *_ = shape
    for offset in OFFSETS:
        q, k, v, dout = whole_numbers(rng, shape, real, offset)
        each = rng.choice([0, offset], (batch, heads, n_queries, 1)).astype(real)
        full = np.repeat(each, n_keys, -1)
        full[rng.random(full.shape) < 0.2] = -np.inf
        masks = {
            "scalar": np.array(offset, real),
            "by key": np.full((batch, 1, 1, n_keys), offset, real),
            "by query": each,
            "full, some hidden": full,
        }
        for name, limit in limits(rng, shape).items():
            for kind in ("full, some hidden", rng.choice(list(masks)[:-1])):
                mask = masks[kind]
                what = (offset, kind, name)
                check(q, k, v, dout, mask, hidden_alone(mask), what, scale=LN2, **limit)


@pytest.mark.parametrize("shape", CASES, ids=str)
def test_products_that_share_an_offset(shape, real, rng):
    """The same from q and k: one column adds the offset to every score."""
    for offset in OFFSETS:
        q, k, v, dout = whole_numbers(rng, shape, real, offset)
        q[..., -1], k[..., -1] = 1, 0
        far = k.copy()
        far[..., -1] = offset
        options = {"scale": LN2, "causal": True}
        out, weights = attention(q, far, v, need_weights=True, **options)
        assert_close(weights, oracle.attention_weights(q, k, **options), real, offset)
        assert_close(out, oracle.attention(q, k, v, **options), real, offset)
        want = oracle.attention_backward(dout, q, k, v, **options)
        for kind in ("return_lse", "return_normalizer"):
            _, saved = attention(q, far, v, **options, **{kind: True})
            dq, dk, dv = attention_backward(dout, q, far, v, out, saved, **options)
            dq[..., -1] = 0  # the offset times a sum that is 0 but for rounding
            assert_gradients(in_units((dq, dk, dv), k), in_units(want, k), real, offset)


@pytest.mark.parametrize("shape", CASES, ids=str)
def test_masks_as_large_as_the_type(shape, real, rng):
    """Only -inf hides a key: the lowest number is a score like any, the largest makes no NaN."""
    _, heads, _, n_queries, n_keys, *_ = shape
    low, high = np.finfo(real).min, np.finfo(real).max
    rows = np.zeros((7, n_keys), real)
    rows[0] = low
    rows[1] = -np.inf
    rows[1, 0] = low
    rows[2, -1] = 0.9 * high
    rows[3] = high
    rows[4] = -np.inf
    rows[5, : n_keys // 2] = low
    rows[6, ::2] = -np.inf
    rows[6, 1::2] = low
    each = np.arange(heads * n_queries).reshape(heads, n_queries) % len(rows)
    for shift in range(len(rows) if n_queries < len(rows) else 1):
        mask = rows[(each + shift) % len(rows)]
        q, k, v, dout = whole_numbers(rng, shape, real)
        for name, limit in limits(rng, shape).items():
            check(q, k, v, dout, mask, mask, (shift, name), scale=LN2, **limit)


def test_known_weights(real):
    """The rows that were reported, by hand."""
    low, q = np.finfo(real).min, np.zeros((1, 1, 1, 2), real)
    k, v = np.zeros((1, 1, 3, 2), real), np.arange(3, dtype=real).reshape(1, 1, 3, 1)
    for row, want in (
        ([low, low, low], [1 / 3, 1 / 3, 1 / 3]),
        ([-1e9, -1e9, -1e9], [1 / 3, 1 / 3, 1 / 3]),
        ([low, -np.inf, -np.inf], [1, 0, 0]),
        ([-low, 0, 0], [1, 0, 0]),
        ([-low, low, -np.inf], [1, 0, 0]),
        ([-np.inf, -np.inf, -np.inf], [0, 0, 0]),
    ):
        for n in (1, 40):
            many = np.repeat(q, n, 2)
            out, weights = attention(many, k, v, mask=np.array(row, real), need_weights=True)
            np.testing.assert_allclose(weights[0, 0], np.tile(want, (n, 1)), rtol=2e-7)
            np.testing.assert_allclose(out[0, 0, :, 0], np.dot(want, [0, 1, 2]), rtol=2e-7)
    for row in ([np.inf, 0, 0], [np.nan, 0, 0]):
        out, weights = attention(q, k, v, mask=np.array(row, real), need_weights=True)
        assert np.isnan(weights).all() and np.isnan(out).all()


def test_dropout_beside_an_offset(real, rng):
    shape = (2, 4, 2, 33, 70, 8, 8)
    q, k, v, dout = whole_numbers(rng, shape, real, 1e6)
    options = {"scale": LN2, "causal": True}
    how = {"mask": np.array(-1e6, real), "dropout_p": 0.3, "seed": 7, "step": 3, **options}
    kept = fastnn.dropout(np.ones((2, 4, 33, 70)), 0.3, seed=7, step=3)
    out, lse, weights = attention(q, k, v, return_lse=True, need_weights=True, **how)
    _, normalizer = attention(q, k, v, return_normalizer=True, **how)
    assert_close(weights, kept * oracle.attention_weights(q, k, **options), real)
    want = oracle.attention_backward(dout, q, k, v, kept=kept, **options)
    for saved in (lse, normalizer):
        got = attention_backward(dout, q, k, v, out, saved, **how)
        assert_gradients(in_units(got, k), in_units(want, k), real)


def test_a_row_does_not_depend_on_its_company(real, rng):
    """A row of small scores has the same bits beside one whose lse is too large to be used."""
    q, k, v, dout = whole_numbers(rng, (1, 1, 1, 40, 300, 5, 150), real)
    mask = np.zeros((40, 1), real)
    out, lse = attention(q, k, v, mask=mask, return_lse=True)
    dq, _, _ = attention_backward(dout, q, k, v, out, lse, mask=mask)
    mask[7] = -1e6
    out, lse = attention(q, k, v, mask=mask, return_lse=True)
    other, _, _ = attention_backward(dout, q, k, v, out, lse, mask=mask)
    others = np.arange(40) != 7
    np.testing.assert_array_equal(other[:, :, others], dq[:, :, others])


def test_same_bits_at_any_thread_count_beside_an_offset(real, rng):
    q, k, v, dout = whole_numbers(rng, (2, 4, 2, 70, 300, 8, 8), real, 1e4)
    mask = rng.choice([0, -1e4, np.finfo(real).min], (70, 1)).astype(real)
    for kind in ("return_lse", "return_normalizer"):
        results = set()
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                out, saved, weights = attention(
                    q, k, v, mask=mask, need_weights=True, **{kind: True}
                )
                got = attention_backward(dout, q, k, v, out, saved, mask=mask)
                results.add(b"".join(x.tobytes() for x in (out, saved, weights, *got)))
        assert len(results) == 1


def test_normalizer(real, rng):
    """A shift and a factor turn scores into weights, and take the place of lse backward."""
    q, k, v, dout = whole_numbers(rng, (2, 4, 2, 9, 70, 8, 8), real)
    mask = np.zeros((9, 1), real)
    mask[4:] = -1e6
    for options in ({}, {"mask": mask}):
        out, lse, normalizer, weights = attention(
            q, k, v, return_lse=True, return_normalizer=True, need_weights=True, **options
        )
        assert normalizer.shape == (2, *lse.shape) and normalizer.dtype == real
        shift, factor = normalizer.astype(np.float64)[..., None]
        scores = q @ np.repeat(k, 2, 1).swapaxes(2, 3) / np.sqrt(8) + options.get("mask", 0)
        rows = slice(0, 4) if options else slice(None)  # scores that are good to the last bits
        np.testing.assert_allclose(
            (factor * 2 ** (scores / LN2 - shift))[:, :, rows], weights[:, :, rows], rtol=1e-5
        )
        for by_lse, by_both in zip(
            attention_backward(dout, q, k, v, out, lse, **options),
            attention_backward(dout, q, k, v, out, normalizer, **options),
            strict=True,
        ):
            np.testing.assert_array_equal(by_lse, by_both)
    with pytest.raises(
        ValueError, match=r"lse must have the shape \(2, 4, 9\), or as a normalizer"
    ):
        attention_backward(dout, q, k, v, out, normalizer[:1])


def test_layer_trains_on_rows_of_padding(rng):
    """A sentence whose every key is masked by a finite number still has a right gradient."""
    x, dy = (rng.standard_normal((2, 6, 8)).astype(np.float32) for _ in range(2))
    mask = np.zeros((2, 1, 1, 6), np.float32)
    mask[1] = -1e30
    gradients = {}
    for real in (np.float32, np.float64):
        layer = nn.MultiHeadAttention(8, 2, rng=3, dtype=np.float64)
        narrow = nn.MultiHeadAttention(8, 2, rng=3, dtype=real)
        for p, q in zip(narrow.parameters(), layer.parameters(), strict=True):
            p.data[...] = q.data
        _, ctx = narrow.forward(x.astype(real), mask=mask.astype(real))
        dx = narrow.backward(dy.astype(real), ctx)
        gradients[real] = [dx, *(p.grad for p in narrow.parameters())]
    for got, want in zip(gradients[np.float32], gradients[np.float64], strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())
