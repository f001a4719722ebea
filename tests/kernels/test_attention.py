"""Softmax attention, forward: a float64 reference, masks, layouts, decode, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import attention, attention_backward

from .. import oracle
from .variants import WRONG_TYPES, guarded

# (batch, heads, kv_heads, n_queries, n_keys, d, dv): near tile and block sizes, grouped heads,
# few queries, empty.
SHAPES = [
    (2, 2, 2, 5, 7, 3, 4),
    (1, 1, 1, 64, 64, 64, 64),
    (2, 4, 2, 70, 140, 33, 17),
    (3, 4, 2, 40, 20, 16, 130),
    (1, 2, 1, 33, 513, 8, 8),
    (1, 1, 1, 1, 1, 1, 1),
    (1, 2, 1, 1, 1100, 64, 64),
    (2, 4, 2, 2, 520, 20, 33),
    (2, 2, 1, 9, 0, 4, 4),
    (0, 2, 1, 3, 4, 5, 6),
    (1, 0, 1, 3, 4, 5, 6),
    (1, 1, 1, 0, 4, 5, 6),
    (1, 2, 2, 6, 5, 0, 3),
    (1, 2, 2, 6, 5, 3, 0),
]
# Sums of some hundred products in the real type: a few eps of the largest.
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}


def operands(rng, shape, real):
    batch, heads, kv_heads, n_queries, n_keys, d, dv = shape
    sizes = (
        (batch, heads, n_queries, d),
        (batch, kv_heads, n_keys, d),
        (batch, kv_heads, n_keys, dv),
    )
    return [rng.standard_normal(s).astype(real) for s in sizes]


def masks(rng, shape, real):
    """Every kind of mask, by name."""
    batch, heads, _, n_queries, n_keys, *_ = shape
    additive = rng.standard_normal((1, n_queries, n_keys)).astype(real)
    additive[rng.random(additive.shape) < 0.2] = -np.inf
    return {
        "none": {},
        "causal": {"causal": True},
        "lengths": {"lengths": rng.integers(0, n_keys + 1, batch)},
        "lengths of queries": {"lengths": rng.integers(0, n_keys + 1, (batch, n_queries))},
        "boolean": {"mask": rng.random((batch, heads, n_queries, n_keys)) < 0.5},
        "boolean by key": {"mask": rng.random((batch, 1, 1, n_keys)) < 0.5},
        "boolean by query": {"mask": rng.random((heads, n_queries, 1)) < 0.5},
        "boolean, every other byte": {"mask": (rng.random((n_queries, 2 * n_keys)) < 0.5)[:, ::2]},
        "additive": {"mask": additive, "causal": True},
        "additive scalar": {"mask": np.array(0.5, real)},
    }


def assert_close(got, want, real, what=""):
    limit = TOLERANCE[real] * max(1, np.abs(want).max(initial=0))
    assert got.dtype == real and got.shape == want.shape
    assert np.abs(got - want).max(initial=0) <= limit, what


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_float64(shape, real, rng):
    q, k, v = operands(rng, shape, real)
    for name, options in masks(rng, shape, real).items():
        out, lse, weights = attention(q, k, v, return_lse=True, need_weights=True, **options)
        p = oracle.attention_weights(q, k, **options)
        assert_close(out, oracle.attention(q, k, v, **options), real, name)
        assert_close(weights, p, real, name)
        assert ((lse == -np.inf) == (p.sum(-1) == 0)).all(), name


@settings(max_examples=60, deadline=None)
@given(
    n=st.tuples(st.integers(0, 70), st.integers(0, 70)),
    d=st.tuples(st.integers(1, 130), st.integers(1, 130)),
    heads=st.sampled_from([(1, 1), (2, 1), (3, 3), (4, 2)]),
    causal=st.booleans(),
    lengths=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_any_shape(n, d, heads, causal, lengths, seed):
    rng = np.random.default_rng(seed)
    shape = (2, *heads, *n, *d)
    options = {"causal": causal, "lengths": rng.integers(0, n[1] + 1, 2) if lengths else None}
    for real in (np.float32, np.float64):
        q, k, v = operands(rng, shape, real)
        assert_close(attention(q, k, v, **options), oracle.attention(q, k, v, **options), real)


def test_uniform_keys_average_exactly(real):
    """The book's case (section 11.3): keys of ones, values arange(40), valid lengths 2 and 6."""
    q = np.random.default_rng(0).standard_normal((2, 1, 1, 2)).astype(real)
    k = np.ones((2, 1, 10, 2), real)
    v = np.broadcast_to(np.arange(40, dtype=real).reshape(1, 1, 10, 4), (2, 1, 10, 4))
    out = attention(q, k, v, lengths=[2, 6])
    np.testing.assert_array_equal(out[:, 0, 0], [[2, 3, 4, 5], [10, 11, 12, 13]])
    out = attention(np.repeat(q, 40, 2), k, v, lengths=[2, 6])
    np.testing.assert_array_equal(out[:, 0, 17], [[2, 3, 4, 5], [10, 11, 12, 13]])
    for n_queries in (1, 9):
        for n in (3, 20, 57, 1100):
            q = np.random.default_rng(n).standard_normal((1, 1, n_queries, 33)).astype(real)
            v = np.tile(np.arange(n, dtype=real).reshape(1, 1, n, 1), (1, 1, 1, 2))
            out = attention(q, np.full((1, 1, n, 33), 0.7, real), v)
            assert (out == (n - 1) / 2).all()


