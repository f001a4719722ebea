"""Rows of the table: attention, blocks and containers, forward, inference and backward."""

from functools import partial

import numpy as np

from fastnn import nn
from tests.oracle import elementwise
from tests.oracle import layers as oracle
from tests.oracle.real import real

from .case import Case
from .layers import LAYERS, act_of, case, given, vectors
from .table import row


def masks(d, batch, n, m):
    """Lengths or a mask of attention of n positions to m."""
    how = {}
    if d.chance(0.4):
        how["lengths"] = d.rng.integers(0, m + 1, (batch,) if d.chance(0.5) else (batch, n))
    if d.chance(0.3):
        how["mask"] = d.rng.random((n, m)) < 0.8
    return how


def head_sizes(d):
    n_kv_heads = d.one((1, 2))
    n_heads = n_kv_heads * d.one((1, 2))
    return n_heads * d.one((2, 4, 6, 16)), n_heads, n_kv_heads


@row("MultiHeadAttention")
def attention(d):
    size, n_heads, n_kv_heads = head_sizes(d)
    x, memory = vectors(d, size), d.chance(0.3)
    inputs, kept = [x], None
    m = x.shape[1]
    if memory:
        m = d.one((1, 3, 17))
        inputs.append(d.array(len(x), m, size + 1, like="plain"))
    rotary = not memory and d.chance(0.4)
    p, seed = d.one((0.0, 0.0, 0.5)), d.seed()
    how = {"causal": d.chance(0.4), **masks(d, len(x), x.shape[1], m)}
    layer = nn.MultiHeadAttention(
        size,
        n_heads,
        n_kv_heads=n_kv_heads,
        d_memory=size + 1 if memory else None,
        bias=d.chance(0.7),
        dropout=p,
        rotary=rotary,
        dtype=d.real,
    )
    if p:
        kept = elementwise.kept((len(x), n_heads, x.shape[1], m), p, seed, 2) / (1 - p)
    before = partial(layer.stream.set, seed, 2) if p else None

    def make(parameters):
        return oracle.attention(parameters, n_heads, n_kv_heads, rotary, kept=kept, **how)

    return case(d, given(d, layer), make, inputs, before=before, **how)


def lookup(d, size, d_key):
    """Queries, keys, values and perhaps the number of keys that count."""
    queries, m = vectors(d, size), d.one((1, 3, 17))
    batch, n = queries.shape[:2]
    others = [d.array(batch, m, width, like="plain") for width in (d_key, d.one((1, 4, 9)))]
    lengths = None
    if d.chance(0.5):
        lengths = d.rng.integers(0, m + 1, (batch,) if d.chance(0.5) else (batch, n))
    return [queries, *others], lengths


@row("DotProductAttention")
def dot_product_attention(d):
    size = d.one((1, 2, 8, 17))
    inputs, lengths = lookup(d, size, size)
    p, seed, kept = d.one((0.0, 0.0, 0.5)), d.seed(), None
    layer = nn.DotProductAttention(p)
    if p:
        shape = (len(inputs[0]), 1, inputs[0].shape[1], inputs[1].shape[1])
        kept = elementwise.kept(shape, p, seed, 2) / (1 - p)
    before = partial(layer.stream.set, seed, 2) if p else None

    def make(parameters):
        return oracle.dot_product_attention(lengths, kept)

    return case(d, layer, make, inputs, before=before, lengths=lengths)


@row("AdditiveAttention")
def additive_attention(d):
    size, d_key = d.one((1, 4, 9)), d.one((1, 5, 8))
    inputs, lengths = lookup(d, size, d_key)
    layer = nn.AdditiveAttention(size, d_key, d.one((1, 6, 33)), dtype=d.real)

    def make(parameters):
        return oracle.additive_attention(parameters, lengths)

    return case(d, given(d, layer), make, inputs, lengths=lengths)


@row("FeedForward")
def feed_forward(d):
    size, hidden, act = d.one((1, 4, 17, 64)), d.one((1, 5, 33)), act_of(d)
    layer = nn.FeedForward(size, hidden, act, bias=d.chance(0.7), dtype=d.real)
    x = vectors(d, size)
    return case(d, given(d, layer), partial(oracle.feed_forward, act=act), [x])


