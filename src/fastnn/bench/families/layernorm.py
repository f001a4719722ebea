"""Layer norm, RMS norm, and add & norm: forward alone, and forward with backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..operations import Arrays, Operation, Shape, jax_jit, size, tensors

EPS = 1e-5


def _inputs(*names: str) -> Callable[[Shape, Any, np.random.Generator], Arrays]:
    """Return standard normal arrays; weight and bias have one row, the others the case's shape."""

    def inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
        shapes = {"weight": shape[1:], "bias": shape[1:]}
        return {name: rng.standard_normal(shapes.get(name, shape), real) for name in names}

    return inputs


def _normalized(h: np.ndarray, rms: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the normalized rows and 1 / deviation of each."""
    centred = h if rms else h - h.mean(axis=1, keepdims=True)
    rstd = 1 / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + EPS)
    return centred * rstd, rstd


def _gradients(
    xhat: np.ndarray, rstd: np.ndarray, dy: np.ndarray, weight: np.ndarray, rms: bool
) -> tuple[np.ndarray, ...]:
    g = dy * weight
    mean = 0 if rms else g.mean(axis=1, keepdims=True)
    dx = (g - mean - xhat * (g * xhat).mean(axis=1, keepdims=True)) * rstd
    return dx, (dy * xhat).sum(axis=0)


def _layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, ...]:
    return (_normalized(x, rms=False)[0] * weight + bias,)


def _layer_norm_passes(
    x: np.ndarray, dy: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, ...]:
    xhat, rstd = _normalized(x, rms=False)
    gradients = _gradients(xhat, rstd, dy, weight, rms=False)
    return xhat * weight + bias, *gradients, dy.sum(axis=0)


def _rms_norm_passes(x: np.ndarray, dy: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, ...]:
    xhat, rstd = _normalized(x, rms=True)
    return xhat * weight, *_gradients(xhat, rstd, dy, weight, rms=True)


def _add_norm_passes(
    x: np.ndarray, residual: np.ndarray, dy: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, ...]:
    return _layer_norm_passes(x + residual, dy, weight, bias)


def _rows(inputs: Any, reference: Any, flops: int, numbers: int, held: int) -> Operation:
    return Operation(
        inputs=inputs,
        reference=reference,
        flops=lambda shape: flops * size(shape),
        numbers=lambda shape: numbers * size(shape),
        held=lambda shape: held * size(shape),
        tolerance=lambda shape: 200,  # largest seen: 60, a weight's gradient over 4096 rows
        limit="copy",
    )


OPERATIONS: dict[str, Operation] = {
    "layer_norm": _rows(_inputs("x", "weight", "bias"), _layer_norm, 8, 2, 2),
    "layer_norm_passes": _rows(_inputs("x", "dy", "weight", "bias"), _layer_norm_passes, 24, 5, 4),
    "rms_norm_passes": _rows(_inputs("x", "dy", "weight"), _rms_norm_passes, 20, 5, 4),
    "add_norm_passes": _rows(
        _inputs("x", "residual", "dy", "weight", "bias"), _add_norm_passes, 25, 7, 6
    ),
}
SHAPES = [(64, 64), (1024, 1024), (4096, 1024)]
CASES = [
    ("quick", "layer_norm", SHAPES[1:2]),
    *(("default", kernel, SHAPES[:2]) for kernel in OPERATIONS),
    *(("full", kernel, SHAPES) for kernel in OPERATIONS),
    ("full", "layer_norm_passes", [(1024, 1024)], ("float64",)),
]


# fastnn


def _fastnn_layer_norm(inputs: Arrays) -> Any:
    from fastnn import kernels
    from fastnn.kernels.ground.memory import empty

    x, weight, bias = inputs["x"], inputs["weight"], inputs["bias"]
    y = empty(x.shape, x.dtype)
    return lambda: (kernels.layer_norm(x, weight, bias, eps=EPS, out=y),)


def _fastnn_passes(inputs: Arrays, forward: Any, backward: Any, saved: str) -> Any:
    """Forward into h (if there is a sum) and stats, and backward into dweight and dbias."""
    from fastnn.kernels.ground.memory import empty

    x, weight = inputs["x"], inputs["weight"]
    given = [inputs[name] for name in ("x", "residual", "weight", "bias") if name in inputs]
    sums = {"dweight": np.zeros_like(weight)}
    if "bias" in inputs:
        sums["dbias"] = np.zeros_like(weight)
    outputs = {"out": empty(x.shape, x.dtype), "stats": empty((len(x), 3), x.dtype)}
    if saved == "h":
        outputs["h"] = empty(x.shape, x.dtype)
    kept = {**inputs, **outputs}[saved]

    def call() -> tuple[np.ndarray, ...]:
        for gradient in sums.values():
            gradient.fill(0)
        y = forward(*given, eps=EPS, **outputs)
        dx = backward(inputs["dy"], kept, outputs["stats"], weight, **sums)
        return y, dx[0] if saved == "h" else dx, *sums.values()

    return call


def _fastnn_layer_norm_passes(inputs: Arrays) -> Any:
    from fastnn import kernels

    return _fastnn_passes(inputs, kernels.layer_norm, kernels.layer_norm_backward, "x")


def _fastnn_rms_norm_passes(inputs: Arrays) -> Any:
    from fastnn import kernels

    return _fastnn_passes(inputs, kernels.rms_norm, kernels.rms_norm_backward, "x")


def _fastnn_add_norm_passes(inputs: Arrays) -> Any:
    from fastnn import kernels

    return _fastnn_passes(inputs, kernels.add_norm, kernels.add_norm_backward, "h")


# PyTorch: the operators themselves for layer norm; autograd for RMS norm, which has none.


def _torch_layer_norm(inputs: Arrays) -> Any:
    import torch

    t = dict(zip(inputs, tensors(inputs, *inputs), strict=True))
    shape = inputs["weight"].shape
    return lambda: (torch.native_layer_norm(t["x"], shape, t["weight"], t["bias"], EPS)[0],)


def _torch_layer_norm_passes(inputs: Arrays) -> Any:
    import torch

    t = dict(zip(inputs, tensors(inputs, *inputs), strict=True))
    shape, weight, bias = inputs["weight"].shape, t["weight"], t["bias"]
    backward = torch.ops.aten.native_layer_norm_backward

    def call() -> tuple[Any, ...]:
        x = t["x"] + t["residual"] if "residual" in t else t["x"]
        y, mean, rstd = torch.native_layer_norm(x, shape, weight, bias, EPS)
        return y, *backward(t["dy"], x, shape, mean, rstd, weight, bias, [True] * 3)

    return call


def _torch_rms_norm_passes(inputs: Arrays) -> Any:
    import torch

    t = dict(zip(inputs, tensors(inputs, *inputs), strict=True))
    leaves = [t["x"].requires_grad_(), t["weight"].requires_grad_()]

    def call() -> tuple[Any, ...]:
        y = torch.rms_norm(leaves[0], inputs["weight"].shape, leaves[1], EPS)
        return y.detach(), *torch.autograd.grad(y, leaves, t["dy"])

    return call


def _jax_layer_norm(jax: Any) -> Any:
    def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
        centred = x - x.mean(1, keepdims=True)
        return centred * jax.lax.rsqrt((centred**2).mean(1, keepdims=True) + EPS) * weight + bias

    return layer_norm


def _numpy_layer_norm(inputs: Arrays) -> Any:
    return lambda: _layer_norm(**inputs)


PREPARE = {
    "fastnn": {
        "layer_norm": _fastnn_layer_norm,
        "layer_norm_passes": _fastnn_layer_norm_passes,
        "rms_norm_passes": _fastnn_rms_norm_passes,
        "add_norm_passes": _fastnn_add_norm_passes,
    },
    "torch": {
        "layer_norm": _torch_layer_norm,
        "layer_norm_passes": _torch_layer_norm_passes,
        "rms_norm_passes": _torch_rms_norm_passes,
        "add_norm_passes": _torch_layer_norm_passes,
    },
    "numpy": {"layer_norm": _numpy_layer_norm},
    "jax": {"layer_norm": jax_jit(_jax_layer_norm, "x", "weight", "bias")},
}
