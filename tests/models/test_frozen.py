"""Frozen models: every model that there is, and encoder-decoders."""

import pickle

import numpy as np
import pytest

from fastnn import capi, models, nn

from ..golden.cases import CASES
from .plans import REALS, assert_close, varied


@pytest.mark.parametrize("case", CASES)
def test_every_model_is_frozen(case, real):
    """All kinds of layers and models, those of the golden files: the plan computes what they do."""
    model, inputs, how = CASES[case](real)
    varied(model)
    if isinstance(model, nn.AddNorm):
        with pytest.raises(TypeError, match="AddNorm has two inputs"):
            model.freeze()
        return
    if isinstance(model, (models.TransformerLM, models.Seq2SeqTransformer)):
        return check_steps(model, inputs, how)
    want = model(*inputs, **how)
    plan = model.freeze()
    np.testing.assert_allclose(
        plan(*inputs, **how),
        want,
        rtol=0,
        atol=(1e-4 if real == np.float32 else 1e-12) * np.abs(want).max(),
    )


def check_steps(model, inputs, how):
    """Frozen and not, token by token."""
    *source, tgt = inputs
    want = model(*inputs, **how)
    frozen = model.freeze()
    cache = frozen.new_cache(*source, **how) if source else frozen.new_cache(len(tgt))
    for t in range(tgt.shape[1]):
        assert_close(frozen.step(tgt[:, t : t + 1], cache), want[:, t])


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("choice", [{}, {"norm_first": True, "tie_weights": False}])
def test_a_frozen_encoder_decoder(choice, real):
    """Memory, steps of unequal lengths, rows selected, and beam search, as the model's."""
    how = {"d_ff": 40, "max_len": 40, "dropout": 0.1, "dtype": real, "rng": 0, **choice}
    model = varied(models.Seq2SeqTransformer(13, 17, 16, 2, 2, **how))
    rng = np.random.default_rng(0)
    src, tgt = rng.integers(0, 13, (3, 8)), rng.integers(0, 17, (3, 12))
    lengths = np.array([8, 3, 5])
    frozen = model.freeze()
    assert_close(frozen.encode(src, lengths), model.encode(src, lengths))
    found = []
    for made in (model, frozen):
        cache = made.new_cache(src, lengths, 20)
        steps = [made.step(tgt[:, :3], cache), made.step(tgt[:, 3:7], cache, [4, 1, 2])]
        cache.select(np.array([2, 0, 0, 1]))
        steps.append(made.step(tgt[[0, 0, 1, 2], 7:9], cache))
        cache.select(np.array([0, 2, 1, 3]))  # within one sentence
        steps.append(made.step(tgt[[0, 0, 1, 2], 9:10], cache))
        found.append([*steps, cache.lengths])
    for ours, theirs in zip(*found, strict=True):
        assert_close(theirs, ours)
    for ours, theirs in zip(
        model.generate(src, lengths, bos=1, eos=2, max_len=9, beams=3),
        frozen.generate(src, lengths, bos=1, eos=2, max_len=9, beams=3),
        strict=True,
    ):
        for a, b in zip(ours, theirs, strict=True):
            assert a.tokens.tolist() == b.tokens.tolist()
    assert (
        frozen.max_len == 40
        and frozen.nbytes > 0
        and "FrozenSeq2Seq(Plan(13 tokens" in repr(frozen)
    )
    model.parameters().data[...] = 0
    assert_close(frozen.step(tgt[:, :3], frozen.new_cache(src, lengths, 20)), found[0][0])


def test_what_a_frozen_encoder_decoder_refuses():
    model = models.Seq2SeqTransformer(13, 17, 16, 2, 1, d_ff=20, max_len=9, rng=0)
    frozen, src = model.freeze(), np.ones((2, 5), int)
    for error, words, call in (
        (IndexError, "the id 13 at .* is not from 0 to 12", lambda: frozen.encode(src + 12)),
        (ValueError, "at most 9", lambda: frozen.encode(np.ones((2, 10), int))),
        (TypeError, "x must be a NumPy array of integers", lambda: frozen.encode(src / 1)),
        (ValueError, "lengths must be 2 integers from 0 to 5", lambda: frozen.encode(src, [1, 6])),
        (TypeError, "needs a memory", lambda: frozen.decoder.new_state(2)),
        (TypeError, "has `step`", lambda: frozen.decoder(src)),
        (TypeError, "takes x alone", lambda: nn.MLP((2, 2)).freeze()(src, lengths=[1, 2])),
        (ValueError, "max_len", lambda: frozen.new_cache(src, max_len=10)),
        (ValueError, "more than the model's", lambda: model.freeze(10)),
        (TypeError, "pickle the model", lambda: pickle.dumps(frozen)),
    ):
        with pytest.raises(error, match=words):
            call()
    for memory in (np.ones((1, 5, 16)), np.ones((2, 5, 17)), np.ones((2, 16))):
        with pytest.raises(ValueError, match="memory must be"):
            frozen.decoder.new_state(2, memory=memory.astype(np.float32))
    for lengths in ([6, 1], [1], [-1, 2]):
        with pytest.raises(ValueError, match="memory_lengths must be 2 integers"):
            memory = np.ones((2, 5, 16), np.float32)
            frozen.decoder.new_state(2, memory=memory, memory_lengths=lengths)
    assert not capi.ctypes("plan_new_state")(frozen.decoder.address, 1, 5)  # it needs a memory
