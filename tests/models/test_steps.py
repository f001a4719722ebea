"""Steps with a cache near its end, and what is refused before the cache changes."""

import numpy as np
import pytest

from fastnn.models import Seq2SeqTransformer, TransformerLM

SIZES = {"d_model": 8, "n_heads": 2, "n_layers": 2, "max_len": 8, "dtype": np.float64, "rng": 0}
SOURCE = np.array([[1, 2, 3], [4, 5, 6]])


def language_model(**options):
    model = TransformerLM(11, **SIZES, **options)
    return model, model.new_cache(2), model


def translator(**options):
    model = Seq2SeqTransformer(11, **SIZES, **options)
    return model, model.new_cache(SOURCE), lambda ids: model(SOURCE, ids)


CHOICES = [
    pytest.param(make, {"position": position}, id=f"{make.__name__}-{position}")
    for make, positions in (
        (language_model, ("learned", "sinusoidal", "rotary")),
        (translator, ("learned", "sinusoidal")),
    )
    for position in positions
]


@pytest.mark.parametrize(("make", "options"), CHOICES)
def test_rows_of_unequal_lengths_near_the_end(make, options, rng):
    model, cache, whole = make(**options)
    ids = rng.integers(0, 11, (2, 8))
    want = whole(ids)
    steps = [
        [6, 1],
        [1, 5],
        [1, 1],
    ]  # after the first two the rows end at 7 and 6, and max_len is 8
    held = np.zeros(2, int)
    for lengths in steps:
        lengths = np.array(lengths)
        given = np.full((2, lengths.max()), -7)  # what a row does not bring is not read
        for row, (start, n) in enumerate(zip(held, lengths, strict=True)):
            given[row, :n] = ids[row, start : start + n]
        found = model.step(given, cache, lengths)
        held += lengths
        np.testing.assert_allclose(found, want[[0, 1], held - 1], atol=1e-12)
        np.testing.assert_array_equal(cache.lengths, held)


@pytest.mark.parametrize(("make", "options"), CHOICES)
def test_equal_rows_that_take_less_than_they_are_given(make, options, rng):
    model, cache, whole = make(**options)
    ids = rng.integers(0, 11, (2, 8))
    model.step(ids[:, :6], cache)
    found = model.step(np.hstack([ids[:, 6:], ids]), cache, np.array([1, 2], np.uint8))
    np.testing.assert_allclose(found, whole(ids)[[0, 1], [6, 7]], atol=1e-12)
    np.testing.assert_array_equal(cache.lengths, [7, 8])


IDS = np.ones((2, 3), np.int64)


@pytest.mark.parametrize(
    ("ids", "lengths", "error", "message"),
    [
        (IDS, [0, 2], ValueError, "lengths must be 2 integers from 1 to 3"),
        (IDS, [-1, 2], ValueError, "lengths must be 2 integers from 1 to 3"),
        (IDS, [1, 4], ValueError, "lengths must be 2 integers from 1 to 3"),
        (IDS, [1], ValueError, "lengths must be 2 integers from 1 to 3"),
        (IDS, [[1], [1]], ValueError, "lengths must be 2 integers from 1 to 3"),
        (IDS, 2, ValueError, "lengths must be 2 integers from 1 to 3"),
        (IDS, [1.0, 2.0], TypeError, "lengths must be a NumPy array of integers, got .* float64"),
        (IDS, [True, True], TypeError, "lengths must be a NumPy array of integers, got .* bool"),
        (IDS[:, :0], None, ValueError, r"ids must be \(2, n\) with n at least 1, got \(2, 0\)"),
        (IDS[:1], None, ValueError, r"ids must be \(2, n\) with n at least 1, got \(1, 3\)"),
        (IDS[0], None, ValueError, r"ids must be \(2, n\) with n at least 1, got \(3,\)"),
        (IDS * 1.0, None, TypeError, "ids must be a NumPy array of integers, got .* float64"),
        (IDS.tolist(), None, TypeError, "ids must be a NumPy array of integers, got list"),
        (IDS, None, ValueError, "row 0 holds 6 positions and 3 more are too many for 8"),
        (IDS, [2, 3], ValueError, "row 1 holds 6 positions and 3 more are too many for 8"),
        (IDS[:, :1] + 10, None, IndexError, "11"),
    ],
)
@pytest.mark.parametrize(("make", "options"), CHOICES)
def test_a_step_that_is_refused_leaves_the_cache(make, options, ids, lengths, error, message, rng):
    model, cache, whole = make(**options)
    text = rng.integers(0, 11, (2, 7))
    model.step(text[:, :6], cache)
    with pytest.raises(error, match=message):
        model.step(ids, cache, lengths)
    np.testing.assert_array_equal(cache.lengths, [6, 6])
    np.testing.assert_allclose(model.step(text[:, 6:], cache), whole(text)[:, -1], atol=1e-12)


@pytest.mark.parametrize("lengths", [[2, 3], [0, 1], [1, 4], [1], [1.0, 2.0], None])
def test_a_plan_refuses_in_the_same_words(lengths):
    model, cache, _ = language_model()
    plan = model.freeze()
    state = plan.new_cache(2)
    said = []
    for stepper, held in ((model, cache), (plan, state)):
        stepper.step(np.ones((2, 4), int), held, [2, 4])
        stepper.step(np.ones((2, 2), int), held)
        with pytest.raises((TypeError, ValueError)) as caught:
            stepper.step(IDS, held, lengths)
        said.append((type(caught.value), str(caught.value)))
    assert said[0] == said[1]


def test_room_beyond_the_models_is_refused_at_once():
    (model, _, _), (seq2seq, _, _) = language_model(), translator()
    for ask in (
        lambda: model.new_cache(2, max_len=9),
        lambda: model.freeze(9),
        lambda: seq2seq.new_cache(SOURCE, max_len=9),
        lambda: seq2seq.generate(SOURCE, bos=1, eos=2, max_len=9),
    ):
        with pytest.raises(ValueError, match="max_len 9 is more than the model's 8"):
            ask()
    assert model.new_cache(2, max_len=5).max_len == 5
    assert seq2seq.generate(SOURCE, bos=1, eos=None, max_len=8, beams=1)[0][0].tokens.shape == (8,)
