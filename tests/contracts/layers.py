"""Rows of the table: every layer of `fastnn.nn`, forward, inference and backward, and frozen."""

from functools import partial

import numpy as np

from fastnn import kernels, nn
from tests.oracle import elementwise
from tests.oracle import layers as oracle
from tests.oracle.real import real

from .case import Case
from .table import row

ACTIVATIONS = (None, *kernels.ACTIVATIONS)


def given(d, layer):
    """Draw all parameters, which are constant at first in many layers; weights keep variances."""
    for p in layer.parameters():
        fan_in = p.data.shape[0] if p.data.ndim > 1 else 1
        p.data[...] = d.values(p.data.shape, "plain") / np.sqrt(fan_in)
    return layer


def vectors(d, size, rank=3):
    """Inputs (..., size), not empty in positions."""
    lead = d.dims(rank - 1, share=0.2 / size)
    if rank == 3:
        lead = [min(lead[0], 4), max(1, min(lead[1], 33))]
    return d.array(*lead, size, like="plain" if d.profile in ("special", "large") else None)


def case(d, layer, make, inputs, frozen=False, before=None, **how):
    """The case of one layer; `make(parameters)` returns the oracle's layer.

    The results are y, the gradients of the inputs and those of the parameters, and then y of
    inference unless `before`, which sets the random state, has something to set.
    """
    names = list(layer.state())
    arrays = {f"x{i}": x for i, x in enumerate(inputs)}
    xs = list(arrays)
    with np.errstate(all="ignore"):
        if before:
            before()
        y, _ = layer.forward(*inputs, **how)
    several = isinstance(y, tuple)
    for i, one in enumerate(y if several else (y,)):
        arrays[f"dy{i}"] = d.array(*one.shape, like="plain")
    dys = [k for k in arrays if k.startswith("dy")]

    def call(**a):
        if before:
            before()
        if names:
            layer.parameters().zero_grad()
        values = [a[k] for k in xs]
        y, ctx = layer.forward(*values, **how)
        dx = layer.backward(tuple(a[k] for k in dys) if several else a[dys[0]], ctx)
        gradients = [p.grad.copy() for p in layer.parameters()] if names else []
        inference = () if before else layer(*values, **how)
        more = layer.freeze()(values[0]) if frozen else ()
        return y, dx, gradients, inference, more

    def expected(a):
        p = oracle.Parameters(layer.state())
        values = [real(a[k]) if a[k].dtype.kind == "f" else a[k] for k in xs]
        y, back = make(p)(*values)
        y = y if isinstance(y, tuple) else (y,)
        dy = [real(a[k]) for k in dys]
        dx = back(*dy)
        dx = [] if dx is None else dx if isinstance(dx, tuple) else (dx,)
        again = () if before else y
        return [*y, *dx, *(p.grads[k] for k in names), *again, *(y if frozen else ())]

    return Case(call, arrays, expected)


def act_of(d):
    return d.one(ACTIVATIONS)


@row("Linear")
def linear(d):
    n, m = (max(1, k) for k in d.dims(2))
    act = act_of(d)
    layer = given(d, nn.Linear(n, m, d.chance(0.7), act, dtype=d.real))
    x = vectors(d, n, d.one((2, 3)))
    return case(d, layer, lambda p: oracle.linear(p, act), [x], frozen=x.ndim == 2 and x.size > 0)


LAYERS = {"ReLU": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "SiLU": "silu"}
LAYERS |= {"GELU": "gelu", "Softplus": "softplus"}


def function(name, d):
    layer, act = getattr(nn, name)(), LAYERS[name]
    if act == "gelu" and d.chance(0.5):
        layer, act = nn.GELU(approximate="tanh"), "gelu_tanh"
    return case(d, layer, lambda p: oracle.activation(act), [d.array(*d.shape())])


for _name in LAYERS:
    row(_name)(partial(function, _name))