def test_one_fused_projection_read_in_place_and_out_of_any_strides(real, rng):
    batch, n, heads, d = 2, 37, 3, 5
    fused = rng.standard_normal((batch, n, 3, heads, d)).astype(real)
    q, k, v = (fused[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    plain = attention(*(np.ascontiguousarray(x) for x in (q, k, v)), causal=True)
    memory, untouched = guarded((batch, n, heads, d), real)
    out = memory.transpose(0, 2, 1, 3)
    assert attention(q, k, v, causal=True, out=out) is out
    untouched()
    np.testing.assert_array_equal(out, plain)
    backwards = [x[..., ::-1].copy()[..., ::-1] for x in (q, k, v)]
    upside_down = [np.ascontiguousarray(x[:, :, ::-1])[:, :, ::-1] for x in (q, k, v)]
    for operand in (backwards, upside_down):
        np.testing.assert_array_equal(attention(*operand, causal=True), plain)
    wide = np.full((batch, heads, n, 2 * d), np.nan, real)
    attention(q, k, v, causal=True, out=wide[..., ::2])
    np.testing.assert_array_equal(wide[..., ::2], plain)
    assert np.isnan(wide[..., 1::2]).all()


@pytest.mark.parametrize("n_queries", [2, 70])
def test_nan_where_nobody_may_look_stays_there(n_queries, real, rng):
    """NaN in hidden keys has no effect; in keys that a query attends to it reaches the output."""
    n_keys = 2 * n_queries
    q, k, v = operands(rng, (1, 2, 1, n_queries, n_keys, 8, 8), real)
    bad_k, bad_v = k.copy(), v.copy()
    for i, bad in enumerate((np.nan, np.inf, -np.inf)):
        bad_k[:, :, n_keys - 1 - i] = bad
        bad_v[:, :, n_keys - 1 - i] = bad
    mask = np.arange(n_keys) < n_keys - 3
    each = np.minimum(np.arange(n_queries) + 1, n_keys - 3)[None]
    additive = np.where(mask, 0, -np.inf).astype(real)
    for options in (
        {"lengths": [n_keys - 3]},
        {"lengths": each},
        {"mask": mask},
        {"mask": additive},
    ):
        want = attention(q, k, v, **options).astype(np.float64)
        assert_close(attention(q, bad_k, bad_v, **options), want, real)
    out = attention(q, bad_k, bad_v, causal=True)
    assert np.isfinite(out[:, :, : max(0, n_queries - 3)]).all() and np.isnan(out[:, :, -1]).all()


def test_rows_without_a_key_are_zero(real, rng):
    q, k, v = operands(rng, (2, 2, 2, 6, 9, 4, 4), real)
    q[0] = np.nan
    out, lse, weights = attention(q, k, v, lengths=[0, 9], return_lse=True, need_weights=True)
    assert (out[0] == 0).all() and (weights[0] == 0).all() and (lse[0] == -np.inf).all()
    assert (out[1] != 0).all()
    out = attention(q, k, v, mask=np.zeros((1, 1), bool), out=np.full_like(q, np.nan))
    assert (out == 0).all()


@pytest.mark.parametrize("n_queries", [1, 40])
def test_very_large_scores(n_queries, real, rng):
    """The largest score gets all weight, equal ones share it; an infinite one gives NaN."""
    q, k, v = operands(rng, (1, 1, 1, n_queries, 600, 4, 5), real)
    q, k = 1024 * np.ceil(8 * np.abs(q)), 1024 * np.sign(k)  # products and sums are exact
    out = attention(q, k, v)
    best = (k[0, 0] > 0).all(-1)
    np.testing.assert_allclose(
        out[0, 0], np.tile(v[0, 0, best].mean(0), (n_queries, 1)), atol=10 * TOLERANCE[real]
    )
    q[0, 0, 0, 0] = np.inf
    assert np.isnan(attention(q, k, v)[0, 0, 0]).all()


def test_dropout(real, rng):
    shape = (2, 4, 2, 33, 600, 8, 8)
    q, k, v = operands(rng, shape, real)
    p = 0.3
    out, weights = attention(q, k, v, causal=True, dropout_p=p, seed=7, step=3, need_weights=True)
    plain = oracle.attention_weights(q, k, causal=True)
    ones = fastnn.dropout(np.ones(plain.shape, real), p, seed=7, step=3)
    assert_close(weights, plain * ones, real)
    assert_close(out, (plain * ones) @ np.repeat(v.astype(np.float64), 2, 1), real)
    kept = (weights != 0).sum() / (plain != 0).sum()
    assert abs(kept - (1 - p)) < 5 * np.sqrt(p * (1 - p) / (plain != 0).sum())
    few = attention(q[:, :, :1], k, v, dropout_p=p, seed=7, step=3, need_weights=True)
    assert_close(few[0], few[1].astype(np.float64) @ np.repeat(v.astype(np.float64), 2, 1), real)
    assert (attention(q, k, v, dropout_p=1.0, seed=0) == 0).all()


@pytest.mark.parametrize("shape", [SHAPES[2], (1, 1, 1, 300, 300, 8, 8), SHAPES[6]], ids=str)
def test_same_bits_at_any_thread_count(shape, real, rng):
    q, k, v = (np.repeat(x, 3, 0) for x in operands(rng, shape, real))
    for name, options in masks(rng, (3 * shape[0], *shape[1:]), real).items():
        results = set()
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                got = attention(q, k, v, return_lse=True, need_weights=True, **options)
                results.add(b"".join(x.tobytes() for x in got))
        assert len(results) == 1, name


def test_few_queries_are_as_many(real, rng):
    """Decode and the general path agree on the last rows of a causal mask."""
    q, k, v = operands(rng, (2, 2, 2, 50, 700, 16, 16), real)
    many = attention(q, k, v, causal=True)
    assert_close(
        attention(q[:, :, -2:], k, v, causal=True), many[:, :, -2:].astype(np.float64), real
    )


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=str)
def test_wrong_types(bad):
    good = np.ones((1, 1, 2, 3), np.float32)
    for i, name in enumerate("qkv"):
        arguments = [good] * 3
        arguments[i] = bad
        with pytest.raises(TypeError, match=f"{name} must be a NumPy array"):
            attention(*arguments)
    with pytest.raises(TypeError, match="k is of float64 but q of float32"):
        attention(good, good.astype(np.float64), good)
    with pytest.raises(TypeError, match="mask is of float64 but q of float32"):
        attention(good, good, good, mask=np.zeros(2))
    with pytest.raises(TypeError, match=r"mask must be an array of bool .*, got int64"):
        attention(good, good, good, mask=np.zeros(2, np.int64))
    with pytest.raises(TypeError, match="lengths must be integers, got float64"):
        attention(good, good, good, lengths=[1.0])


SCALARS = [
    ("causal", "no", TypeError, "True or False, got str 'no'"),
    ("causal", 1, TypeError, "True or False, got int 1"),
    ("scale", "x", TypeError, "a number, got str 'x'"),
    ("scale", True, TypeError, "a number, got bool True"),
    ("scale", np.inf, ValueError, "finite, got inf"),
    ("dropout_p", True, TypeError, "a number, got bool True"),
    ("dropout_p", np.nan, ValueError, "from 0 to 1, got nan"),
    ("seed", 1.5, TypeError, "an integer, got float 1.5"),
    ("seed", -1, ValueError, "from 0 to 2\\*\\*64 - 1, got -1"),
    ("step", 2**64, ValueError, "from 0 to 2\\*\\*64 - 1"),
    ("step", None, TypeError, "an integer, got None"),
]
FLAGS = ("need_weights", "return_lse", "return_normalizer")


@pytest.mark.parametrize(("name", "bad", "error", "words"), SCALARS)
def test_scalars_are_refused_by_name(name, bad, error, words):
    x = np.ones((1, 1, 2, 3), np.float32)
    lse = np.zeros((1, 1, 2), np.float32)
    with pytest.raises(error, match=f"attention: {name} must be {words}"):
        attention(x, x, x, **{name: bad})
    with pytest.raises(error, match=f"attention_backward: {name} must be {words}"):
        attention_backward(x, x, x, x, x, lse, **{name: bad})


@pytest.mark.parametrize("name", FLAGS)
def test_flags_are_refused_by_name(name):
    x = np.ones((1, 1, 2, 3), np.float32)
    with pytest.raises(TypeError, match=f"attention: {name} must be True or False"):
        attention(x, x, x, **{name: "no"})


def test_wrong_shapes_and_values():
    def x(*shape):
        return np.ones(shape, np.float32)

    def refused(match, *arguments, **options):
        with pytest.raises(ValueError, match=match):
            attention(*arguments, **options)

    good = (x(2, 4, 5, 3), x(2, 2, 6, 3), x(2, 2, 6, 7))
    refused(
        r"q must have the shape \(batch, heads, length, size\), got \(5, 3\)", x(5, 3), *good[1:]
    )
    refused("one batch size", good[0], x(1, 2, 6, 3), good[2])
    refused("one size in the last axis", good[0], x(2, 2, 6, 4), good[2])
    refused("as many heads and positions", good[0], good[1], x(2, 2, 5, 7))
    refused("multiple of those of k and v, got 4 and 3", good[0], x(2, 3, 6, 3), x(2, 3, 6, 7))
    refused(r"lengths must have the shape \(2,\) or \(2, 5\), got \(3,\)", *good, lengths=[1, 2, 3])
    refused(r"lengths\[1\] is 7, which is not from 0 to the 6 keys", *good, lengths=[1, 7])
    refused(r"lengths\[0\] is -1", *good, lengths=[-1, 7])
    refused("mask of shape .* does not broadcast", *good, mask=np.ones((5, 5), bool))
    refused("scale must be finite", *good, scale=np.nan)
    refused("dropout_p must be from 0 to 1", *good, dropout_p=1.5, seed=0)
    refused("dropout needs a seed", *good, dropout_p=0.5)
    refused(
        r"out must have the shape \(2, 4, 5, 7\) .*got \(2, 4, 5, 3\)", *good, out=x(2, 4, 5, 3)
    )
    frozen = x(2, 4, 5, 7)
    frozen.flags.writeable = False
    refused("out is read-only", *good, out=frozen)
    same = x(2, 4, 5, 3)
    refused("out overlaps q", same, same.copy(), same.copy(), out=same)
