"""Rows of the table: layer norm, RMS norm, add & norm."""

from functools import partial

import numpy as np

from fastnn import kernels
from tests.oracle import rows as oracle
from tests.oracle.real import real

from . import pointers as c
from .case import Case
from .table import row

NO_DROPOUT = {"p": 0.0, "seed": 0, "step": 0}


def some(a, name):
    return real(a[name]) if name in a else None


def inputs(d):
    """x (..., n), with weight and bias or not, and eps."""
    shape = d.shape(1, 3, last=1)
    arrays = {"x": d.array(*shape)}
    for name in ("weight", "bias"):
        if d.chance(0.6):
            arrays[name] = d.array(shape[-1], like="plain")
    return arrays, d.one((1e-5, 1e-12, 0.1, 1e-6))


def drop_of(d):
    return {"p": d.p(), "seed": d.seed(), "step": d.one((0, 3))} if d.chance(0.6) else NO_DROPOUT


def forward_pointer(kind, eps, drop):
    """norm, and h where there is a residual."""

    def pointer(a):
        x, residual = a["x"], a.get("residual")
        rows, cols = c.flat(x)
        y, h = c.garbage(x), None if residual is None else c.garbage(x)
        p = drop["p"], drop["seed"], drop["step"]
        parts = x, cols, residual, cols, *p, a.get("weight"), a.get("bias"), eps
        given = *parts, h, cols, y, cols, None
        c.call("layer_norm", x.dtype, int(kind == "rms"), rows, cols, *given)
        return y if h is None else (y, h)

    return pointer


def norm(kind, d):
    arrays, eps = inputs(d)
    if kind == "rms":
        arrays.pop("bias", None)
    return Case(
        kernels.layer_norm if kind == "layer" else kernels.rms_norm,
        arrays,
        lambda a: oracle.norm(real(a["x"]), some(a, "weight"), some(a, "bias"), kind, eps)[0],
        {"eps": eps},
        outs={"out": 0},
        aliases=(("out", "x"),),
        pointers=(forward_pointer(kind, eps, NO_DROPOUT),),
    )


def stats_of(x, kind, eps):
    """What forward writes for backward."""
    stats = np.zeros((c.flat(x)[0], 3), x.dtype)
    with np.errstate(all="ignore"):
        function = kernels.layer_norm if kind == "layer" else kernels.rms_norm
        function(x, eps=eps, stats=stats)
    return stats


def backward_pointer(kind, name, drop):
    """dx of a norm, or (dx, dresidual) of add & norm, then the sums."""

    def pointer(a):
        h = a[name]
        rows, cols = c.flat(h)
        dh, dx = c.garbage(h), c.garbage(h) if drop["p"] else None
        p = drop["p"], drop["seed"], drop["step"]
        given = a["dy"], cols, h, cols, a["stats"], a.get("weight"), a.get("dh"), cols, *p
        outputs = dh, cols, dx, cols, a.get("dweight"), a.get("dbias")
        c.call("layer_norm_backward", h.dtype, int(kind == "rms"), rows, cols, *given, *outputs)
        first = (dh,) if name == "x" else (dh if dx is None else dx, dh)
        return (*first, *(a[k] for k in ("dweight", "dbias") if k in a))

    return pointer


def sums(d, kind, n):
    names = [k for k in ("dweight", "dbias")[: 1 + (kind == "layer")] if d.chance(0.7)]
    return {k: d.solid(n, like="plain") for k in names}


def added(a, gradients):
    """Gradients that are added to what dweight and dbias hold."""
    return [real(a[k]) + g for k, g in gradients.items() if k in a]


def norm_backward(kind, d):
    arrays, eps = inputs(d)
    arrays.pop("bias", None)
    x = arrays["x"]
    given = {"dy": d.array(*x.shape), **arrays, "stats": stats_of(x, kind, eps)}
    written = sums(d, kind, x.shape[-1])

    def expected(a):
        dx, dw, db = oracle.norm_backward(real(a["dy"]), real(a["x"]), some(a, "weight"), kind, eps)
        return dx, *added(a, {"dweight": dw, "dbias": db})

    return Case(
        kernels.layer_norm_backward if kind == "layer" else kernels.rms_norm_backward,
        {**given, **written},
        expected,
        written=tuple(written),
        outs={"out": 0},
        aliases=(("out", "dy"), ("out", "x")),
        pointers=(backward_pointer(kind, "x", NO_DROPOUT),),
    )


for _kind in ("layer", "rms"):
    row(f"{_kind}_norm")(partial(norm, _kind))
    row(f"{_kind}_norm_backward")(partial(norm_backward, _kind))


@row("add_norm")
def add_norm(d):
    arrays, eps = inputs(d)
    kind, drop = d.one(("layer", "rms")), drop_of(d)
    arrays["residual"] = d.array(*arrays["x"].shape)

    def call(h=None, **how):
        h = np.empty(how["x"].shape, how["x"].dtype) if h is None else h
        return kernels.add_norm(kind=kind, eps=eps, h=h, **drop, **how), h

    def expected(a):
        x, residual = real(a["x"]), real(a["residual"])
        return oracle.add_norm(x, residual, some(a, "weight"), some(a, "bias"), kind, eps, **drop)

    return Case(
        call,
        arrays,
        expected,
        outs={"out": 0, "h": 1},
        aliases=(("out", "x"), ("out", "residual"), ("h", "x"), ("h", "residual")),
        pointers=(forward_pointer(kind, eps, drop),),
    )


@row("add_norm_backward")
def add_norm_backward(d):
    arrays, eps = inputs(d)
    kind, drop = d.one(("layer", "rms")), drop_of(d)
    h = arrays["x"]
    given = {"dy": d.array(*h.shape), "h": h, "stats": stats_of(h, kind, eps)}
    given |= {"weight": arrays["weight"]} if "weight" in arrays else {}
    given |= {"dh": d.array(*h.shape)} if d.chance(0.5) else {}
    written = sums(d, kind, h.shape[-1])

    def expected(a):
        dx, dresidual, dw, db = oracle.add_norm_backward(
            real(a["dy"]), real(a["h"]), some(a, "weight"), some(a, "dh"), kind, eps, **drop
        )
        return dx, dresidual, *added(a, {"dweight": dw, "dbias": db})

    return Case(
        kernels.add_norm_backward,
        {**given, **written},
        expected,
        {"kind": kind, **drop},
        written=tuple(written),
        pointers=(backward_pointer(kind, "h", drop),),
    )
