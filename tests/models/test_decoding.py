"""Generation: tokens, stops, windows, seeds and streams, against a loop without a cache."""

import numpy as np
import pytest

from fastnn.models.decoding import generate, stream

from .steppers import Fixed, Oracle

PROMPTS = [[1, 2, 3], [4], [5, 0, 0, 2, 1], [3, 3]]


def greedy(model, prompt, n, stop=()):
    """Greedy tokens by a simple loop; a full window keeps its last half."""
    window, new = list(prompt)[-model.max_len :], []
    while len(new) < n and not (new and new[-1] in stop):
        new.append(int(model.logits(window).argmax()))
        window.append(new[-1])
        if len(window) > model.max_len:
            window = window[-max(1, model.max_len // 2) :]
    return new


def lists(arrays):
    assert all(array.dtype == np.int64 for array in arrays)
    return [array.tolist() for array in arrays]


def test_stops_may_be_one_token_or_any_iterable():
    model = Oracle()
    wanted = lists(generate(model, PROMPTS, 20, temperature=0, stop=[3]))
    for stop in (3, np.int64(3), {3}, iter([3]), np.array([3])):
        assert lists(generate(model, PROMPTS, 20, temperature=0, stop=stop)) == wanted


@pytest.mark.parametrize("stop", [(), (2,), (0, 2, 4)])
def test_greedy_of_unequal_prompts(stop):
    model = Oracle()
    new = lists(generate(model, PROMPTS, 12, temperature=0, stop=stop))
    assert new == [greedy(model, prompt, 12, stop) for prompt in PROMPTS]
    if stop:
        assert len({len(row) for row in new}) > 1
        assert all(token not in stop for row in new for token in row[:-1])


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_prompts_may_be_a_matrix(kind):
    model = Oracle()
    matrix = np.array([[1, 2, 3], [4, 5, 0]], kind)
    new = lists(generate(model, matrix, 5, temperature=0))
    assert new == [greedy(model, row, 5) for row in matrix.tolist()]
    assert model.steps == [(2, 3)] + [(2, 1)] * 4  # the last token is not read


def test_rows_that_have_ended_leave_the_batch():
    model = Oracle()
    new = generate(model, PROMPTS, 30, temperature=0, stop=[2, 3])
    lengths = np.array([len(row) for row in new])
    assert model.steps[0] == (4, 5)
    for n, shape in enumerate(model.steps[1:], 1):
        assert shape == ((lengths > n).sum(), 1)
    assert len(model.steps) == max(lengths)


@pytest.mark.parametrize("max_len", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_window_slides_when_it_is_full(max_len, seed):
    model = Oracle(max_len=max_len, seed=seed)
    new = lists(generate(model, PROMPTS, 30, temperature=0, stop=5))
    assert new == [greedy(model, prompt, 30, (5,)) for prompt in PROMPTS]
    long = np.arange(40) % 6
    assert lists(generate(model, [long], 30, temperature=0)) == [greedy(model, long, 30)]


def test_a_window_is_read_again_once_in_half_its_length():
    model = Oracle(max_len=8)
    generate(model, [[1]], 8 + 3 * 4)
    assert [t for _, t in model.steps].count(4) == 3  # positions 8, 12, 16
    assert len(model.steps) == 20


def test_a_seed_gives_the_same_tokens():
    model = Oracle(vocab=50)
    options = {"max_new_tokens": 40, "temperature": 1.3, "top_k": 30, "top_p": 0.95}
    one, two = (lists(generate(model, [[1, 2]], seed=7, **options)) for _ in range(2))
    other = lists(generate(model, [[1, 2]], seed=8, **options))
    free = [lists(generate(model, [[1, 2]], **options)) for _ in range(2)]
    assert one == two != other
    assert free[0] != free[1]


def test_a_row_does_not_depend_on_the_others():
    model = Oracle(vocab=30)
    prompts = [[1, 2], [3], [4, 5, 6, 7]]
    options = {"seed": 11, "stop": (0, 1), "top_p": 0.9}
    together = lists(generate(model, prompts, 60, **options))
    assert len({len(row) for row in together}) == 3
    assert lists(generate(model, prompts[:1], 60, **options)) == together[:1]
    others = lists(generate(model, [[9] * 9, *prompts[1:2], [0], [3]], 60, **options))
    assert others[1] == together[1] and others[0] != together[0]
    same = lists(generate(model, [[1, 2]] * 3, 60, seed=11))
    assert same[0] != same[1] != same[2]  # each row draws from its own stream


def test_tokens_are_drawn_from_the_softmax():
    p = np.array([0.4, 0.3, 0.2, 0.1])
    (new,) = generate(Fixed(np.log(p)), [[0]], 4000, seed=3)
    counts = np.bincount(new, minlength=4)
    assert (np.abs(counts - 4000 * p) < 4 * np.sqrt(4000 * p * (1 - p))).all()


@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"top_k": 3}, {"stop": [2]}])
def test_a_stream_gives_what_generate_gives(options):
    model = Oracle(max_len=9)
    (new,) = generate(model, [[1, 2]], 25, seed=2, **options)
    tokens = list(stream(model, [1, 2], 25, seed=2, **options))
    assert tokens == new.tolist() and all(type(token) is int for token in tokens)


