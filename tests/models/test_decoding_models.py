"""Decoding with real models: the cache, unequal prompts and sources, beams, windows, threads."""

import numpy as np
import pytest

import fastnn
from fastnn.models import Seq2SeqTransformer, TransformerLM
from fastnn.models.beam import beam_search
from fastnn.models.decoding import generate, stream

PROMPTS = [[1, 2, 3, 4, 5], [6], [7, 8, 9], [10, 3, 3, 3, 3]]
BOS, EOS = 1, 2


def language_model(dtype=np.float64, **options):
    """A small model with large, untied weights, so that it does not repeat itself."""
    sizes = {"d_model": 16, "n_heads": 4, "n_layers": 2, "max_len": 24, "tie_weights": False}
    model = TransformerLM(11, **{**sizes, **options}, dtype=dtype, rng=3)
    for parameter in model.parameters():
        if parameter.data.ndim == 2:
            parameter.data *= 15
    return model


def translator(dtype=np.float64, **options):
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 2, "max_len": 30, "tie_weights": False}
    return Seq2SeqTransformer(13, 9, **{**sizes, **options}, dtype=dtype, rng=4)


def sources(rng):
    """Four sources of unequal lengths, padded on the right with what must not be read."""
    lengths = np.array([5, 2, 7, 1])
    return rng.integers(0, 13, (4, 7)), lengths


def forward_logits(model, text):
    """Logits for all positions of a text, by one pass without a cache."""
    return model(np.array([text]))[0]


@pytest.mark.parametrize(
    "options",
    [{}, {"position": "sinusoidal"}, {"position": "rotary"}, {"n_kv_heads": 2}, {"norm": "rms"}],
    ids=str,
)
def test_cached_steps_are_the_full_forward_at_every_position(options, rng):
    model = language_model(**options)
    ids = rng.integers(0, 11, (3, 24))
    whole = model(ids)
    cache = model.new_cache(3)
    for t in range(24):
        step = model.step(ids[:, t : t + 1], cache)
        np.testing.assert_allclose(step, whole[:, t], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("options", [{}, {"position": "rotary"}], ids=str)
def test_greedy_is_the_argmax_of_the_full_forward(options):
    model = language_model(**options)
    new = generate(model, PROMPTS, 12, temperature=0, stop=2)
    assert len({tuple(row) for row in new}) > 1
    for prompt, row in zip(PROMPTS, new, strict=True):
        logits = forward_logits(model, [*prompt, *row[:-1]])
        assert row.tolist() == logits[len(prompt) - 1 :].argmax(axis=1).tolist()
        assert len(row) == 12 or row[-1] == 2


@pytest.mark.parametrize("max_len", [6, 7, 24])
@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 5}, {"top_p": 0.9}], ids=str)
def test_unequal_prompts_give_what_single_ones_give(max_len, options):
    model = language_model(max_len=max_len)
    new = generate(model, PROMPTS, 40, stop=(2, 4), seed=9, **options)
    assert len({len(row) for row in new}) > 1
    for i, prompt in enumerate(PROMPTS):
        # row i of another batch: the same stream, other neighbors
        others = [[5]] * i + [prompt]
        assert (
            new[i].tolist()
            == generate(model, others, 40, stop=(2, 4), seed=9, **options)[i].tolist()
        )
    assert list(stream(model, PROMPTS[0], 40, stop=(2, 4), seed=9, **options)) == new[0].tolist()


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_the_window_of_a_model_slides(position):
    model = language_model(max_len=8, position=position)
    prompt = [1, 2, 3]
    (new,) = generate(model, [prompt], 30, temperature=0)
    window = list(prompt)
    for token in new.tolist():
        assert token == forward_logits(model, window)[-1].argmax()
        window.append(token)
        if len(window) > 8:
            window = window[-4:]


def test_the_same_tokens_with_any_number_of_threads():
    model = language_model(np.float32, d_model=64)
    source, lengths = sources(np.random.default_rng(0))
    seq2seq = translator(np.float32)

    def both():
        beams = beam_search(
            seq2seq, seq2seq.new_cache(source, lengths), bos=BOS, eos=EOS, max_len=9
        )
        tokens = generate(model, PROMPTS, 30, seed=1)
        return [row.tolist() for row in tokens], [(h.tokens.tolist(), h.score) for (h,) in beams]

    with fastnn.num_threads(1):
        one = both()
    for n in (2, 3, 8):
        with fastnn.num_threads(n):
            assert both() == one


