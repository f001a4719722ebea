"""Switches of decoders: each against its formula in float64, its gradient, and as a program."""

import numpy as np
import pytest

from fastnn import models, nn
from fastnn.nn.rotary import turn_of

from .test_transformer import With, randomized

B, T, D, HEADS = 2, 6, 8, 4
LINEAR = {"base": 500.0, "dims": 2, "scaling": "linear", "factor": 2.0}
LLAMA3 = {"base": 5e5, "scaling": "llama3", "factor": 8.0, "trained_len": 16}
YARN = {"scaling": "yarn", "factor": 4.0, "trained_len": 16}
SWITCHES = {
    "gated": {"gated": True, "activation": "silu"},
    "head_dim": {"head_dim": 6},
    "kv heads and head_dim": {"head_dim": 4, "n_kv_heads": 2, "rotary": True},
    "qkv_bias": {"bias": False, "qkv_bias": True},
    "no qkv_bias": {"qkv_bias": False},
    "norm of each head": {"qk_norm": "head", "n_kv_heads": 2},
    "norm of all heads": {"qk_norm": "all", "n_kv_heads": 2, "rotary": True},
    "window": {"window": 2, "causal": True},
    "window both ways": {"window": 3},
    "part of a head": {"rotary": LINEAR, "head_dim": 4},
    "llama3": {"rotary": LLAMA3, "head_dim": 4},
    "yarn": {"rotary": YARN, "head_dim": 4},
    "branch": {"placement": "branch"},
    "sandwich": {"placement": "sandwich"},
    "parallel": {"placement": "parallel"},
    "pre": {"placement": "pre"},
    "no norm before attention": {"norm_first": True, "attention_norm": False},
}
EVERYTHING = {
    **{"gated": True, "activation": "gelu", "head_dim": 4, "n_kv_heads": 2, "qk_norm": "head"},
    **{"qkv_bias": True, "bias": False, "norm": "rms", "window": 3, "causal": True},
    "rotary": YARN,
}
SWITCHES |= {f"everything, {p}": {**EVERYTHING, "placement": p} for p in ("pre", "sandwich")}
walk = pytest.mark.parametrize("name", SWITCHES)


def block(name, **more):
    options = {"dtype": float, "rng": 0, **SWITCHES[name], **more}
    return randomized(nn.EncoderBlock(D, HEADS, 10, **options))


def vectors(seed=0):
    return np.random.default_rng(seed).normal(size=(B, T, D))


def affine(layer, x):
    return x @ layer.weight.data + (0 if layer.bias is None else layer.bias.data)


def normed(layer, x):
    if getattr(layer, "kind", "rms") == "layer":
        x = x - x.mean(-1, keepdims=True)
    y = x / np.sqrt((x * x).mean(-1, keepdims=True) + layer.eps) * layer.weight.data
    return y if layer.bias is None else y + layer.bias.data


def turned(x, layer):
    """x (B, T, heads, size) rotated in complex numbers."""
    if not layer.rotary:
        return x
    rates, factor = turn_of(layer.rotary, layer.head_dim)
    n = layer.head_dim // 2 if rates is None else len(rates)
    rates = 10000.0 ** (-np.arange(n) / n) if rates is None else rates
    z = (x[..., :n] + 1j * x[..., n : 2 * n]) * factor
    z = z * np.exp(1j * np.arange(x.shape[1])[:, None, None] * rates)
    return np.concatenate([z.real, z.imag, x[..., 2 * n :]], axis=-1)


