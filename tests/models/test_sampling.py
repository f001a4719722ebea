"""Choosing tokens: what is kept, how often each is drawn, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.models.sampling import CANDIDATES, NUCLEUS, Sampler, largest

DYADIC = np.array([0.125, 0.25, 0.0, 0.5, 0.125])


def draw(logits, n, **options):
    """n tokens for the same logits, from one stream."""
    random = np.random.default_rng(5).random
    logits = np.broadcast_to(logits, (n, len(logits)))
    return Sampler(**options)(logits, [random] * n, range(n))


def log(p):
    with np.errstate(divide="ignore"):
        return np.log(p)


def check_frequencies(tokens, p):
    """Pearson's chi-square with m degrees of freedom stays below m + 4 sqrt(2 m) + 8."""
    counts = np.bincount(tokens, minlength=len(p))
    assert not counts[p == 0].any()
    counts, p = counts[p > 0], p[p > 0]
    expected = p * len(tokens)
    m = len(p) - 1
    assert (np.square(counts - expected) / expected).sum() < m + 4 * np.sqrt(2 * m) + 8


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"top_p": 0.8}, {"top_k": 6, "top_p": 0.7}])
def test_tokens_are_drawn_as_often_as_they_are_likely(real, rng, temperature, options):
    logits = rng.normal(0, 1.5, 12).astype(real)
    p = np.exp(logits.astype(float) / temperature)
    order = np.argsort(-p)
    p[order[options.get("top_k", 12) :]] = 0
    falling = np.sort(p / p.sum())[::-1]
    if "top_p" in options:
        kept = np.searchsorted(falling.cumsum(), options["top_p"]) + 1
        assert kept < options.get("top_k", 12)
        p[order[kept:]] = 0
    tokens = draw(logits, 40_000, temperature=temperature, **options)
    check_frequencies(tokens, p / p.sum())


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0.1, {3}),
        (0.5, {3}),
        (np.nextafter(0.5, 1), {1, 3}),
        (0.75, {1, 3}),
        (0.76, {0, 1, 3, 4}),  # 0 and 4 are equally likely: one would do, both stay
        (0.875, {0, 1, 3, 4}),
        (1.0, {0, 1, 3, 4}),
    ],
)
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p, kept):
    assert set(draw(log(DYADIC), 500, top_p=top_p).tolist()) == kept


@pytest.mark.parametrize(
    ("top_k", "kept"),
    [(1, {3}), (2, {1, 3}), (3, {0, 1, 3, 4}), (4, {0, 1, 3, 4}), (9, {0, 1, 3, 4})],
)
def test_top_k_keeps_k_and_their_equals(top_k, kept):
    assert set(draw(log(DYADIC), 500, top_k=top_k).tolist()) == kept


@pytest.mark.parametrize("spread", [0.1, 4.0])  # nearly all tokens belong to p; about 20 do
def test_top_p_of_many_tokens(rng, spread):
    size = NUCLEUS * CANDIDATES + 5
    logits = rng.normal(0, spread, (3, size))
    logits[1] = rng.normal(0, 3, size)
    falling = -np.sort(-logits, axis=1)
    shares = np.exp(falling - falling[:, :1]).cumsum(axis=1)
    count = (shares < 0.8 * shares[:, -1:]).sum(axis=1) + 1
    assert (count[0] > NUCLEUS) == (spread < 1)
    for u in (0.0, 0.3, 1 - 2.0**-53):
        drawn = Sampler(top_p=0.8)(logits, [lambda u=u: u] * 3, range(3))
        for row, n, least, token in zip(logits, count, falling, drawn, strict=True):
            kept = np.flatnonzero(row >= least[n - 1])
            sums = np.exp(row[kept] - row.max()).cumsum()
            assert token == kept[np.searchsorted(sums, u * sums[-1], side="right")]
            alone = Sampler(top_p=0.8)(row[None], [lambda u=u: u], [0])
            assert alone == token


