"""Softmax and log-softmax, forward and backward; shape = (rows, columns)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operations import Arrays, Call, Operation, Shape, jit, normal, plain


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
    "softmax": Operation(normal("x"), _softmax, 5, 2, 20),
    "softmax_backward": Operation(_backward_inputs(_softmax), _softmax_backward, 4, 3, 20),
    "log_softmax": Operation(normal("x"), _log_softmax, 4, 2, 20),
    "log_softmax_backward": Operation(
        _backward_inputs(_log_softmax), _log_softmax_backward, 4, 3, 40
    ),
}
SHAPES = [(64, 64), (1024, 1024), (4096, 1024)]
CASES = [
    ("quick", "softmax", SHAPES[:2]),
    ("default", "softmax", [(1024, 1024)], ("float64",)),
    *(("default", kernel, SHAPES[:2]) for kernel in OPERATIONS),
    *(("full", kernel, SHAPES) for kernel in OPERATIONS),
]


def _numpy(np: Any, x: Any, out: Any) -> Call:
    def call() -> tuple[Any, ...]:
        np.subtract(x, x.max(axis=1, keepdims=True), out=out)
        np.exp(out, out=out)
        return (np.divide(out, out.sum(axis=1, keepdims=True), out=out),)

    return call


def _numpy_backward(np: Any, dy: Any, y: Any, out: Any) -> Call:
    def call() -> tuple[Any, ...]:
        np.subtract(dy, np.einsum("ij,ij->i", dy, y)[:, None], out=out)
        return (np.multiply(out, y, out=out),)

    return call


def _torch_backward(torch: Any, dy: Any, y: Any, out: Any) -> Call:
    function = torch.ops.aten._softmax_backward_data.out
    return lambda: (function(dy, y, 1, y.dtype, grad_input=out),)


def _torch_log_backward(torch: Any, dy: Any, y: Any, out: Any) -> Call:
    function = torch.ops.aten._log_softmax_backward_data.out
    return lambda: (function(dy, y, 1, y.dtype, out=out),)


BOTH = ("softmax", "log_softmax")
PREPARE: dict[str, dict[str, Any]] = {
    "fastnn": {
        **{name: plain(name, "x") for name in BOTH},
        **{f"{name}_backward": plain(f"{name}_backward", "dy y") for name in BOTH},
    },
    "numpy": {"softmax": _numpy, "softmax_backward": _numpy_backward},
    "scipy": {name: plain(f"special.{name}", "x", out="", axis=1) for name in BOTH},
    "torch": {
        "softmax": plain("softmax", "x", 1),
        "softmax_backward": _torch_backward,
        "log_softmax": plain("ops.aten._log_softmax.out", "x", 1, False),
        "log_softmax_backward": _torch_log_backward,
    },
    "jax": {name: jit(f"nn.{name}", "x") for name in BOTH},
    "thinc": {"softmax": plain("softmax", "x", out="")},
}
