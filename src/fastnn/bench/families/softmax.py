"""Softmax and log-softmax, forward and backward; shape = (rows, columns)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operations import Arrays, Call, Shape, jax_jit, normal, ours, rows, torch_out


def _softmax(x: np.ndarray) -> tuple[Any, ...]:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True),)


def _log_softmax(x: np.ndarray) -> tuple[Any, ...]:
    d = x - x.max(axis=1, keepdims=True)
    return (d - np.log(np.exp(d).sum(axis=1, keepdims=True)),)


def _backward_inputs(forward: Any) -> Any:
    def inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
        x, dy = rng.standard_normal((2, *shape))
        return {"dy": dy.astype(real), "y": forward(x)[0].astype(real)}

    return inputs


def _softmax_backward(dy: np.ndarray, y: np.ndarray) -> tuple[Any, ...]:
    return (y * (dy - (dy * y).sum(axis=1, keepdims=True)),)


def _log_softmax_backward(dy: np.ndarray, y: np.ndarray) -> tuple[Any, ...]:
    return (dy - np.exp(y) * dy.sum(axis=1, keepdims=True),)


OPERATIONS = {
    "softmax": rows((), _softmax, 5, 2, 20, inputs=normal("x")),
    "softmax_backward": rows((), _softmax_backward, 4, 3, 20, inputs=_backward_inputs(_softmax)),
    "log_softmax": rows((), _log_softmax, 4, 2, 20, inputs=normal("x")),
    "log_softmax_backward": rows(
        (), _log_softmax_backward, 4, 3, 40, inputs=_backward_inputs(_log_softmax)
    ),
}
SHAPES = [(64, 64), (1024, 1024), (4096, 1024)]
CASES = [
    ("quick", "softmax", SHAPES[:2]),
    ("default", "softmax", [(1024, 1024)], ("float64",)),
    *(("default", kernel, SHAPES[:2]) for kernel in OPERATIONS),
    *(("full", kernel, SHAPES) for kernel in OPERATIONS),
]


def _numpy(inputs: Arrays) -> Call:
    x, y = inputs["x"], np.empty_like(inputs["x"])

    def call() -> tuple[Any, ...]:
        np.subtract(x, x.max(axis=1, keepdims=True), out=y)
        np.exp(y, out=y)
        return (np.divide(y, y.sum(axis=1, keepdims=True), out=y),)

    return call


def _numpy_backward(inputs: Arrays) -> Call:
    dy, y = inputs["dy"], inputs["y"]
    dx = np.empty_like(dy)

    def call() -> tuple[Any, ...]:
        np.subtract(dy, np.einsum("ij,ij->i", dy, y)[:, None], out=dx)
        return (np.multiply(dx, y, out=dx),)

    return call


def _scipy(name: str) -> Any:
    def prepare(inputs: Arrays) -> Call:
        from scipy import special

        function, x = getattr(special, name), inputs["x"]
        return lambda: (function(x, axis=1),)

    return prepare


def _torch_backward(inputs: Arrays) -> Call:
    name, more = "ops.aten._softmax_backward_data.out", (1, _torch_type(inputs))
    return torch_out(name, "dy", "y", more=more, out="grad_input")(inputs)


def _torch_log_backward(inputs: Arrays) -> Call:
    name, more = "ops.aten._log_softmax_backward_data.out", (1, _torch_type(inputs))
    return torch_out(name, "dy", "y", more=more)(inputs)


def _torch_type(inputs: Arrays) -> Any:
    import torch

    return getattr(torch, inputs["y"].dtype.name)


def _thinc(inputs: Arrays) -> Call:
    from thinc.api import get_current_ops

    ops, x = get_current_ops(), inputs["x"]
    return lambda: (ops.softmax(x),)


PREPARE = {
    "fastnn": {
        "softmax": ours("softmax", "x"),
        "softmax_backward": ours("softmax_backward", "dy", "y"),
        "log_softmax": ours("log_softmax", "x"),
        "log_softmax_backward": ours("log_softmax_backward", "dy", "y"),
    },
    "numpy": {"softmax": _numpy, "softmax_backward": _numpy_backward},
    "scipy": {"softmax": _scipy("softmax"), "log_softmax": _scipy("log_softmax")},
    "torch": {
        "softmax": torch_out("softmax", "x", more=(1,)),
        "softmax_backward": _torch_backward,
        "log_softmax": torch_out("ops.aten._log_softmax.out", "x", more=(1, False)),
        "log_softmax_backward": _torch_log_backward,
    },
    "jax": {
        name: jax_jit(lambda jax, name=name: getattr(jax.nn, name), "x")
        for name in ("softmax", "log_softmax")
    },
    "thinc": {"softmax": _thinc},
}
