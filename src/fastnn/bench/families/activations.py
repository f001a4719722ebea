"""Activations, forward and backward, with ``out=``; GELU also with both in one case."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..operations import (
    Arrays,
    Call,
    Operation,
    Prepare,
    jax_jit,
    numpy_out,
    ours,
    rows,
    tensors,
    torch_out,
)

SLOPE = 0.01


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _cdf(x: np.ndarray) -> np.ndarray:
    """Return the cumulative normal distribution."""
    tails = np.fromiter(map(math.erfc, (x.ravel() / -math.sqrt(2)).tolist()), float, x.size)
    return tails.reshape(x.shape) / 2


def _gelu_slope(x: np.ndarray) -> np.ndarray:
    return _cdf(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _tanh_form(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tanh form of GELU and its derivative."""
    a = 2 * math.sqrt(2 / math.pi)
    s = _sigmoid(a * (x + 0.044715 * x**3))
    return x * s, s + x * s * (1 - s) * a * (1 + 3 * 0.044715 * x * x)


# name -> (y of x, dy/dx of the array that backward reads, which array that is)
FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda y: y > 0, "y"),
    "leaky_relu": (
        lambda x: np.where(x > 0, x, SLOPE * x),
        lambda y: np.where(y > 0, 1, SLOPE),
        "y",
    ),
    "sigmoid": (_sigmoid, lambda y: y * (1 - y), "y"),
    "tanh": (np.tanh, lambda y: 1 - y * y, "y"),
    "silu": (
        lambda x: x * _sigmoid(x),
        lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
        "x",
    ),
    "softplus": (lambda x: np.logaddexp(0, x), _sigmoid, "x"),
    "gelu": (lambda x: x * _cdf(x), _gelu_slope, "x"),
    "gelu_tanh": (lambda x: _tanh_form(x)[0], lambda x: _tanh_form(x)[1], "x"),
}


def _operations() -> dict[str, Operation]:
    operations = {}
    for name, (forward, slope, saved) in FUNCTIONS.items():

        def run(x: np.ndarray, forward: Any = forward) -> tuple[Any, ...]:
            return (forward(x),)

        def back(dy: np.ndarray, slope: Any = slope, **saved: np.ndarray) -> tuple[Any, ...]:
            return (dy * slope(*saved.values()),)

        operations[name] = rows(("x",), run, 1, 2, 20)
        operations[f"{name}_backward"] = rows(("dy", saved), back, 1, 3, 40)
    for name in ("gelu", "gelu_tanh"):
        forward, slope, _ = FUNCTIONS[name]

        def both(
            x: np.ndarray, dy: np.ndarray, forward: Any = forward, slope: Any = slope
        ) -> tuple[Any, ...]:
            return forward(x), dy * slope(x)

        operations[f"{name}_both"] = rows(("x", "dy"), both, 2, 5, 40)
    operations["call_relu"] = rows(("x",), lambda x: (np.maximum(x, 0),), 1, 2, 0, limit=None)
    return operations


OPERATIONS = _operations()
SHAPES = [(64, 64), (1024, 1024), (4096, 1024)]
CASES = [
    ("quick", "relu", [(1024, 1024)]),
    ("quick", "gelu", [(64, 64), (1024, 1024)]),
    ("quick", "call_relu", [(8, 8)]),
    ("default", "relu", [(64, 64)]),
    ("default", "relu", [(1024, 1024)], ("float64",)),
    *(("default", name, SHAPES[1:2]) for name in OPERATIONS if name != "call_relu"),
    *(("full", name, SHAPES) for name in OPERATIONS if name != "call_relu"),
]


def _split(kernel: str) -> tuple[str, str]:
    """Return the name of the function, and "", "_backward" or "_both"."""
    for way in ("_backward", "_both"):
        if kernel.endswith(way):
            return kernel.removesuffix(way), way
    return kernel, ""


def _pair(first: Prepare, second: Prepare) -> Prepare:
    """Prepare two calls as one."""

    def prepare(inputs: Arrays) -> Call:
        calls = first(inputs), second(inputs)
        return lambda: (calls[0]()[0], calls[1]()[0])

    return prepare