@row("LeakyReLU")
def leaky_relu(d):
    slope = float(d.real.type(d.one((0.01, 0.5, -0.25))))
    x = d.array(*d.shape(1))
    return case(d, nn.LeakyReLU(slope), lambda p: oracle.leaky_relu(slope), [x])


@row("PReLU")
def prelu(d):
    x = d.array(*d.shape(1, last=1))
    layer = nn.PReLU(d.one((1, x.shape[-1])), dtype=d.real)
    return case(d, given(d, layer), oracle.prelu, [x])


@row("Softmax")
def softmax(d):
    return case(d, nn.Softmax(), lambda p: oracle.softmax, [d.array(*d.shape())])


@row("LogSoftmax")
def log_softmax(d):
    return case(d, nn.LogSoftmax(), lambda p: oracle.log_softmax, [d.array(*d.shape())])


@row("Dropout", "RandomStream")
def dropout(d):
    layer, seed, step = nn.Dropout(d.p()), d.seed(), int(d.rng.integers(9))
    made = case(
        d,
        layer,
        lambda p: oracle.dropout(layer.p, seed, step),
        [d.array(*d.shape())],
        before=lambda: layer.stream.set(seed, step),
    )
    return made


@row("LayerNorm")
def layer_norm(d):
    n, eps = max(1, d.dims(1)[0]), d.one((1e-5, 1e-12))
    layer = nn.LayerNorm(n, eps, d.chance(0.7), d.chance(0.7), dtype=d.real)
    make = partial(oracle.norm, kind="layer", eps=eps)
    return case(d, given(d, layer), make, [vectors(d, n, d.one((1, 2, 3)))])


@row("RMSNorm")
def rms_norm(d):
    n, eps = max(1, d.dims(1)[0]), d.one((1e-6, 1e-12))
    layer = nn.RMSNorm(n, eps, d.chance(0.7), dtype=d.real)
    make = partial(oracle.norm, kind="rms", eps=eps)
    return case(d, given(d, layer), make, [vectors(d, n, d.one((1, 2, 3)))])


@row("AddNorm")
def add_norm(d):
    n, kind, p, seed = max(1, d.dims(1)[0]), d.one(("layer", "rms")), d.p(), d.seed()
    x = vectors(d, n)
    layer = nn.AddNorm(n, p, kind=kind, with_sum=d.chance(0.4), dtype=d.real)

    def make(parameters):
        normed = oracle.norm(parameters, kind, 1e-5)

        def forward(x, residual):
            h = elementwise.dropout(x, p, seed, 3) + residual
            y, back = normed(h)

            def backward(dy, dh=None):
                dh = back(dy) if dh is None else back(dy) + dh
                return elementwise.dropout(dh, p, seed, 3), dh

            return (y, h) if layer.with_sum else y, backward

        return forward

    inputs = [x, d.array(*x.shape, like="plain")]
    before = partial(layer.stream.set, seed, 3)
    return case(d, given(d, layer), make, inputs, before=before)


@row("Embedding")
def embedding(d):
    rows, size = (max(1, n) for n in d.dims(2, share=0.3))
    padding = int(d.rng.integers(rows)) if d.chance(0.4) else None
    scale = d.one((None, 2.0))
    layer = given(d, nn.Embedding(rows, size, scale=scale, padding_idx=padding, dtype=d.real))
    ids = d.rng.integers(0, rows, (3, int(d.rng.integers(0, 9))))
    make = partial(oracle.embedding, scale=scale or 1, padding_idx=padding)
    return case(d, layer, make, [ids])


@row("PositionalEncoding")
def positional_encoding(d):
    n, kind, p, seed = max(1, d.dims(1)[0]), d.one(("sinusoidal", "learned")), d.p(), d.seed()
    x = vectors(d, n)
    layer = nn.PositionalEncoding(n, x.shape[1] + 3, kind=kind, dropout=p, dtype=d.real)

    def make(parameters):
        return oracle.chain(oracle.positional_encoding(parameters), oracle.dropout(p, seed, 3))

    before = partial(layer.stream.set, seed, 3)
    return case(d, given(d, layer), make, [x], before=before)


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