def test_a_token_that_is_none_is_refused():
    with pytest.raises(IndexError, match="11"):
        generate(language_model(), [[1, 11]], 3)


@pytest.mark.parametrize("alpha", [0, 1.0])
def test_a_beam_of_1_is_greedy(rng, alpha):
    model = translator()
    source, lengths = sources(rng)
    greedy = generate(
        model,
        [[BOS]] * 4,
        12,
        temperature=0,
        stop=EOS,
        cache=model.new_cache(source, lengths),
    )
    beams = beam_search(
        model,
        model.new_cache(source, lengths),
        bos=BOS,
        eos=EOS,
        max_len=12,
        beams=1,
        length_penalty=alpha,
    )
    assert [one.tokens.tolist() for (one,) in beams] == [row.tolist() for row in greedy]


def test_a_batch_of_sources_gives_what_single_ones_give(rng):
    model = translator()
    source, lengths = sources(rng)
    options = {"bos": BOS, "eos": EOS, "max_len": 8, "beams": 4, "n_best": 3}
    together = beam_search(model, model.new_cache(source, lengths), **options)
    assert len({len(best.tokens) for best, *_ in together}) > 1
    for ids, length, hypotheses in zip(source, lengths, together, strict=True):
        (alone,) = beam_search(model, model.new_cache(ids[None, :length]), **options)
        assert [h.tokens.tolist() for h in hypotheses] == [h.tokens.tolist() for h in alone]
        for one, two in zip(hypotheses, alone, strict=True):
            assert one.score == pytest.approx(two.score, abs=1e-9)


def test_the_score_is_that_of_the_full_forward(rng):
    model = translator()
    source, lengths = sources(rng)
    found = beam_search(
        model, model.new_cache(source, lengths), bos=BOS, eos=EOS, max_len=7, beams=5, n_best=5
    )
    for ids, length, hypotheses in zip(source, lengths, found, strict=True):
        assert len(hypotheses) == 5
        for tokens, score, log_prob in hypotheses:
            logits = model(ids[None, :length], np.array([[BOS, *tokens[:-1]]]))[0]
            own = fastnn.log_softmax(logits)[np.arange(len(tokens)), tokens].sum()
            assert log_prob == pytest.approx(own, abs=1e-9)
            assert score == pytest.approx(own / len(tokens) ** 0.75, abs=1e-9)


def test_beams_of_a_language_model():
    model = language_model()
    found = beam_search(
        model, model.new_cache(4), bos=PROMPTS, eos=2, max_len=8, beams=6, early_stopping=False
    )
    greedy = generate(model, PROMPTS, 8, temperature=0, stop=2)
    for prompt, (best,), tokens in zip(PROMPTS, found, greedy, strict=True):
        logits = forward_logits(model, [*prompt, *best.tokens[:-1]])[len(prompt) - 1 :]
        own = fastnn.log_softmax(logits)[np.arange(len(best.tokens)), best.tokens].sum()
        assert best.log_prob == pytest.approx(own, abs=1e-9)
        logits = forward_logits(model, [*prompt, *tokens[:-1]])[len(prompt) - 1 :]
        plain = fastnn.log_softmax(logits)[np.arange(len(tokens)), tokens].sum()
        assert best.score >= plain / len(tokens) ** 0.75 - 1e-9


def test_rows_that_are_dropped_repeated_or_change_places_keep_their_memory(rng):
    model = translator()
    source, lengths = sources(rng)
    cache = model.new_cache(source, lengths)
    rows, texts = np.arange(4), np.full((4, 1), BOS)
    model.step(texts, cache)
    for chosen in ([0, 0, 2, 2, 2], [1, 0, 4, 3, 3], [0, 2, 1, 3, 4]):
        cache.select(np.array(chosen))
        rows, texts = rows[chosen], np.hstack([texts[chosen], rng.integers(0, 9, (5, 1))])
        want = model(source[rows], texts, lengths[rows])[:, -1]
        np.testing.assert_allclose(model.step(texts[:, -1:], cache), want, atol=1e-11)
