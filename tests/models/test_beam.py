"""Beam search against all sequences, and against a simple search with lists."""

import itertools

import numpy as np
import pytest

from fastnn import models
from fastnn.models.beam import Hypothesis, beam_search
from fastnn.models.decoding import generate

from .steppers import Fixed, Oracle


def log_softmax(x):
    x = x.astype(np.float64)
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


def everything(model, prompt, eos, max_len, alpha):
    """All sequences that end by eos or have max_len tokens: (tokens, score), the best first."""
    found = []
    for length in range(1, max_len + 1):
        for tokens in itertools.product(range(model.vocab), repeat=length):
            if eos in tokens[:-1] or (length < max_len and tokens[-1] != eos):
                continue
            log_prob = sum(
                log_softmax(model.logits([*prompt, *tokens[:i]]))[token]
                for i, token in enumerate(tokens)
            )
            found.append((list(tokens), log_prob / length**alpha))
    return sorted(found, key=lambda one: -one[1])


def plain(model, prompt, eos, max_len, beams, alpha, early):
    """Beam search of one sentence, in lists, with nothing cut short but by fairseq's rule."""
    going, ended = [([], 0.0)], []
    for length in range(1, max_len + 1):
        options = []
        for tokens, log_prob in going:
            more = log_softmax(model.logits([*prompt, *tokens]))
            options += [([*tokens, token], log_prob + more[token]) for token in range(model.vocab)]
        options.sort(key=lambda one: -one[1])
        options = options[: 2 * beams]
        over = [one[0][-1] == eos or length == max_len for one in options]
        ended += [one for one, end in zip(options[:beams], over, strict=False) if end]
        going = [one for one, end in zip(options, over, strict=True) if not end][:beams]
        if not going or (early and len(ended) >= beams):
            break
    ended = [(tokens, log_prob / len(tokens) ** alpha) for tokens, log_prob in ended]
    return sorted(ended, key=lambda one: -one[1])


def check(found, wanted, n_best):
    """The hypotheses found are the n_best first of those wanted."""
    assert len(found) == min(len(wanted), n_best)
    for one, (tokens, score) in zip(found, wanted, strict=False):
        assert one.tokens.tolist() == tokens and one.tokens.dtype == np.int64
        assert type(one.score) is float and type(one.log_prob) is float
        assert one.score == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("alpha", [0, 0.75, 1.0, 3.0, -0.5])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_best_of_all_sequences(alpha, seed):
    model = Oracle(vocab=4, seed=seed, dtype=np.float64)
    prompts = [[1], [2, 3, 0]]
    found = beam_search(
        model,
        model.new_cache(2),
        bos=prompts,
        eos=3,
        max_len=5,
        beams=300,
        length_penalty=alpha,
        n_best=8,
        early_stopping=False,
    )
    for hypotheses, prompt in zip(found, prompts, strict=True):
        check(hypotheses, everything(model, prompt, 3, 5, alpha), 8)


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("seed", range(6))
def test_against_a_plain_search(seed, beams, early):
    rng = np.random.default_rng(seed)
    model = Oracle(vocab=int(rng.choice([3, 7, 200])), seed=seed)
    prompts = [rng.integers(0, 3, rng.integers(1, 5)).tolist() for _ in range(6)]
    limits = rng.integers(1, 12, 6)
    alpha = float(rng.choice([0, 0.75, 1]))
    found = beam_search(
        model,
        model.new_cache(6),
        bos=prompts,
        eos=0,
        max_len=limits,
        beams=beams,
        length_penalty=alpha,
        n_best=min(2, beams),
        early_stopping=early,
    )
    for hypotheses, prompt, limit in zip(found, prompts, limits, strict=True):
        check(hypotheses, plain(model, prompt, 0, limit, beams, alpha, early), min(2, beams))


def test_width_1_is_greedy():
    model = Oracle(vocab=9)
    prompts = [[1], [2, 2, 2], [3, 4]]
    new = generate(model, prompts, 20, temperature=0, stop=5)
    for alpha in (0, 0.75):
        found = beam_search(
            model,
            model.new_cache(3),
            bos=prompts,
            eos=5,
            max_len=20,
            beams=1,
            length_penalty=alpha,
        )
        for tokens, (one,) in zip(new, found, strict=True):
            assert one.tokens.tolist() == tokens.tolist()


def test_the_score_is_log_p_by_a_power_of_the_length():
    p = np.array([0.5, 0.3, 0.2])
    ((a, b),) = beam_search(
        Fixed(np.log(p)), Fixed(p).new_cache(1), bos=1, eos=0, max_len=3, beams=2, n_best=2
    )
    assert isinstance(a, Hypothesis)
    assert (a.tokens.tolist(), b.tokens.tolist()) == ([0], [1, 0])
    assert a.log_prob == pytest.approx(np.log(0.5)) and a.score == pytest.approx(np.log(0.5))
    assert b.log_prob == pytest.approx(np.log(0.15))
    assert b.score == pytest.approx(np.log(0.15) / 2**0.75)