def test_top_p_counts_in_what_top_k_left():
    # of 0.5 and 0.25 the first is two thirds
    assert set(draw(log(DYADIC), 200, top_k=2, top_p=0.66).tolist()) == {3}
    assert set(draw(log(DYADIC), 200, top_k=2, top_p=0.67).tolist()) == {1, 3}


def test_greedy_takes_the_first_of_equals():
    assert draw(np.array([0.0, 2.0, 1.0, 2.0], np.float32), 3, temperature=0).tolist() == [1, 1, 1]


@pytest.mark.parametrize("temperature", [1e-320, 1e-40, 1e-9])
def test_a_tiny_temperature_is_greedy(real, temperature):
    logits = np.array([1.0, -np.inf, 3.0, 2.9], real)
    assert set(draw(logits, 50, temperature=temperature).tolist()) == {2}


def test_the_ends_of_the_stream_draw_the_first_and_the_last_token_that_weigh_something():
    logits = log(np.array([[0.0, 0.5, 0.0, 0.5, 0.0]]))
    assert Sampler()(logits, [lambda: 0.0], [0]).tolist() == [1]
    assert Sampler()(logits, [lambda: 1 - 2.0**-53], [0]).tolist() == [3]


def test_rows_do_not_meet(rng):
    logits = rng.normal(0, 2, (7, 400)).astype(np.float32)
    logits[3, 50:300] = logits[3].max()  # ties: this row keeps more than the others
    for options in ({}, {"top_k": 10}, {"top_p": 0.9}, {"top_k": 20, "top_p": 0.5}):
        sampler = Sampler(**options)
        together = sampler(logits, [np.random.default_rng(i).random for i in range(7)], range(7))
        for i in range(7):
            alone = sampler(logits[i : i + 1], [np.random.default_rng(i).random], [i])
            assert alone == together[i]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_a_row_that_has_no_maximum_is_named(bad, temperature):
    logits = np.zeros((3, 5), np.float32)
    logits[1, 2] = bad
    draws = [np.random.default_rng(0).random] * 3
    with pytest.raises(ValueError, match=f"row 8: no token can be chosen.*{bad}"):
        Sampler(temperature)(logits, draws, [4, 8, 9])
    logits[1] = -np.inf
    with pytest.raises(ValueError, match="row 8"):
        Sampler(temperature)(logits, draws, [4, 8, 9])


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("temperature", -0.1, ValueError),
        ("temperature", np.nan, ValueError),
        ("temperature", np.inf, ValueError),
        ("temperature", "1", TypeError),
        ("top_k", 0, ValueError),
        ("top_k", 2.0, TypeError),
        ("top_p", 0.0, ValueError),
        ("top_p", 1.01, ValueError),
        ("top_p", np.nan, ValueError),
        ("top_p", "0.9", TypeError),
    ],
)
def test_options_out_of_range_are_named(name, value, error):
    with pytest.raises(error, match=name):
        Sampler(**{name: value})


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 40), st.integers(1, 8), st.integers(0, 9), st.integers(0, 99)
)
def test_largest(n, size, k, values, seed):
    rng = np.random.default_rng(seed)
    size = size * 30 + rng.integers(30)  # below and above the k from which halves are compared
    k = min(k, size)
    x = rng.integers(-values, values + 1, (n, size)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = -np.inf
    if rng.random() < 0.5:
        x += rng.random(x.shape, np.float32)
    before = x.copy()
    found, columns = largest(x, k)
    assert (x == before).all() and found.shape == columns.shape and found.shape[1] >= k
    for row, numbers, at in zip(x, found, columns, strict=True):
        real = numbers > -np.inf
        wanted = np.flatnonzero((row >= np.sort(row)[-k]) & (row > -np.inf))
        assert at[real].tolist() == wanted.tolist()
        assert (numbers[real] == row[wanted]).all()


def test_largest_of_a_strided_matrix(rng):
    k = 3
    for size in (40, CANDIDATES * k, CANDIDATES * k + 1, 4001):
        x = rng.normal(size=(size, 9))[:, ::-2].T
        found, columns = largest(x, k)
        order = np.sort(np.argsort(-x, axis=1)[:, :k], axis=1)
        assert (columns[found > -np.inf].reshape(5, k) == order).all()