def blocks(d, decoder, n_layers=None):
    """A block, or a stack of some; with dropout of 0."""
    if d.chance(0.6):  # most bounds of whole stacks are wide in float32
        d.real = np.dtype(np.float64)
    size, n_heads, n_kv_heads = head_sizes(d)
    x = vectors(d, size)
    options = {"activation": d.one(("relu", "gelu", "silu")), "norm": d.one(("layer", "rms"))}
    options |= {"norm_first": d.chance(0.5), "rotary": d.chance(0.3), "bias": d.chance(0.7)}
    options |= {"causal": d.chance(0.5), "n_kv_heads": n_kv_heads, "dtype": d.real}
    sizes = (size, n_heads, d.one((3, 16)))
    how, inputs, memory_lengths = masks(d, len(x), x.shape[1], x.shape[1]), [x], None
    if decoder:
        m = d.one((1, 3, 17))
        inputs.append(d.array(len(x), m, size, like="plain"))
        if d.chance(0.4):
            memory_lengths = d.rng.integers(0, m + 1, len(x))
    names = ("TransformerEncoder", "TransformerDecoder"), ("EncoderBlock", "DecoderBlock")
    name = names[n_layers is None][decoder]
    layer = getattr(nn, name)(*((n_layers,) if n_layers else ()), *sizes, **options)

    def make(p):
        def forward(x, memory=None):
            seen = {"memory": memory, "lengths": memory_lengths} if decoder else None
            same = (options["activation"], options["norm"], 1e-5, options["norm_first"])
            same = (n_heads, n_kv_heads, *same, options["rotary"], options["causal"], how, seen)
            if n_layers is None:
                y, back = oracle.block(p, *same)(x)
            else:
                parts = [oracle.block(p.child(str(i)), *same) for i in range(n_layers)]
                if options["norm_first"]:
                    parts.append(oracle.norm(p.child("norm"), options["norm"], 1e-5))
                y, back = oracle.chain(*parts)(x)

            def backward(dy):
                dx = back(dy)
                return (dx, seen["gradient"]) if decoder else dx

            return y, backward

        return forward

    more = {"memory_lengths": memory_lengths} if decoder else {}
    return case(d, given(d, layer), make, inputs, **how, **more)


row("EncoderBlock")(partial(blocks, decoder=False))
row("DecoderBlock")(partial(blocks, decoder=True))
row("TransformerEncoder")(lambda d: blocks(d, False, d.one((1, 2))))
row("TransformerDecoder")(lambda d: blocks(d, True, d.one((1, 2))))


@row("MLP", "Program", "Plan", "freeze", "Builder")
def mlp(d):
    sizes = [max(1, n) for n in d.dims(d.one((2, 3, 4)))]
    act = act_of(d)
    layer = given(d, nn.MLP(sizes, act, dtype=d.real))
    n = len(sizes) - 1
    x = vectors(d, sizes[0], 2)

    def make(p):
        acts = [act] * (n - 1) + [None]
        return oracle.chain(*(oracle.linear(p.child(str(i)), a) for i, a in enumerate(acts)))

    return case(d, layer, make, [x], frozen=True)


@row("Sequential", "Residual", "Plan")
def sequential(d):
    size = max(1, min(d.dims(1)[0], 64))
    act = d.one(tuple(LAYERS))
    first = nn.Linear(size, size, dtype=d.real)
    layer = nn.Sequential(nn.Residual(first), getattr(nn, act)(), nn.LayerNorm(size, dtype=d.real))

    def make(p):
        inner = oracle.linear(p.child("0.layer"))

        def residual(x):
            y, back = inner(x)
            return x + y, lambda dy: dy + back(dy)

        normed = oracle.norm(p.child("2"), "layer", 1e-5)
        return oracle.chain(residual, oracle.activation(LAYERS[act]), normed)

    x = vectors(d, size, 2)
    return case(d, given(d, layer), make, [x])


@row("collapse")
def collapse(d):
    a, b, n = (max(1, k) for k in d.dims(3))
    act = act_of(d)
    first = given(d, nn.Linear(a, b, d.chance(0.5), dtype=d.real))
    second = given(d, nn.Linear(b, n, d.chance(0.5), act, dtype=d.real))

    def expected(arrays):
        parts = oracle.Parameters(first.state()), oracle.Parameters(second.state())
        w = parts[0]["weight"] @ parts[1]["weight"]
        z = real(arrays["x"]) @ w
        if "bias" in parts[0]:
            z = z + (parts[0]["bias"].reshape(1, b) @ parts[1]["weight"])[0]
        z = z + parts[1]["bias"] if "bias" in parts[1] else z
        return elementwise.activation(act, z)

    return Case(lambda x: nn.collapse(first, second)(x), {"x": vectors(d, a, 2)}, expected)
