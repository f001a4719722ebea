"""Losses with their gradients; shape = (rows, columns)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..operations import Arrays, Operation, Shape, rows

SHAPES = [(64, 64), (1024, 1024), (4096, 1024)]
HUBER_DELTA = 0.5


def _inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Return predictions, and targets in [0, 1] as binary cross entropy requires."""
    return {"pred": rng.standard_normal(shape, real), "target": rng.random(shape, real)}


def _mse(pred: np.ndarray, target: np.ndarray) -> tuple[Any, ...]:
    d = pred - target
    return (d * d).mean(), 2 * d / d.size


def _l1(pred: np.ndarray, target: np.ndarray) -> tuple[Any, ...]:
    d = pred - target
    return np.abs(d).mean(), np.sign(d) / d.size


def _huber(pred: np.ndarray, target: np.ndarray) -> tuple[Any, ...]:
    d = pred - target
    most = np.minimum(np.abs(d), HUBER_DELTA)
    slope = d.clip(-HUBER_DELTA, HUBER_DELTA)
    return (most * (np.abs(d) - most / 2)).mean(), slope / d.size


def _bce(pred: np.ndarray, target: np.ndarray) -> tuple[Any, ...]:
    loss = np.maximum(pred, 0) - pred * target + np.log1p(np.exp(-np.abs(pred)))
    return loss.mean(), (1 / (1 + np.exp(-pred)) - target) / pred.size


# Bounded by float32 sums over 4 M elements.
OPERATIONS: dict[str, Operation] = {
    "mse": rows((), _mse, 5, 3, 200, inputs=_inputs),
    "l1": rows((), _l1, 4, 3, 200, inputs=_inputs),
    "huber": rows((), _huber, 7, 3, 200, inputs=_inputs),
    "bce_with_logits": rows((), _bce, 15, 3, 200, inputs=_inputs),
}
CASES = [(kernel, SHAPES, ("float32",)) for kernel in ("cross_entropy", *OPERATIONS)]


def _fastnn(name: str) -> Callable[[Arrays], Any]:
    def prepare(inputs: Arrays) -> Any:
        from fastnn import kernels
        from fastnn.kernels.ground import memory

        pred, target = inputs["pred"], inputs["target"]
        options: dict[str, Any] = {"delta": HUBER_DELTA} if name == "huber" else {}
        out = "dlogits" if name == "bce_with_logits" else "dpred"
        options[out] = memory.empty(pred.shape, pred.dtype)
        loss = getattr(kernels, name)
        return lambda: loss(pred, target, **options)

    return prepare


def _torch_parts(inputs: Arrays) -> tuple[Any, ...]:
    import torch

    pred, target = torch.from_numpy(inputs["pred"]), torch.from_numpy(inputs["target"])
    return torch.ops.aten, pred, target, torch.empty_like(pred), torch.tensor(1, dtype=pred.dtype)


def _torch_mse(inputs: Arrays) -> Any:
    aten, pred, target, d, one = _torch_parts(inputs)
    backward = aten.mse_loss_backward.grad_input
    return lambda: (aten.mse_loss(pred, target), backward(one, pred, target, 1, grad_input=d))


def _torch_huber(inputs: Arrays) -> Any:
    aten, pred, target, d, one = _torch_parts(inputs)
    backward = aten.huber_loss_backward.out
    return lambda: (
        aten.huber_loss(pred, target, 1, HUBER_DELTA),
        backward(one, pred, target, 1, HUBER_DELTA, grad_input=d),
    )


def _torch_autograd(name: str) -> Callable[[Arrays], Any]:
    """Prepare a loss without a gradient operator in PyTorch: autograd composes one."""

    def prepare(inputs: Arrays) -> Any:
        import torch

        pred = torch.from_numpy(inputs["pred"]).requires_grad_()
        target = torch.from_numpy(inputs["target"])
        function = getattr(torch.nn.functional, name)

        def call() -> tuple[Any, ...]:
            pred.grad = None
            loss = function(pred, target)
            loss.backward()
            return loss.detach(), pred.grad

        return call

    return prepare


PREPARE = {
    "fastnn": {name: _fastnn(name) for name in OPERATIONS},
    "torch": {
        "mse": _torch_mse,
        "huber": _torch_huber,
        "l1": _torch_autograd("l1_loss"),
        "bce_with_logits": _torch_autograd("binary_cross_entropy_with_logits"),
    },
}
