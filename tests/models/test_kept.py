"""Keys and values kept in 16 and 8 bits: decoding against the same model with rounded ones."""

import numpy as np
import pytest

import fastnn
from fastnn import kernels, models, nn
from fastnn.nn.heads import by_head
from fastnn.nn.walk import Walk

from ..kernels.test_low import to_bf16

KINDS = ("bf16", "int8")
SIZES = {"d_model": 32, "n_heads": 4, "n_layers": 3, "max_len": 300, "rng": 0}
MODELS = {
    "learned": {},
    "rotary": {"position": "rotary", "norm": "rms", "gated": True, "activation": "silu"},
    "grouped": {"position": "rotary", "n_kv_heads": 2, "head_dim": 12},
    "one head of keys": {"n_heads": 8, "n_kv_heads": 1},  # 8 queries share it: not few
    "window": {"position": "rotary", "window": 7, "bias": False},
}


def rounded(x, kind):
    """Keys or values (..., size) as a state keeps them, in the type of x."""
    if kind == "bf16":
        return to_bf16(x.astype(np.float32)).astype(x.dtype)
    y = np.ascontiguousarray(x, np.float32)
    scale = np.abs(y).max(axis=-1, keepdims=True) / np.float32(127)
    q = np.where(scale > 0, np.rint(y / np.where(scale > 0, scale, 1)), 0).astype(np.float32)
    return (q * scale).astype(x.dtype)


class Kept(Walk):
    """Inference over all positions, with rounded keys and values."""

    def __init__(self, kind):
        self.kind = kind

    def run(self, part, y, options):
        if not isinstance(part, nn.MultiHeadAttention):
            return part(y)
        qkv, d = part.qkv(y), part.n_heads * part.head_dim
        q, k, v, _ = by_head(qkv[..., :d], qkv[..., d:], part.n_heads, part.n_kv_heads, part.norms)
        if part.rotary:
            part.turn(q, k)
        if self.kind is not None:
            k, v = rounded(k, self.kind), rounded(v, self.kind)
        heads = kernels.attention(q, k, v, causal=True, window=part.window)
        return part.out(np.ascontiguousarray(heads.transpose(0, 2, 1, 3)).reshape(*y.shape[:2], d))


def model_of(name, dtype=np.float32):
    options = SIZES | MODELS[name]
    model = models.TransformerLM(20, dtype=dtype, **options)
    draw = np.random.default_rng(0)
    for p in model.parameters():  # weights of the size of trained ones
        p.data[...] = draw.normal(p.data.ndim == 1, 0.3, p.data.shape)
    return model


def logits(model, ids, kind):
    hidden = model.blocks.walk(Kept(kind), model.embed(ids), (), {})
    return hidden @ model.embedding.weight.data.T