def test_a_stream_gives_each_token_before_it_reads_the_next():
    model = Oracle(max_len=4)
    tokens = stream(model, np.array([1, 2]), seed=0)
    assert model.steps == []
    next(tokens)
    assert model.steps == [(1, 2)]
    for _ in range(100):  # without an end, until it is closed
        next(tokens)
    tokens.close()
    assert len(model.steps) == 101
    with pytest.raises(StopIteration):
        next(tokens)


def test_going_on_from_a_cache():
    model = Oracle(max_len=12)
    cache = model.new_cache(2)
    model.step(np.array([[1, 2], [3, 4]]), cache)
    new = lists(generate(model, [[5, 0], [1]], 8, temperature=0, cache=cache))
    whole = Oracle(max_len=1000)
    assert new == [greedy(whole, [1, 2, 5, 0], 8), greedy(whole, [3, 4, 1], 8)]

    cache = model.new_cache(2)
    model.step(np.array([[1, 2], [3, 4]]), cache)
    with pytest.raises(ValueError, match=r"row 0: 4 positions and 10 new tokens .* cache of 12"):
        generate(model, [[5, 0], [1]], 10, cache=cache)
    with pytest.raises(ValueError, match="3 prompts do not fit a cache of 2 rows"):
        generate(model, [[1]] * 3, 2, cache=cache)
    assert cache.lengths.tolist() == [2, 2]


def test_no_prompts_at_all():
    assert generate(Oracle(), [], 3) == []
    assert generate(Oracle(), np.empty((0, 4), np.int64), 3) == []


@pytest.mark.parametrize(
    ("prompts", "error", "message"),
    [
        ([[1], []], ValueError, "prompt 1 has no tokens"),
        (np.empty((2, 0), np.int64), ValueError, "prompt 0 has no tokens"),
        ([1, 2], ValueError, r"prompt 0 must be a sequence of tokens, its shape is \(\)"),
        (np.array([1, 2]), ValueError, r"shape \(B, T\), got \(2,\)"),
        ([[1.0]], TypeError, "prompt 0 must have integers, got float64"),
        ([[True]], TypeError, "prompt 0 must have integers, got bool"),
        (["ab"], ValueError, "prompt 0 must be a sequence"),
        (3, TypeError, "prompts must be sequences of integers, got int 3"),
    ],
)
def test_prompts_that_are_none(prompts, error, message):
    with pytest.raises(error, match=message):
        generate(Oracle(), prompts, 3)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"max_new_tokens": 0}, ValueError),
        ({"max_new_tokens": 2.0}, TypeError),
        ({"temperature": -1}, ValueError),
        ({"top_k": 0}, ValueError),
        ({"top_p": 1.5}, ValueError),
        ({"seed": -1}, ValueError),
        ({"seed": 1.5}, TypeError),
        ({"stop": 1.5}, TypeError),
        ({"stop": "ab"}, TypeError),
        ({"stop": [None]}, TypeError),
    ],
)
def test_options_are_checked_before_anything_is_read(option, error):
    model = Oracle()
    (name,) = option
    with pytest.raises(error, match=name):
        generate(model, [[1]], **{"max_new_tokens": 3, **option})
    with pytest.raises(error, match=name):
        stream(model, [1], **{"max_new_tokens": 3, **option})  # before its first token
    assert model.steps == []


def test_a_row_with_nan_is_named():
    class Bad(Oracle):
        def logits(self, text):
            return super().logits(text) * (np.nan if text[0] == 3 and len(text) > 2 else 1)

    with pytest.raises(ValueError, match="row 2: no token can be chosen, the largest logit is nan"):
        generate(Bad(), [[1], [2], [3]], 9)