def attention(layer, x, causal):
    d_q, d_kv = layer.n_heads * layer.head_dim, layer.n_kv_heads * layer.head_dim
    q, k, v = np.split(affine(layer.qkv, x), [d_q, d_q + d_kv], axis=-1)
    if layer.qk_norm == "all":
        q, k = (normed(norm, y) for norm, y in zip(layer.norms, (q, k), strict=True))
    q, k, v = (y.reshape(*y.shape[:2], -1, layer.head_dim) for y in (q, k, v))
    if layer.qk_norm == "head":
        q, k = (normed(norm, y) for norm, y in zip(layer.norms, (q, k), strict=True))
    q, k = turned(q, layer), turned(k, layer)
    k, v = (np.repeat(y, layer.n_heads // layer.n_kv_heads, axis=2) for y in (k, v))
    scores = np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(layer.head_dim)
    away = np.arange(T)[:, None] - np.arange(T)
    seen = away >= 0 if causal else away < T
    seen = seen if layer.window is None else seen & (np.abs(away) < layer.window)
    p = np.exp(np.where(seen, scores, -np.inf))
    p /= p.sum(-1, keepdims=True)
    return affine(layer.out, np.einsum("bhts,bshd->bthd", p, v).reshape(B, T, -1))


def feed_forward(layer, x):
    h = affine(layer.up, x)
    if layer.gated:
        h, linear = np.split(h, 2, axis=-1)
        return affine(
            layer.down,
            getattr(nn, layer.activation.upper().replace("SILU", "SiLU"))()(np.ascontiguousarray(h))
            * linear,
        )
    return affine(layer.down, np.maximum(h, 0))


def expected(layer, x):
    parts = dict(layer.parts())
    a = lambda y: attention(layer.attention, y, layer.causal)  # noqa: E731
    f = lambda y: feed_forward(layer.feed_forward, y)  # noqa: E731
    n1, n2 = parts.get("norm1"), parts["norm2"]
    if layer.placement == "post":
        x = normed(n1, x + a(x))
        return normed(n2, x + f(x))
    if layer.placement == "branch":
        x = x + normed(n1, a(x))
        return x + normed(n2, f(x))
    if layer.placement == "sandwich":
        x = x + normed(parts["after1"], a(normed(n1, x)))
        return x + normed(parts["after2"], f(normed(n2, x)))
    if layer.placement == "parallel":
        return x + a(normed(n1, x)) + f(normed(n2, x))
    x = x + a(x if n1 is None else normed(n1, x))
    return x + f(normed(n2, x))


@walk
def test_the_formula(name):
    layer, x = block(name), vectors()
    want = expected(layer, x)
    np.testing.assert_allclose(layer(x), want, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(layer.forward(x)[0], want, rtol=1e-11, atol=1e-12)


@walk
def test_the_gradient(name):
    layer = block(name, dropout=0.3, attention_dropout=0.2)
    assert nn.gradcheck(layer, vectors(), samples=20).worst < 1e-6
    stack = nn.TransformerEncoder(
        2, D, HEADS, 10, **{"dtype": float, "rng": 0, "dropout": 0.3, **SWITCHES[name]}
    )
    assert nn.gradcheck(randomized(stack), vectors(), samples=6).worst < 1e-6


@walk
def test_it_is_saved_and_built_again(name):
    layer = block(name)
    again = nn.build(layer.config())
    assert again.config() == layer.config()
    shapes = {key: (p.data.shape, p.data.dtype.name) for key, p in layer.parameters().named()}
    assert list(nn.parameter_shapes(layer.config()).items()) == list(shapes.items())


@walk
def test_a_program_computes_the_same(name):
    layer, x = block(name), vectors()
    np.testing.assert_allclose(layer.freeze(max_len=T)(x), layer(x), rtol=1e-11, atol=1e-12)


def language_model(name, **more):
    how = {key: value for key, value in SWITCHES[name].items() if key != "causal"}
    if how.pop("attention_norm", None) is not None or how.pop("norm_first", None) is not None:
        how = {}
    how |= {"position": "rotary"} if how.get("rotary") else {}
    how |= {"rotary": None} if how.get("rotary") is True else {}
    options = {"n_layers": 2, "max_len": 12, "d_ff": 10, "dtype": float, "rng": 0, **how, **more}
    return randomized(models.TransformerLM(7, D, HEADS, **options))


@walk
def test_decoding_with_a_cache_is_the_whole_at_once(name, rng):
    model, ids = language_model(name), rng.integers(0, 7, (2, 12))
    whole = model(ids)
    np.testing.assert_allclose(whole, model.forward(ids)[0], rtol=1e-10, atol=1e-11)
    for stepper in (model, model.freeze()):
        cache, held = stepper.new_cache(2), 0
        for n in (5, 1, 3, 1, 1, 1):
            found = stepper.step(ids[:, held : held + n], cache)
            held += n
            np.testing.assert_allclose(found, whole[:, held - 1], rtol=1e-10, atol=1e-11)


def test_options_of_each_block(rng):
    rotary = [YARN, False, True]
    model = randomized(
        models.TransformerLM(
            7,
            D,
            HEADS,
            3,
            12,
            dtype=float,
            rng=0,
            position="rotary",
            rotary=rotary,
            window=[None, 2, 5],
            embedding_scale=3.0,
        )
    )
    assert [b.attention.rotary for b in model.blocks] == rotary
    assert [b.attention.window for b in model.blocks] == [None, 2, 5]
    again = nn.build(model.config())
    assert again.config() == model.config()
    again.load_state(model.state())
    ids = rng.integers(0, 7, (2, 12))
    np.testing.assert_array_equal(again(ids), model(ids))
    cache = model.new_cache(2)
    model.step(ids[:, :7], cache)
    np.testing.assert_allclose(model.step(ids[:, 7:], cache), model(ids)[:, -1], rtol=1e-11)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.MultiHeadAttention(6, 4, rng=0), ValueError, "or head_dim be given"),
        (lambda: nn.MultiHeadAttention(8, 2, head_dim=0), ValueError, "head_dim"),
        (lambda: nn.MultiHeadAttention(8, 2, qk_norm="both"), ValueError, "qk_norm"),
        (lambda: nn.MultiHeadAttention(8, 2, window=0), ValueError, "window"),
        (lambda: nn.MultiHeadAttention(8, 2, window=2, d_memory=4), ValueError, "window are for"),
        (lambda: nn.MultiHeadAttention(8, 2, rotary={"bas": 1.0}), ValueError, "no setting 'bas'"),
        (lambda: nn.MultiHeadAttention(8, 2, rotary={"base": 0.0}), ValueError, "rotary base"),
        (lambda: nn.MultiHeadAttention(8, 2, rotary={"dims": 3}), ValueError, "must be even"),
        (lambda: nn.MultiHeadAttention(8, 2, rotary={"dims": 6}), ValueError, "rotary dims"),
        (lambda: nn.MultiHeadAttention(8, 2, rotary={"scaling": "ntk"}), ValueError, "scaling"),
        (
            lambda: nn.MultiHeadAttention(8, 2, rotary={"scaling": "linear"}),
            ValueError,
            "needs the setting 'factor'",
        ),
        (lambda: nn.EncoderBlock(8, 2, 4, placement="top"), ValueError, "placement"),
        (lambda: nn.EncoderBlock(8, 2, 4, attention_norm=False), ValueError, "attention_norm"),
        (lambda: nn.DecoderBlock(8, 2, 4, placement="parallel"), ValueError, "without a memory"),
        (lambda: nn.TransformerEncoder(2, 8, 2, 4, window=[1]), ValueError, "1 values for 2"),
        (lambda: models.TransformerLM(7, 8, 2, rotary={}), ValueError, "position 'rotary'"),
        (lambda: models.TransformerLM(7, 8, 2, gate=True), TypeError, "gate"),
    ],
)
def test_wrong_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_formats_that_lack_a_switch_refuse_it():
    for name in ("gated", "window", "branch", "qkv_bias", "norm of each head", "head_dim"):
        with pytest.raises(ValueError, match="no counterpart"):
            models.to_gpt2(language_model(name))
        stack = nn.TransformerEncoder(1, D, HEADS, 10, rng=0, **SWITCHES[name])
        with pytest.raises(ValueError, match="no counterpart"):
            models.to_torch(stack)


def test_masks_and_lengths_go_with_a_window():
    layer, x = block("window both ways"), vectors()
    seen = np.abs(np.arange(T)[:, None] - np.arange(T)) < 3
    plain = nn.EncoderBlock(D, HEADS, 10, dtype=float, rng=0)
    plain.load_state(layer.state())
    how = {"lengths": np.array([T, 4])}
    np.testing.assert_allclose(layer(x, **how), plain(x, mask=seen, **how), rtol=1e-12)
    assert nn.gradcheck(With(layer, **how), x).worst < 1e-6