def stepped(model, ids, cuts, kind):
    """The logits behind each cut, of steps from one to the next."""
    cache, found = model.new_cache(len(ids), dtype=kind), []
    for start, stop in zip((0, *cuts), (*cuts, ids.shape[1]), strict=True):
        found.append(model.step(ids[:, start:stop], cache))
    return np.stack(found, axis=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("cuts", [tuple(range(1, 40)), (17, 18, 21, 60, 61), (280, 281, 282)])
def test_steps_are_those_with_rounded_keys_and_values(name, kind, cuts):
    model = model_of(name)
    ids = np.random.default_rng(1).integers(0, 20, (2, cuts[-1] + 1))
    at = [*(cut - 1 for cut in cuts), ids.shape[1] - 1]
    expected, plain = (logits(model, ids, k)[:, at] for k in (kind, None))
    size = np.abs(expected).max()
    for usable in (model, model.freeze()):
        found = stepped(usable, ids, cuts, kind)
        # a key next to a tie may be rounded either way, by sums in another order
        assert np.abs(found - expected).max() <= 2e-3 * size
        assert np.median(np.abs(found - expected)) <= 1e-5 * size
    assert np.abs(expected - plain).max() > 1e-4 * size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_against_float64(name, kind):
    """The error of the logits stays near that of rounding, 2^-9 or 1/254 of a head's largest."""
    model, wide = model_of(name), model_of(name, np.float64)
    ids = np.random.default_rng(1).integers(0, 20, (3, 70))
    exact = logits(wide, ids, None)[:, 30:]
    found = stepped(model, ids, tuple(range(31, 70)), kind)
    error = np.abs(found - exact) / np.abs(exact).max()
    worst, mean = {"bf16": (0.06, 0.004), "int8": (0.12, 0.008)}[kind]
    assert error.max() <= worst and error.mean() <= mean
    assert (found.argmax(-1) == exact.argmax(-1)).mean() > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_at_any_number_of_threads(kind):
    model = model_of("grouped").freeze()
    ids = np.random.default_rng(1).integers(0, 20, (2, 290))
    found = set()
    for threads in (1, 2, 3, 8):
        with fastnn.num_threads(threads):
            found.add(stepped(model, ids, (250, 251, 252, 270), kind).tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_states_select_and_truncate(kind):
    model = model_of("grouped")
    ids = np.random.default_rng(1).integers(0, 20, (3, 30))
    cache = model.new_cache(3, 64, dtype=kind)
    model.step(ids[:, :20], cache)
    cache.select([2, 0, 2])
    again = model.new_cache(3, 64, dtype=kind)
    model.step(ids[[2, 0, 2], :20], again)
    for i in range(20, 24):
        some = ids[[2, 0, 2], i : i + 1]
        np.testing.assert_array_equal(model.step(some, cache), model.step(some, again))
    cache.truncate(21)
    again.truncate(21)
    np.testing.assert_array_equal(model.step(ids[:, :1], cache), model.step(ids[:, :1], again))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_unequal_lengths(kind):
    model = model_of("rotary")
    ids = np.random.default_rng(1).integers(0, 20, (3, 12))
    cache = model.new_cache(3, dtype=kind)
    together = model.step(ids, cache, lengths=np.array([12, 1, 7]))
    for row, n in enumerate((12, 1, 7)):
        alone = model.step(ids[row : row + 1, :n], model.new_cache(1, dtype=kind))
        np.testing.assert_allclose(together[row], alone[0], rtol=0, atol=1e-4)


def test_memory():
    model = model_of("grouped")  # 3 layers, 2 heads of keys, 12 columns
    for plan in (model.freeze(), model):
        plain = plan.new_cache(2, 100)
        assert plain.nbytes == 2 * 2 * 100 * 3 * 2 * 12 * 4
        assert plan.new_cache(2, 100, dtype="bf16").nbytes == plain.nbytes // 2
        assert plan.new_cache(2, 100, dtype="int8").nbytes == 2 * 2 * 100 * 3 * 2 * (12 + 4)


@pytest.mark.parametrize("kind", KINDS)
def test_generation(kind):
    model = model_of("rotary")
    prompts = [[1, 2, 3], [4, 5], [6] * 9]
    cache = model.new_cache(3, dtype=kind)
    expected = models.generate(model, prompts, 8, temperature=0, cache=cache)
    found = models.generate(model, prompts, 8, temperature=0, cache_dtype=kind)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    one = list(models.stream(model, prompts[0], 8, temperature=0, cache_dtype=kind))
    assert len(one) == 8


@pytest.mark.parametrize("kind", KINDS)
def test_translation(kind):
    model = models.Seq2SeqTransformer(30, d_model=32, n_layers=2, max_len=16, rng=0)
    src, ids = np.array([[4, 5, 6], [7, 8, 9]]), np.array([[1, 2, 3], [1, 5, 6]])
    exact = model.step(ids, model.new_cache(src))
    for usable in (model, model.freeze()):
        cache = usable.new_cache(src, dtype=kind)
        found = usable.step(ids, cache)
        assert 0 < np.abs(found - exact).max() <= 0.03 * np.abs(exact).max()
        cache.select([1, 1, 0])
        assert len(cache) == 3 and usable.step(ids[[1, 1, 0], :1], cache).shape == (3, 30)


def test_numbers_that_are_not_finite():
    """A head with one is NaN in int8, and does not reach other rows of the batch."""
    model = model_of("learned")
    model.embedding.weight.data[3, 0] = np.inf
    ids = np.array([[1, 3, 2], [1, 4, 2]])
    for kind in KINDS:
        found = model.step(ids, model.new_cache(2, dtype=kind))
        assert np.isnan(found[0]).any() and np.isfinite(found[1, :3]).all()


def test_refusals():
    model = model_of("learned")
    with pytest.raises(ValueError, match="new_state: dtype must be 'bf16' or 'int8'"):
        model.new_cache(1, dtype="float16")
    with pytest.raises(TypeError, match="dtype 'int8' needs a plan of float32"):
        model_of("learned", np.float64).new_cache(1, dtype="int8")
    for call in (
        lambda: models.generate(model, [[1]], 2, cache_dtype="int4"),
        lambda: models.stream(model, [1], 2, cache_dtype="int4"),
    ):
        with pytest.raises(ValueError, match="cache_dtype must be None, 'bf16' or 'int8'"):
            call()
