"""Layer norm, RMS norm, and add & norm: forward alone, and forward with backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operations import Arrays, Call, Operation, autograd, jit, normal, plain
from ..reference import EPS, Tensor, gradients, normalized


def _layer_norm(x: Any, weight: Any, bias: Any, residual: Any = 0.0) -> Tensor:
    return normalized(x + residual) * weight + bias


def _rms_norm(x: Any, weight: Any) -> Tensor:
    return normalized(x, rms=True) * weight


def _forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[Any, ...]:
    return (_layer_norm(Tensor(x), weight, bias).value,)


def _operation(names: str, reference: Any, flops: int, numbers: int, held: int) -> Operation:
    rows = [name for name in names.split() if name not in ("weight", "bias")]
    vectors = {name: "1" for name in names.split() if name not in rows}
    # largest error seen: 60, a weight's gradient over 4096 rows
    return Operation(normal(*rows, **vectors), reference, flops, numbers, 200, held=held)


_PASSES = gradients(_layer_norm, "x weight bias")
OPERATIONS = {
    "layer_norm": _operation("x weight bias", _forward, 8, 2, 2),
    "layer_norm_passes": _operation("x dy weight bias", _PASSES, 24, 5, 4),
    "rms_norm_passes": _operation("x dy weight", gradients(_rms_norm, "x weight"), 20, 5, 4),
    "add_norm_passes": _operation("x residual dy weight bias", _PASSES, 25, 7, 6),
}
SHAPES = [(64, 64), (1024, 1024), (4096, 1024)]
CASES = [
    ("quick", "layer_norm", SHAPES[1:2]),
    *(("default", kernel, SHAPES[:2]) for kernel in OPERATIONS),
    *(("full", kernel, SHAPES) for kernel in OPERATIONS),
    ("full", "layer_norm_passes", [(1024, 1024)], ("float64",)),
]


def _fastnn_passes(name: str) -> Any:
    """Return the maker of forward and backward; add & norm keeps the sum in h."""

    def make(kernels: Any, x: Any, weight: Any, out: Any, out_h: Any, inputs: Arrays) -> Call:
        forward, backward = getattr(kernels, name), getattr(kernels, f"{name}_backward")
        given = [inputs[n] for n in ("x", "residual", "weight", "bias") if n in inputs]
        sums = {f"d{n}": np.zeros_like(weight) for n in ("weight", "bias") if n in inputs}
        outputs = {"out": out, "stats": np.empty((len(x), 3), x.dtype)}
        if adds := "residual" in inputs:
            outputs["h"] = out_h
        kept, dy = out_h if adds else x, inputs["dy"]

        def call() -> tuple[Any, ...]:
            for gradient in sums.values():
                gradient.fill(0)
            y = forward(*given, eps=EPS, **outputs)
            dx = backward(dy, kept, outputs["stats"], weight, **sums)
            return y, dx[0] if adds else dx, *sums.values()

        return call

    return make


# PyTorch: the operators themselves for layer norm; autograd for RMS norm, which has none.


def _torch(torch: Any, x: Any, weight: Any, bias: Any) -> Call:
    return lambda: (torch.native_layer_norm(x, weight.shape, weight, bias, EPS)[0],)


def _torch_passes(torch: Any, inputs: Arrays) -> Call:
    t = {name: torch.from_numpy(x) for name, x in inputs.items()}
    dy, weight, bias = t["dy"], t["weight"], t["bias"]
    backward = torch.ops.aten.native_layer_norm_backward

    def call() -> tuple[Any, ...]:
        x = t["x"] + t["residual"] if "residual" in t else t["x"]
        y, mean, rstd = torch.native_layer_norm(x, weight.shape, weight, bias, EPS)
        return y, *backward(dy, x, weight.shape, mean, rstd, weight, bias, [True] * 3)

    return call


def _torch_rms_norm_passes(torch: Any, x: Any, weight: Any, dy: Any) -> Call:
    return autograd(torch, lambda: torch.rms_norm(x, weight.shape, weight, EPS), (x, weight), dy)


def _numpy(np: Any, x: Any, weight: Any, bias: Any) -> Call:
    def call() -> tuple[Any, ...]:
        h = x - x.mean(axis=1, keepdims=True)
        return (h * (1 / np.sqrt((h * h).mean(axis=1, keepdims=True) + EPS)) * weight + bias,)

    return call


def _jax(jax: Any, x: Any, weight: Any, bias: Any) -> Any:
    h = x - x.mean(1, keepdims=True)
    return h * jax.lax.rsqrt((h**2).mean(1, keepdims=True) + EPS) * weight + bias


PREPARE: dict[str, dict[str, Any]] = {
    "fastnn": {
        "layer_norm": plain("layer_norm", "x weight bias", eps=EPS),
        "layer_norm_passes": _fastnn_passes("layer_norm"),
        "rms_norm_passes": _fastnn_passes("rms_norm"),
        "add_norm_passes": _fastnn_passes("add_norm"),
    },
    "torch": {
        "layer_norm": _torch,
        "layer_norm_passes": _torch_passes,
        "rms_norm_passes": _torch_rms_norm_passes,
        "add_norm_passes": _torch_passes,
    },
    "numpy": {"layer_norm": _numpy},
    "jax": {"layer_norm": jit(_jax, "x weight bias")},
}
