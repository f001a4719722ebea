"""Rows of the table: activations, PReLU, dropout, softmax."""

from functools import partial

import numpy as np

from fastnn import kernels
from tests.oracle import elementwise as oracle
from tests.oracle import rows as by_rows
from tests.oracle.real import Real, real

from . import pointers as c
from .case import Case
from .table import row

CODES = {name: i + 1 for i, name in enumerate(kernels.ACTIVATIONS)}


def rowwise(name, *operands, code=()):
    """A pointer function of arrays with leading dimensions and one output."""

    def pointer(a):
        arrays = [a[k] for k in operands]
        rows, cols = c.flat(arrays[0])
        out = c.garbage(arrays[0])
        given = [part for x in (*arrays, out) for part in (x, cols)]
        c.call(name, out.dtype, *code, rows, cols, *given)
        return out

    return pointer


def activation(name, d):
    x = d.array(*d.shape())
    return Case(
        kernels.ACTIVATIONS[name][0],
        {"x": x},
        lambda a: oracle.activation(name, real(a["x"])),
        outs={"out": 0},
        aliases=(("out", "x"),),
        pointers=(rowwise("activation", "x", code=(CODES[name],)),),
    )


def activation_backward(name, d):
    shape = d.shape()
    saved = "y" if name in oracle.FROM_OUTPUT else "x"
    x = d.array(*shape)
    if saved == "y":
        with np.errstate(all="ignore"):
            x = d.laid_out(kernels.ACTIVATIONS[name][0](x))
    arrays = {"dy": d.array(*shape), saved: x}
    pointer = rowwise("activation_backward", "dy", saved, code=(CODES[name],))
    return Case(
        kernels.ACTIVATIONS[name][1],
        arrays,
        lambda a: oracle.activation_backward(name, real(a["dy"]), real(a[saved])),
        outs={"out": 0},
        aliases=(("out", "dy"), ("out", saved)),
        pointers=(pointer,),
    )


for _name in kernels.ACTIVATIONS:
    row(_name)(partial(activation, _name))
    row(f"{_name}_backward")(partial(activation_backward, _name))


@row("gelu", "gelu_backward")
def approximate(d):
    name = d.one(("gelu", "gelu_tanh"))
    case = d.one((activation, activation_backward))(name, d)
    case.call = kernels.gelu if len(case.arrays) == 1 else kernels.gelu_backward
    case.options = {"approximate": "tanh" if name == "gelu_tanh" else None}
    return case


def slope_of(d):
    return float(d.real.type(d.one((0.01, 0.0, 0.5, -0.25, 1.0, 3.0))))


@row("leaky_relu")
def leaky_relu(d):
    slope = slope_of(d)
    a = real(np.array(slope, d.real))
    return Case(
        kernels.leaky_relu,
        {"x": d.array(*d.shape())},
        lambda arrays: oracle.prelu(real(arrays["x"]), a),
        {"slope": slope},
        outs={"out": 0},
        aliases=(("out", "x"),),
    )


@row("leaky_relu_backward")
def leaky_relu_backward(d):
    slope, shape = slope_of(d), d.shape()
    a = real(np.array([slope], d.real))

    def expected(arrays):
        dy = real(arrays["dy"])
        if dy.ndim == 0:
            dy, y = dy.reshape(1), real(arrays["y"]).reshape(1)
            return oracle.prelu_backward(dy, y, a)[0].reshape(())
        return oracle.prelu_backward(dy, real(arrays["y"]), a)[0]

    return Case(
        kernels.leaky_relu_backward,
        {"dy": d.array(*shape), "y": d.array(*shape)},
        expected,
        {"slope": slope},
        outs={"out": 0},
        aliases=(("out", "dy"), ("out", "y")),
    )


@row("prelu")
def prelu(d):
    shape = d.shape(1)
    slopes = d.array(d.one((1, shape[-1])), like="plain")

    def pointer(a):
        rows, cols = c.flat(a["x"])
        y, shared = c.garbage(a["x"]), len(a["a"]) == 1
        c.call("prelu", y.dtype, shared, rows, cols, a["x"], cols, a["a"], y, cols)
        return y

    return Case(
        kernels.prelu,
        {"x": d.array(*shape), "a": slopes},
        lambda a: oracle.prelu(real(a["x"]), real(a["a"])),
        outs={"out": 0},
        aliases=(("out", "x"),),
        pointers=(pointer,),
    )


