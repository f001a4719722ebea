"""Models run as programs on their own arrays: watched, of any length, and with states to step."""

import copy

import numpy as np
import pytest

from fastnn import models, nn
from fastnn.kernels import NotLowerable
from fastnn.nn.randomness import inference

SIZES = {"d_model": 16, "n_heads": 2, "n_layers": 2, "dropout": 0.3, "dtype": float, "rng": 0}
SOURCE = np.array([[1, 2, 3], [4, 5, 6]])
LENGTHS = np.array([3, 2])


def language_model(max_len=12, **options):
    model = models.TransformerLM(11, max_len=max_len, **SIZES, **options)
    return model, lambda ids: (ids,), lambda: model.new_cache(2)


def translator(max_len=12, **options):
    model = models.Seq2SeqTransformer(11, max_len=max_len, **SIZES, **options)
    return model, lambda ids: (SOURCE, ids, LENGTHS), lambda: model.new_cache(SOURCE, LENGTHS)


MAKERS = [language_model, translator]


def layer_by_layer(model, inputs):
    with inference():
        return model.forward(*inputs)[0]


def last_block(model):
    return (model.blocks if hasattr(model, "blocks") else model.decoder).blocks[-1]


def another_activation(model):
    last_block(model).feed_forward.up.activation = "tanh"


def another_epsilon(model):
    last_block(model).norms[0].eps = 0.5


def another_bias(model):
    last_block(model).attention.out.bias = np.arange(16.0)


def other_weights(model):
    for parameter in model.parameters():
        parameter.data *= 1.5


def other_memory(model):
    other_weights(nn.Sequential(last_block(model).feed_forward))


def another_scale(model):
    (model.embedding if hasattr(model, "blocks") else model.tgt_embedding).scale = 3.0


CHANGES = [another_activation, another_epsilon, another_bias, other_weights, other_memory]
CHANGES += [another_scale]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("make", MAKERS)
def test_what_changes_is_seen_by_the_next_call_and_the_next_step(make, change, rng):
    model, inputs, new_cache = make()
    ids = rng.integers(0, 11, (2, 9))
    before = model(*inputs(ids))
    cache = new_cache()
    model.step(ids[:, :8], cache)
    held = copy.deepcopy(model)
    change(model)
    after = model(*inputs(ids))
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, layer_by_layer(model, inputs(ids)), rtol=1e-12, atol=1e-12)
    whole = new_cache()
    want = model.step(ids, whole)
    np.testing.assert_allclose(want, after[:, -1], rtol=1e-11, atol=1e-11)
    # a cache that was filled before the change goes on: its keys are those of the old weights
    assert np.isfinite(model.step(ids[:, 8:], cache)).all() and (cache.lengths == 9).all()
    np.testing.assert_array_equal(held(*inputs(ids)), before)


@pytest.mark.parametrize("make", MAKERS)
def test_a_layer_of_ones_own_is_run_and_not_lowered(make, rng):
    model, inputs, new_cache = make()
    ids = rng.integers(0, 11, (2, 9))
    part, cache = last_block(model).feed_forward, new_cache()
    forward, seen = part.forward, []
    part.forward = lambda x, **how: (seen.append(x.shape), forward(x, **how))[1]
    np.testing.assert_array_equal(model(*inputs(ids)), layer_by_layer(model, inputs(ids)))
    assert len(seen) == 2
    for call in (new_cache, lambda: model.step(ids, cache), model.freeze):
        with pytest.raises(NotLowerable, match="FeedForward has no `lower` that goes with"):
            call()
    del part.forward
    np.testing.assert_allclose(model.step(ids, cache), model(*inputs(ids))[:, -1], atol=1e-12)
    assert len(seen) == 2


@pytest.mark.parametrize("position", ["learned", "sinusoidal", "rotary"])
def test_longer_states_than_before(position, rng):
    model = models.TransformerLM(11, 8, 2, 1, max_len=2500, position=position, dtype=float, rng=0)
    ids = rng.integers(0, 11, (1, 2500))
    short, whole = model.new_cache(1, 20), model(ids)
    model.step(ids[:, :10], short)
    long = model.new_cache(1)
    for cache, stop in ((short, 20), (long, 1000), (long, 2500)):
        found = model.step(ids[:, cache.lengths[0] : stop], cache)
        np.testing.assert_allclose(found, whole[:, stop - 1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_prompts_of_more_rows_than_go_through_together(position, rng):
    model = models.TransformerLM(11, 8, 2, 1, max_len=500, position=position, dtype=float, rng=0)
    ids, lengths = rng.integers(0, 11, (30, 400)), rng.integers(1, 401, 30)
    whole, cache = model(ids), model.new_cache(30)
    found = model.step(ids, cache, lengths)
    np.testing.assert_allclose(found, whole[np.arange(30), lengths - 1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("frozen", [False, True])
def test_no_rows(frozen):
    model = translator()[0]
    model = model.freeze() if frozen else model
    none = np.zeros((0, 3), int)
    assert model.generate(none, bos=1, eos=2, max_len=5) == []
    assert model.step(np.zeros((0, 1), int), model.new_cache(none)).shape == (0, 11)


@pytest.mark.parametrize("make", MAKERS)
def test_states_of_others_are_refused(make):
    model, _, new_cache = make()
    other, _, new_other = make()
    for cache in (
        new_other(),
        other.freeze().new_cache(*([SOURCE] if make is translator else [2])),
    ):
        with pytest.raises(ValueError, match="state of another plan or model"):
            model.step(SOURCE, cache)
    cache = new_cache()
    with pytest.raises(TypeError, match="a capsule holds no arrays"):
        cache.plan.capsule  # noqa: B018
    with pytest.raises(TypeError, match="must be integers, not float64"):
        model(*[SOURCE / 1] * (2 if make is translator else 1))