def test_ties_go_to_the_better_beam_and_the_smaller_token():
    model = Fixed(np.zeros(5))
    ((one, two, three),) = beam_search(
        model, model.new_cache(1), bos=0, eos=None, max_len=2, beams=3, n_best=3
    )
    assert [h.tokens.tolist() for h in (one, two, three)] == [[0, 0], [0, 1], [0, 2]]


def test_sentences_that_are_done_leave_the_batch():
    model = Oracle(vocab=8)
    limits = [1, 3, 6, 2]
    found = beam_search(model, model.new_cache(4), bos=1, eos=None, max_len=limits, beams=2)
    assert [rows for rows, _ in model.steps] == [4, 6, 4, 2, 2, 2]  # the last token is not read
    assert [len(one.tokens) for (one,) in found] == limits


def test_the_bound_saves_steps_and_changes_nothing():
    likely = Fixed(np.log([0.9, 0.05, 0.03, 0.02]))
    ((one,),) = beam_search(
        likely, likely.new_cache(1), bos=1, eos=0, max_len=50, beams=4, early_stopping=False
    )
    assert one.tokens.tolist() == [0]
    # log 0.9 = -0.105 is beaten at 50 tokens, 50^0.75 = 18.8, by no log P under -1.98
    assert len(likely.steps) == 1


def test_more_beams_than_sequences():
    model = Oracle(vocab=2)
    ((*found,),) = beam_search(
        model, model.new_cache(1), bos=1, eos=0, max_len=2, beams=20, n_best=20
    )
    check(found, everything(model, [1], 0, 2, 0.75), 3)  # 0, 10 and 11


def test_no_sentences():
    model = Oracle()
    assert beam_search(model, model.new_cache(0), bos=1, eos=0, max_len=5) == []


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"beams": 0}, ValueError, "beams must be at least 1"),
        ({"beams": 2.0}, TypeError, "beams"),
        ({"n_best": 0}, ValueError, "n_best"),
        ({"n_best": 4}, ValueError, "n_best must be at most beams = 3, got 4"),
        ({"length_penalty": np.nan}, ValueError, "length_penalty"),
        ({"length_penalty": 1e30}, ValueError, "length_penalty must be from -32 to 32"),
        ({"length_penalty": -33}, ValueError, "length_penalty must be from -32 to 32"),
        ({"length_penalty": "1"}, TypeError, "length_penalty"),
        ({"max_len": 0}, ValueError, "max_len must be at least 1, got 0"),
        ({"max_len": [3, 0]}, ValueError, "max_len must be at least 1, got 0"),
        ({"max_len": 3.0}, TypeError, "max_len must be an integer"),
        ({"max_len": [3]}, ValueError, r"max_len must have the shape \(2,\), got \(1,\)"),
        ({"max_len": 21}, ValueError, "row 0: 1 positions and 21 new tokens .* cache of 20"),
        ({"eos": 0.5}, TypeError, "eos"),
        ({"early_stopping": "never"}, TypeError, "early_stopping"),
        ({"bos": [[1]]}, ValueError, "1 prompts do not fit a cache of 2 rows"),
        ({"bos": [[1], []]}, ValueError, "prompt 1 has no tokens"),
        ({"bos": 1.5}, TypeError, "1.5"),
    ],
)
def test_arguments_are_checked_before_anything_is_read(option, error, message):
    model = Oracle(max_len=20)
    cache = model.new_cache(2)
    with pytest.raises(error, match=message):
        beam_search(model, cache, **{"bos": 1, "eos": 0, "max_len": 5, "beams": 3, **option})
    assert model.steps == [] and cache.lengths.tolist() == [0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_sentence_whose_logits_have_no_softmax_is_named(bad):
    class Bad(Oracle):
        def logits(self, text):
            logits = super().logits(text)
            if text[0] == 3 and len(text) > 2:
                logits[4] = bad
            return logits

    model = Bad()
    with pytest.raises(ValueError, match="sentence 2: the logits have NaN or infinity"):
        beam_search(model, model.new_cache(3), bos=[[1], [2], [3]], eos=None, max_len=9)


def test_a_logit_of_minus_infinity_is_never_chosen():
    model = Fixed([0.0, -np.inf, -np.inf, 0.0])
    ((*found,),) = beam_search(
        model, model.new_cache(1), bos=0, eos=None, max_len=2, beams=5, n_best=5
    )
    assert [h.tokens.tolist() for h in found] == [[0, 0], [0, 3], [3, 0], [3, 3]]


def test_numbers_of_any_length_are_refused():
    """Python refuses to print integers of more than 4,300 digits."""
    model = models.Seq2SeqTransformer(
        12, d_model=8, n_heads=2, n_layers=1, d_ff=8, max_len=8, rng=0
    )
    for method in (model.generate, model.freeze().generate):
        with pytest.raises(ValueError, match=r"n_best must be below 2\*\*512, got an int of"):
            method(np.array([[4, 5]]), bos=2, eos=3, beams=2, max_len=4, n_best=10**5000)