@row("prelu_backward")
def prelu_backward(d):
    shape = d.shape(1)
    n = d.one((1, shape[-1]))
    arrays = {"dy": d.array(*shape), "x": d.array(*shape), "a": d.array(n, like="plain")}
    arrays["da"] = d.solid(n, like="plain")

    def pointer(a):
        rows, cols = c.flat(a["x"])
        dx, shared = c.garbage(a["x"]), len(a["a"]) == 1
        given = a["dy"], cols, a["x"], cols, a["a"], dx, cols, a["da"]
        c.call("prelu_backward", dx.dtype, shared, rows, cols, *given)
        return dx, a["da"]

    def expected(a):
        dx, da = oracle.prelu_backward(*(real(a[k]) for k in ("dy", "x", "a")))
        return dx, real(a["da"]) + da

    return Case(
        kernels.prelu_backward,
        arrays,
        expected,
        written=("da",),
        outs={"out": 0},
        aliases=(("out", "dy"), ("out", "x")),
        pointers=(pointer,),
    )


def dropped(name, argument, d):
    shape, p, seed = d.shape(), d.p(), d.seed()
    step = d.one((0, 1, 2**32, 2**64 - 1))

    def pointer(a):
        x = a[argument]
        rows, cols = c.flat(x)
        y = c.garbage(x)
        c.call("dropout", y.dtype, rows, cols, x, cols, None, 0, p, seed, step, y, cols)
        return y

    return Case(
        getattr(kernels, name),
        {argument: d.array(*shape)},
        lambda a: oracle.dropout(real(a[argument]), p, seed, step),
        {"p": p, "seed": seed, "step": step},
        outs={"out": 0},
        aliases=(("out", argument),),
        pointers=(pointer,),
    )


row("dropout")(partial(dropped, "dropout", "x"))
row("dropout_backward")(partial(dropped, "dropout_backward", "dy"))


@row("philox")
def philox(d):
    n = int(d.rng.integers(0, 70))
    how = {"seed": d.seed(), "step": d.one((0, 2**40, 2**64 - 1)), "block": d.one((0, 7, 2**33))}
    kind = real(np.zeros((), np.float64)).kind
    return Case(
        lambda: kernels.philox(n, **how).astype(np.float64),
        {},
        lambda a: Real(kind, oracle.philox(n, **how)),
    )


def some_lengths(d, shape):
    """Lengths along some of the leading axes, or None."""
    if len(shape) < 2 or d.chance(0.5):
        return {}
    axes = int(d.rng.integers(1, len(shape)))
    return {"lengths": d.rng.integers(0, shape[-1] + 1, shape[:axes])}


def with_lengths(pointer, masked):
    """The pointer function for a call with or without lengths."""

    def chosen(a):
        return masked(a) if "lengths" in a else pointer(a)

    return chosen


def masked(name, *operands):
    def pointer(a):
        arrays = [a[k] for k in operands]
        rows, cols = c.flat(arrays[0])
        lengths, out = a["lengths"].astype(np.int64), c.garbage(arrays[0])
        per = max(1, rows // max(1, lengths.size))
        given = [part for x in arrays for part in (x, cols)]
        c.call(name, out.dtype, rows, cols, *given, lengths, per, out, cols)
        return out

    return pointer


@row("softmax")
def softmax(d):
    shape = d.shape()
    return Case(
        kernels.softmax,
        {"x": d.array(*shape), **some_lengths(d, shape)},
        lambda a: by_rows.softmax(real(a["x"]), a.get("lengths")),
        outs={"out": 0},
        aliases=(("out", "x"),),
        pointers=(with_lengths(rowwise("softmax", "x"), masked("masked_softmax", "x")),),
    )


@row("softmax_backward")
def softmax_backward(d):
    shape = d.shape()
    more = some_lengths(d, shape)
    with np.errstate(all="ignore"):
        y = d.laid_out(kernels.softmax(d.array(*shape), **more))
    names = ("dy", "y")
    pointer = rowwise("softmax_backward", *names)
    return Case(
        kernels.softmax_backward,
        {"dy": d.array(*shape), "y": y, **more},
        lambda a: by_rows.softmax_backward(real(a["dy"]), real(a["y"]), a.get("lengths")),
        outs={"out": 0},
        aliases=(("out", "dy"), ("out", "y")),
        pointers=(with_lengths(pointer, masked("masked_softmax_backward", *names)),),
    )


@row("log_softmax")
def log_softmax(d):
    return Case(
        kernels.log_softmax,
        {"x": d.array(*d.shape())},
        lambda a: by_rows.log_softmax(real(a["x"])),
        outs={"out": 0},
        aliases=(("out", "x"),),
        pointers=(rowwise("log_softmax", "x"),),
    )


@row("log_softmax_backward")
def log_softmax_backward(d):
    shape = d.shape()
    with np.errstate(all="ignore"):
        y = d.laid_out(kernels.log_softmax(d.array(*shape)))
    return Case(
        kernels.log_softmax_backward,
        {"dy": d.array(*shape), "y": y},
        lambda a: by_rows.log_softmax_backward(real(a["dy"]), real(a["y"])),
        outs={"out": 0},
        aliases=(("out", "dy"), ("out", "y")),
        pointers=(rowwise("log_softmax_backward", "dy", "y"),),
    )
