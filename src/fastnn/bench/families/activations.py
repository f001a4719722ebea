"""Activations, forward and backward, with ``out=``; GELU also with both in one case."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..operations import Call, Operation, jit, normal, plain

SLOPE = 0.01
Function = Callable[[np.ndarray], Any]


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


# name -> y of x, dy/dx of what backward reads: y for the first four, x for the others
FUNCTIONS: dict[str, tuple[Function, Function]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda y: y > 0),
    "leaky_relu": (lambda x: np.where(x > 0, x, SLOPE * x), lambda y: np.where(y > 0, 1, SLOPE)),
    "sigmoid": (_sigmoid, lambda y: y * (1 - y)),
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "silu": (lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x)))),
    "softplus": (lambda x: np.logaddexp(0, x), _sigmoid),
    "gelu": (lambda x: x * _cdf(x), _gelu_slope),
    "gelu_tanh": (lambda x: _tanh_form(x)[0], lambda x: _tanh_form(x)[1]),
}
BOTH = ("gelu", "gelu_tanh")


def _forward(f: Function, df: Function, x: np.ndarray) -> tuple[Any, ...]:
    return (f(x),)


def _backward(f: Function, df: Function, dy: np.ndarray, saved: np.ndarray) -> tuple[Any, ...]:
    return (dy * df(saved),)


def _both(f: Function, df: Function, x: np.ndarray, dy: np.ndarray) -> tuple[Any, ...]:
    return f(x), dy * df(x)


OPERATIONS: dict[str, Operation] = {}
for _name, _pair in FUNCTIONS.items():
    OPERATIONS |= {
        _name: Operation(normal("x"), partial(_forward, *_pair), 1, 2, 20),
        f"{_name}_backward": Operation(normal("dy", "saved"), partial(_backward, *_pair), 1, 3, 40),
    }
for _name in BOTH:
    _of_both = partial(_both, *FUNCTIONS[_name])
    OPERATIONS[f"{_name}_both"] = Operation(normal("x", "dy"), _of_both, 2, 5, 40)
KERNELS = list(OPERATIONS)
OPERATIONS["call_relu"] = replace(OPERATIONS["relu"], tolerance=0, limit=None)
SHAPES = [(64, 64), (1024, 1024), (4096, 1024)]
CASES = [
    ("quick", "relu", [(1024, 1024)]),
    ("quick", "gelu", [(64, 64), (1024, 1024)]),
    ("quick", "call_relu", [(8, 8)]),
    ("default", "relu", [(64, 64)]),
    ("default", "relu", [(1024, 1024)], ("float64",)),
    *(("default", name, SHAPES[1:2]) for name in KERNELS),
    *(("full", name, SHAPES) for name in KERNELS),
]

# PyTorch's operators: names that differ, and arguments after the arrays, forward and backward.
ATEN = {"relu": "threshold", "gelu_tanh": "gelu"}
MORE: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "relu": ((0, 0), (0,)),
    "leaky_relu": ((SLOPE,), (SLOPE, False)),
    "softplus": ((1, 20), (1, 20)),
}


def _passes(forward: Any, backward: Any) -> Any:
    """Return the maker of two calls as one."""

    def make(library: Any, x: Any, dy: Any, out: Any, out_dx: Any) -> Call:
        calls = forward(library, x, out), backward(library, dy, x, out_dx)
        return lambda: (calls[0]()[0], calls[1]()[0])

    return make


def _rows(library: str) -> dict[str, Any]:
    """Return fastnn's or PyTorch's makers of every function, forward, backward and both."""
    found: dict[str, Any] = {"call_relu": plain("relu", "x", out="")}
    for name in FUNCTIONS:
        options = {"approximate": "tanh"} if name == "gelu_tanh" else {}
        if library == "fastnn":
            form = name.removesuffix("_tanh")
            forward = plain(form, "x", **options)
            backward = plain(f"{form}_backward", "dy saved", **options)
        else:
            (more, more_back), form = MORE.get(name, ((), ())), ATEN.get(name, name)
            forward = plain(f"ops.aten.{form}.out", "x", *more, **options)
            back = f"ops.aten.{form}_backward.grad_input"
            backward = plain(back, "dy saved", *more_back, out="grad_input", **options)
        found |= {name: forward, f"{name}_backward": backward}
        if name in BOTH:
            found[f"{name}_both"] = _passes(forward, backward)
    return found


def _softplus_backward(kernels: Any, dy: Any, saved: Any, out: Any) -> Call:
    y = kernels.softplus(saved)  # backward reads the output, in PyTorch the input
    return lambda: (kernels.softplus_backward(dy, y, out=out),)


def _numpy_relu_backward(np: Any, dy: Any, saved: Any, out: Any) -> Call:
    positive = np.empty(saved.shape, bool)

    def call() -> tuple[Any, ...]:
        np.greater(saved, 0, out=positive)
        return (np.multiply(dy, positive, out=out),)

    return call


def _numpy_softplus(np: Any, x: Any, out: Any) -> Call:
    zero = x.dtype.type(0)
    return lambda: (np.logaddexp(zero, x, out=out),)


PREPARE: dict[str, dict[str, Any]] = {
    "fastnn": {**_rows("fastnn"), "softplus_backward": _softplus_backward},
    # torch.relu has no out=; clamp_min does the same
    "torch": {**_rows("torch"), "relu": plain("clamp_min", "x", 0)},
    "numpy": {
        "relu": plain("maximum", "x", 0),
        "relu_backward": _numpy_relu_backward,
        "tanh": plain("tanh", "x"),
        "softplus": _numpy_softplus,
        "call_relu": plain("maximum", "x", 0, out=""),
    },
    "scipy": {"sigmoid": plain("special.expit", "x")},
    "jax": {
        **{name: jit(f"nn.{name}", "x") for name in ("relu", "sigmoid", "silu", "softplus")},
        "tanh": jit("nn.tanh", "x"),
        "gelu": jit("nn.gelu", "x", approximate=False),
        "gelu_tanh": jit("nn.gelu", "x"),
    },
    "thinc": {name: plain(name, "x", out="") for name in ("relu", "gelu")},
}
