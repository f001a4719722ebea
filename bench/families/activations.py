"""Activations, forward and backward, with ``out=``; GELU also with both in one case."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..operations import Arrays, Operation, rows

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
FUNCTIONS: dict[str, tuple[Callable, Callable, str]] = {
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

        def run(x: np.ndarray, forward: Callable = forward) -> tuple[np.ndarray, ...]:
            return (forward(x),)

        def back(
            dy: np.ndarray, slope: Callable = slope, **saved: np.ndarray
        ) -> tuple[np.ndarray, ...]:
            return (dy * slope(*saved.values()),)

        operations[f"act_{name}"] = rows(("x",), run, 1, 2, 20)
        operations[f"act_{name}_backward"] = rows(("dy", saved), back, 1, 3, 40)
    for name in ("gelu", "gelu_tanh"):
        forward, slope, _ = FUNCTIONS[name]

        def both(
            x: np.ndarray, dy: np.ndarray, forward: Callable = forward, slope: Callable = slope
        ) -> tuple[np.ndarray, ...]:
            return forward(x), dy * slope(x)

        operations[f"act_{name}_both"] = rows(("x", "dy"), both, 2, 5, 40)
    return operations


OPERATIONS = _operations()
SHAPES = [(64, 64), (1024, 1024), (4096, 1024)]
CASES = [(kernel, SHAPES, ("float32",)) for kernel in OPERATIONS]


def _fastnn_call(name: str, backward: bool, arrays: list[np.ndarray], out: np.ndarray):
    from fastnn import kernels

    form = name.removesuffix("_tanh")
    function = getattr(kernels, f"{form}_backward" if backward else form)
    if name == "gelu_tanh":
        return lambda: function(*arrays, approximate="tanh", out=out)
    return lambda: function(*arrays, out=out)


def _fastnn(kernel: str) -> Callable:
    name, way = _split(kernel)

    def prepare(inputs: Arrays):
        x = inputs.get("x", inputs.get("y"))
        if name == "softplus" and way == "_backward":
            from fastnn import kernels

            x = kernels.softplus(x)  # backward reads the output here, but the input in PyTorch
        outs = [np.empty_like(x), np.empty_like(x)]
        if way == "_both":
            first = _fastnn_call(name, False, [x], outs[0])
            second = _fastnn_call(name, True, [inputs["dy"], x], outs[1])
            return lambda: (first(), second())
        arrays = [inputs["dy"], x] if way else [x]
        call = _fastnn_call(name, bool(way), arrays, outs[0])
        return lambda: (call(),)

    return prepare


def _torch_call(name: str, backward: bool, arrays: list, out):
    import torch

    if name == "relu" and not backward:
        return lambda: torch.clamp_min(*arrays, 0, out=out)
    aten = torch.ops.aten
    form = {"relu": "threshold"}.get(name, name.removesuffix("_tanh"))
    more = {"relu": (0,), "leaky_relu": (SLOPE,), "softplus": (1, 20)}.get(name, ())
    options = {"approximate": "tanh"} if name == "gelu_tanh" else {}
    if backward:
        more += (False,) if name == "leaky_relu" else ()
        function = getattr(aten, f"{form}_backward").grad_input
        return lambda: function(*arrays, *more, **options, grad_input=out)
    function = getattr(aten, form).out
    return lambda: function(*arrays, *more, **options, out=out)


def _torch(kernel: str) -> Callable:
    name, way = _split(kernel)

    def prepare(inputs: Arrays):
        import torch

        x = torch.from_numpy(inputs.get("x", inputs.get("y")))
        outs = [torch.empty_like(x), torch.empty_like(x)]
        dy = [torch.from_numpy(inputs["dy"])] if way else []
        if way == "_both":
            first = _torch_call(name, False, [x], outs[0])
            second = _torch_call(name, True, [*dy, x], outs[1])
            return lambda: (first(), second())
        call = _torch_call(name, bool(way), [*dy, x], outs[0])
        return lambda: (call(),)

    return prepare


def _split(kernel: str) -> tuple[str, str]:
    """Return the name of the function, and "", "_backward" or "_both"."""
    name = kernel.removeprefix("act_")
    for way in ("_backward", "_both"):
        if name.endswith(way):
            return name.removesuffix(way), way
    return name, ""


def _numpy_relu(inputs: Arrays):
    x, y = inputs["x"], np.empty_like(inputs["x"])
    return lambda: (np.maximum(x, 0, out=y),)


def _numpy_tanh(inputs: Arrays):
    x, y = inputs["x"], np.empty_like(inputs["x"])
    return lambda: (np.tanh(x, out=y),)


def _numpy_softplus(inputs: Arrays):
    x, y = inputs["x"], np.empty_like(inputs["x"])
    return lambda: (np.logaddexp(x.dtype.type(0), x, out=y),)


def _scipy_sigmoid(inputs: Arrays):
    from scipy import special

    x, y = inputs["x"], np.empty_like(inputs["x"])
    return lambda: (special.expit(x, out=y),)


PREPARE = {
    "fastnn": {kernel: _fastnn(kernel) for kernel in OPERATIONS},
    "torch": {kernel: _torch(kernel) for kernel in OPERATIONS},
    "numpy": {
        "act_relu": _numpy_relu,
        "act_tanh": _numpy_tanh,
        "act_softplus": _numpy_softplus,
    },
    "scipy": {"act_sigmoid": _scipy_sigmoid},
}
