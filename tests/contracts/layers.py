"""Rows of the table: layers of rows, forward, inference and backward, and frozen."""

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
