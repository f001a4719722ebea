"""Multi-head attention, positions and blocks against float64 NumPy, and their gradients."""

import numpy as np
import pytest

from fastnn import nn

B, T, S, D, HEADS = 2, 5, 4, 8, 4


class With(nn.Module):
    """A layer called with options, for gradcheck."""

    def __init__(self, layer, **options):
        self.layer, self.options = layer, options
        super().__init__({"layer": layer})

    def forward(self, *inputs):
        return self.layer.forward(*inputs, **self.options)

    def backward(self, dy, ctx, need_dx=True):
        return self.layer.backward(dy, ctx)

    def config(self):
        return {"type": "With"}


def vectors(n=T, seed=0, d=D):
    return np.random.default_rng(seed).normal(size=(B, n, d))


def affine(layer, x):
    return x @ layer.weight.data + (0 if layer.bias is None else layer.bias.data)


def plain_attention(q, k, v, allowed):
    """q (B, T, H, d), k and v (B, S, Hkv, d): head by head, query by query."""
    out = np.zeros((*q.shape[:3], v.shape[-1]))
    group = q.shape[2] // k.shape[2]
    for b, t, h in np.ndindex(q.shape[:3]):
        keys = np.flatnonzero(allowed[b, t])
        scores = k[b, keys, h // group] @ q[b, t, h] / np.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max())
        out[b, t, h] = weights / weights.sum() @ v[b, keys, h // group]
    return out.reshape(*q.shape[:2], -1)


def plain_heads(layer, x, memory=None):
    kv_size = layer.n_kv_heads * layer.head_dim
    if memory is None:
        q, k, v = np.split(affine(layer.qkv, x), [D, D + kv_size], axis=-1)
    else:
        q, (k, v) = affine(layer.q, x), np.split(affine(layer.kv, memory), 2, axis=-1)
    return [y.reshape(*y.shape[:2], -1, layer.head_dim) for y in (q, k, v)]


def randomized(layer, seed=5):
    """Biases start at zero and norms at one: here they are anything."""
    data = layer.parameters().data
    data += 0.1 * np.random.default_rng(seed).normal(size=data.shape)
    return layer


CASES = {
    "plain": ({}, lambda: np.ones((B, T, T), bool)),
    "causal": ({"causal": True}, lambda: np.tril(np.ones((B, T, T), bool))),
    "lengths": (
        {"lengths": np.array([2, 5])},
        lambda: np.arange(T) < np.array([2, 5])[:, None, None] + np.zeros((1, T, 1)),
    ),
    "mask": (
        {"mask": np.eye(T, dtype=bool) | (np.arange(T) == 0)},
        lambda: np.broadcast_to(np.eye(T, dtype=bool) | (np.arange(T) == 0), (B, T, T)),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_self_attention_is_what_the_formula_says(case, n_kv_heads):
    options, allowed = CASES[case]
    layer = randomized(nn.MultiHeadAttention(D, HEADS, n_kv_heads=n_kv_heads, dtype=float, rng=0))
    x = vectors()
    expected = affine(layer.out, plain_attention(*plain_heads(layer, x), allowed()))
    np.testing.assert_allclose(layer(x, **options), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(layer.forward(x, **options)[0], expected, rtol=1e-12, atol=1e-13)
    assert nn.gradcheck(With(layer, **options), x).worst < 1e-6


def test_cross_attention_is_what_the_formula_says():
    layer = randomized(nn.MultiHeadAttention(D, HEADS, d_memory=6, dtype=float, rng=0))
    x, memory, lengths = vectors(), vectors(S, 1, 6), np.array([4, 2])
    allowed = np.arange(S) < lengths[:, None, None] + np.zeros((1, T, 1))
    expected = affine(layer.out, plain_attention(*plain_heads(layer, x, memory), allowed))
    np.testing.assert_allclose(layer(x, memory, lengths=lengths), expected, rtol=1e-12, atol=1e-13)
    assert nn.gradcheck(With(layer, lengths=lengths), x, memory).worst < 1e-6


def test_weights_on_request_are_those_that_average_the_values():
    layer = nn.MultiHeadAttention(D, HEADS, dtype=float, rng=0)
    x = vectors()
    y, weights = layer(x, causal=True, need_weights=True)
    assert weights.shape == (B, HEADS, T, T)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-14)
    assert (weights[..., np.triu_indices(T, 1)[0], np.triu_indices(T, 1)[1]] == 0).all()
    v = plain_heads(layer, x)[2]
    heads = np.einsum("bhts,bshd->bthd", weights, v).reshape(B, T, D)
    np.testing.assert_allclose(affine(layer.out, heads), y, rtol=1e-12)


def test_rotary_scores_depend_on_the_distance_alone():
    layer = nn.MultiHeadAttention(D, 2, rotary=True, dtype=float, rng=0)
    x = vectors()
    assert nn.gradcheck(With(layer, causal=True), x).worst < 1e-6
    # the same vectors behind ten others that nobody may see
    longer = np.concatenate([vectors(10, 3), x], axis=1)
    seen = np.zeros((T + 10, T + 10), bool)
    seen[10:, 10:] = np.tril(np.ones((T, T), bool))
    np.testing.assert_allclose(layer(longer, mask=seen)[:, 10:], layer(x, causal=True), rtol=1e-11)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.MultiHeadAttention(10, 4), "multiple of n_heads"),
        (lambda: nn.MultiHeadAttention(8, 4, n_kv_heads=3), "multiple of n_kv_heads"),
        (lambda: nn.MultiHeadAttention(6, 2, rotary=True), "even head_dim"),
        (lambda: nn.MultiHeadAttention(8, 2)(np.zeros((2, 8), np.float32)), r"\(2, 8\)"),
        (
            lambda: nn.MultiHeadAttention(8, 2, d_memory=8)(np.zeros((1, 2, 8), np.float32)),
            "needs a memory",
        ),
        (lambda: nn.PositionalEncoding(8, 4)(np.zeros((1, 5, 8), np.float32)), "5 positions"),
        (lambda: nn.TransformerEncoder(0, 8, 2, 8), "n_layers"),
    ],
)
def test_errors_name_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_sinusoids_turn_by_a_fixed_angle_for_each_step():
    table = nn.PositionalEncoding(D, 60, dtype=float).table
    rate = 10000.0 ** (-np.arange(0, D, 2) / D)
    np.testing.assert_allclose(table[7, 0::2], np.sin(7 * rate), rtol=1e-13)
    sin, cos, step = table[:-3, 0::2], table[:-3, 1::2], 3 * rate
    np.testing.assert_allclose(table[3:, 0::2], np.cos(step) * sin + np.sin(step) * cos, atol=1e-13)
    np.testing.assert_allclose(table[3:, 1::2], np.cos(step) * cos - np.sin(step) * sin, atol=1e-13)


def test_sinusoids_are_made_as_positions_come(real):
    long, d = 1500, 6
    whole = nn.PositionalEncoding(d, long, dtype=real).table
    layer = nn.PositionalEncoding(d, long, dtype=real)
    assert whole.shape == (long, d) and whole.dtype == real
    for n in (3, 300, 299, 1023, long):
        np.testing.assert_array_equal(layer(np.zeros((1, n, d), real))[0], whole[:n])
    with pytest.raises(ValueError, match="max_len must be from 1 to"):
        nn.PositionalEncoding(d, 10**9)


@pytest.mark.parametrize("kind", ["sinusoidal", "learned"])
def test_positions_are_added(kind):
    layer = nn.PositionalEncoding(D, 12, kind=kind, dropout=0.25, dtype=float, rng=0)
    x = vectors()
    np.testing.assert_array_equal(layer(x), x + layer.table[:T])
    assert nn.gradcheck(layer, x).worst < 1e-6


def plain_norm(layer, h):
    if layer.kind == "rms":
        return h / np.sqrt((h**2).mean(-1, keepdims=True) + layer.eps) * layer.weight.data
    h = h - h.mean(-1, keepdims=True)
    return h / np.sqrt(h.var(-1, keepdims=True) + layer.eps) * layer.weight.data + layer.bias.data


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_blocks_are_residual_branches_with_norms(norm_first, norm):
    options = {"norm_first": norm_first, "norm": norm, "dtype": float, "rng": 0}
    block = randomized(nn.DecoderBlock(D, 2, 12, **options))
    x, memory = vectors(), vectors(S, 1)
    parts = [
        lambda y: block.attention(y, causal=True),
        lambda y: block.cross_attention(y, memory),
        lambda y: affine(block.feed_forward.down, np.maximum(affine(block.feed_forward.up, y), 0)),
    ]
    expected = x
    for part, layer in zip(parts, block.norms, strict=True):
        if norm_first:
            expected = expected + part(plain_norm(layer, expected))
        else:
            expected = plain_norm(layer, expected + part(expected))
    np.testing.assert_allclose(block(x, memory), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(block.forward(x, memory)[0], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("final_norm", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_gradients_of_stacks_with_dropout(norm_first, final_norm):
    options = {"dropout": 0.3, "attention_dropout": 0.2, "activation": "gelu", "dtype": float}
    options |= {"norm_first": norm_first, "final_norm": final_norm, "rng": 0}
    x, memory = vectors(3), vectors(2, 1)
    encoder = randomized(nn.TransformerEncoder(2, D, 2, 12, n_kv_heads=1, **options))
    assert nn.gradcheck(With(encoder, lengths=np.array([3, 2])), x, samples=12).worst < 1e-6
    decoder = randomized(nn.TransformerDecoder(2, D, 2, 12, **options))
    how = {"memory_lengths": np.array([2, 1])}
    assert nn.gradcheck(With(decoder, **how), x, memory, samples=12).worst < 1e-6


@pytest.mark.parametrize("run", [lambda layer: layer, lambda layer: layer.forward])
@pytest.mark.parametrize(
    ("make", "given", "takes"),
    [
        (lambda: nn.EncoderBlock(D, 2, 12, rng=0), 2, "x alone"),
        (lambda: nn.TransformerEncoder(2, D, 2, 12, rng=0), 2, "x alone"),
        (lambda: nn.DecoderBlock(D, 2, 12, rng=0), 1, "x and memory"),
        (lambda: nn.TransformerDecoder(2, D, 2, 12, rng=0), 3, "x and memory"),
    ],
)
def test_a_mask_by_position_is_no_memory(run, make, given, takes):
    arrays = [vectors().astype(np.float32)] * given
    with pytest.raises(TypeError, match=f"takes {takes} by position, not {given} arrays"):
        run(make())(*arrays)
