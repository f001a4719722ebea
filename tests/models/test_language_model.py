"""The language model: its loss and gradients, decoding, random numbers, and files."""

import numpy as np
import pytest

from fastnn import models, nn
from fastnn.models import token_loss
from fastnn.nn import parameter_shapes

OPTIONS = [{}, {"tie_weights": False, "position": "rotary"}, {"norm": "rms", "n_kv_heads": 1}]


def new_model(**options):
    options = {"dtype": np.float64, "rng": 0, "dropout": 0.2} | options
    model = models.TransformerLM(11, 8, 2, 2, 6, **options)
    model.seed(3)
    return model


def new_ids(rng, shape=(3, 5)):
    return rng.integers(0, 11, shape), rng.integers(0, 11, shape)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients(options, rng):
    nn.gradcheck(new_model(**options), new_ids(rng)[0], samples=4, rtol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
def test_loss_in_chunks_is_cross_entropy(options, rng, monkeypatch):
    monkeypatch.setattr(token_loss, "CHUNK_BYTES", 1)
    x, y = rng.integers(0, 11, (30, 6)), rng.integers(0, 11, (30, 6))
    y[::3, 1] = -100
    one, other = new_model(**options), new_model(**options)
    loss, n = one.loss_and_grad(x, y, label_smoothing=0.1)
    logits, ctx = other.forward(x)
    want, dlogits = nn.cross_entropy(logits, y, label_smoothing=0.1)
    other.backward(dlogits, ctx)
    assert n == np.count_nonzero(y >= 0) and loss == pytest.approx(want, rel=1e-12)
    np.testing.assert_allclose(one.parameters().grad, other.parameters().grad, atol=1e-12)


def test_no_target_counts(rng):
    x, y = new_ids(rng)
    model = new_model()
    assert model.loss_and_grad(x, np.full_like(y, -100)) == (0.0, 0)
    assert not model.parameters().grad.any()


@pytest.mark.parametrize("options", OPTIONS)
def test_steps_with_a_cache_are_the_whole(options, rng):
    model, x = new_model(**options), rng.integers(0, 11, (2, 6))
    cache, want = model.new_cache(2), model(x)
    for start, stop in ((0, 3), (3, 4), (4, 6)):
        found = model.step(x[:, start:stop], cache)
        np.testing.assert_allclose(found, want[:, stop - 1], atol=1e-12)


def test_dropout_repeats_with_the_seed(rng):
    model, x = new_model(), new_ids(rng)[0]
    first, second = model.forward(x)[0], model.forward(x)[0]
    assert not np.array_equal(first, second)
    state = model.random_state()
    assert all(not name.endswith("stream") for name in state) and "" not in state
    model.seed(3)
    np.testing.assert_array_equal(model.forward(x)[0], first)


def test_a_step_has_the_same_bits_with_any_number_of_threads(n_threads, rng):
    import fastnn

    x, y = new_ids(rng)
    model, one = new_model(dtype=np.float32), new_model(dtype=np.float32)
    model.loss_and_grad(x, y)
    with fastnn.num_threads(1):
        one.loss_and_grad(x, y)
    np.testing.assert_array_equal(model.parameters().grad, one.parameters().grad)


@pytest.mark.parametrize("position", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"n_layers": 10**9},
        {"n_heads": 3},
        {"n_heads": 0},
        {"d_model": -8},
        {"n_kv_heads": 0},
        {"d_ff": 0},
        {"vocab_size": 0},
        {"max_len": 0},
        {"max_len": 10**9},
    ],
)
def test_hostile_configs_are_refused_before_memory_is_taken(wrong, position):
    model = new_model(position=position)
    with pytest.raises(ValueError, match=rf"\b{next(iter(wrong))}\b"):
        parameter_shapes(model.config() | wrong)


@pytest.mark.parametrize("options", OPTIONS)
def test_files(options, tmp_path, rng):
    import fastnn

    pytest.importorskip("safetensors")
    model, x = new_model(**options), new_ids(rng)[0]
    model.save(tmp_path / "model")
    found = fastnn.load(tmp_path / "model")
    assert found.config() == model.config()
    np.testing.assert_array_equal(found(x), model(x))


def test_unknown_options_of_a_block_are_errors(rng):
    block = nn.EncoderBlock(8, 2, 16, rng=0)
    with pytest.raises(TypeError, match="takes no 'length'"):
        block(np.zeros((1, 2, 8), np.float32), length=[1])