def _fastnn(kernel: str) -> Prepare:
    name, way = _split(kernel)
    form = name.removesuffix("_tanh")
    options = {"approximate": "tanh"} if name == "gelu_tanh" else {}
    if way == "_both":
        return _pair(_fastnn(name), _fastnn(f"{name}_backward"))
    if not way:
        return ours(form, "x", **options)
    backward = ours(f"{form}_backward", "dy", "saved", **options)

    def prepare(inputs: Arrays) -> Call:
        saved = inputs[FUNCTIONS[name][2]]
        if name == "softplus":
            from fastnn import kernels

            saved = kernels.softplus(saved)  # backward reads the output, in PyTorch the input
        return backward({"dy": inputs["dy"], "saved": saved})

    return prepare


def _torch(kernel: str) -> Prepare:
    name, way = _split(kernel)
    if kernel == "relu":  # what torch.relu does; that has no out=
        return torch_out("clamp_min", "x", more=(0,))
    if way == "_both":
        return _pair(_torch(name), _torch(f"{name}_backward"))
    form = {"relu": "threshold"}.get(name, name.removesuffix("_tanh"))
    more: tuple[Any, ...] = {"relu": (0,), "leaky_relu": (SLOPE,), "softplus": (1, 20)}.get(
        name, ()
    )
    options = {"approximate": "tanh"} if name == "gelu_tanh" else {}
    if not way:
        return torch_out(f"ops.aten.{form}.out", "x", more=more, **options)
    more += (False,) if name == "leaky_relu" else ()
    path = f"ops.aten.{form}_backward.grad_input"
    arrays = "dy", FUNCTIONS[name][2]
    return torch_out(path, *arrays, more=more, out="grad_input", **options)


def _numpy_relu_backward(inputs: Arrays) -> Call:
    dy, y = inputs["dy"], inputs["y"]
    dx, positive = np.empty_like(dy), np.empty(y.shape, bool)

    def call() -> tuple[Any, ...]:
        np.greater(y, 0, out=positive)
        return (np.multiply(dy, positive, out=dx),)

    return call


def _scipy_sigmoid(inputs: Arrays) -> Call:
    from scipy import special

    return numpy_out(special.expit, "x")(inputs)


def _torch_relu_call(inputs: Arrays) -> Call:
    import torch

    (x,) = tensors(inputs, "x")
    return lambda: (torch.relu(x),)


def _thinc(name: str) -> Prepare:
    """Prepare one of thinc's operations in C, which have no ``out=``."""

    def prepare(inputs: Arrays) -> Call:
        from thinc.api import get_current_ops

        function, x = getattr(get_current_ops(), name), inputs["x"]
        return lambda: (function(x),)

    return prepare


_KERNELS = [name for name in OPERATIONS if name != "call_relu"]
PREPARE = {
    "fastnn": {
        **{kernel: _fastnn(kernel) for kernel in _KERNELS},
        "call_relu": ours("relu", "x", out=""),
    },
    "torch": {**{kernel: _torch(kernel) for kernel in _KERNELS}, "call_relu": _torch_relu_call},
    "numpy": {
        "relu": numpy_out(lambda x, out: np.maximum(x, 0, out=out), "x"),
        "relu_backward": _numpy_relu_backward,
        "tanh": numpy_out(np.tanh, "x"),
        "softplus": numpy_out(lambda x, out: np.logaddexp(x.dtype.type(0), x, out=out), "x"),
        "call_relu": lambda inputs: lambda: (np.maximum(inputs["x"], 0),),
    },
    "scipy": {"sigmoid": _scipy_sigmoid},
    "jax": {
        **{
            name: jax_jit(lambda jax, name=name: getattr(jax.nn, name), "x")
            for name in ("relu", "sigmoid", "silu", "softplus", "tanh")
        },
        "gelu": jax_jit(lambda jax: lambda x: jax.nn.gelu(x, approximate=False), "x"),
        "gelu_tanh": jax_jit(lambda jax: jax.nn.gelu, "x"),
    },
    "thinc": {"relu": _thinc("relu"), "gelu": _thinc("gelu")},
}
