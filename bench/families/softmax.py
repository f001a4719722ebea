"""Softmax and log-softmax, forward and backward; shape = (rows, columns)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operations import Arrays, Operation, Shape, normal, rows

SHAPES = [(64, 64), (1024, 1024), (4096, 1024)]


def _log_softmax(x: np.ndarray) -> tuple[np.ndarray, ...]:
    d = x - x.max(axis=1, keepdims=True)
    return (d - np.log(np.exp(d).sum(axis=1, keepdims=True)),)


def _backward_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    x, dy = rng.standard_normal((2, *shape))
    return {"dy": dy.astype(real), "y": _log_softmax(x)[0].astype(real)}


def _log_softmax_backward(dy: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    return (dy - np.exp(y) * dy.sum(axis=1, keepdims=True),)


OPERATIONS: dict[str, Operation] = {
    "log_softmax": rows((), _log_softmax, 4, 2, 20, inputs=normal("x")),
    "log_softmax_backward": rows((), _log_softmax_backward, 4, 3, 40, inputs=_backward_inputs),
}
CASES = [
    (kernel, SHAPES, ("float32",))
    for kernel in ("softmax", "softmax_backward", "log_softmax", "log_softmax_backward")
]


def _fastnn(inputs: Arrays) -> Any:
    from fastnn import kernels
    from fastnn.kernels.ground import memory

    x = inputs["x"]
    y = memory.empty(x.shape, x.dtype)
    return lambda: (kernels.log_softmax(x, out=y),)


def _fastnn_backward(inputs: Arrays) -> Any:
    from fastnn import kernels
    from fastnn.kernels.ground import memory

    dy, y = inputs["dy"], inputs["y"]
    dx = memory.empty(dy.shape, dy.dtype)
    return lambda: (kernels.log_softmax_backward(dy, y, out=dx),)


def _torch(inputs: Arrays) -> Any:
    import torch

    x = torch.from_numpy(inputs["x"])
    y = torch.empty_like(x)
    forward = torch.ops.aten._log_softmax.out
    return lambda: (forward(x, 1, False, out=y),)


def _torch_backward(inputs: Arrays) -> Any:
    import torch

    dy, y = torch.from_numpy(inputs["dy"]), torch.from_numpy(inputs["y"])
    dx = torch.empty_like(dy)
    backward = torch.ops.aten._log_softmax_backward_data.out
    return lambda: (backward(dy, y, 1, y.dtype, out=dx),)


def _scipy(inputs: Arrays) -> Any:
    from scipy.special import log_softmax

    x = inputs["x"]
    return lambda: (log_softmax(x, axis=1),)


PREPARE = {
    "fastnn": {"log_softmax": _fastnn, "log_softmax_backward": _fastnn_backward},
    "torch": {"log_softmax": _torch, "log_softmax_backward": _torch_backward},
    "scipy": {"log_softmax": _scipy},
}
