"""Losses with their gradients; shape = (rows, columns)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operations import Arrays, Call, Operation, Shape, autograd, plain
from ..reference import cross_entropy

HUBER_DELTA = 0.5


def _inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Return predictions, and targets in [0, 1] as binary cross entropy requires."""
    return {"pred": rng.standard_normal(shape, real), "target": rng.random(shape, real)}


def _class_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    logits = rng.standard_normal(shape, real)
    return {"logits": logits, "targets": rng.integers(0, shape[1], shape[0])}


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
OPERATIONS = {
    "cross_entropy": Operation(_class_inputs, cross_entropy, 6, 2, 20),
    "mse": Operation(_inputs, _mse, 5, 3, 200),
    "l1": Operation(_inputs, _l1, 4, 3, 200),
    "huber": Operation(_inputs, _huber, 7, 3, 200),
    "bce_with_logits": Operation(_inputs, _bce, 15, 3, 200),
}
SHAPES = [(64, 64), (1024, 1024), (4096, 1024)]
CASES = [
    ("quick", "cross_entropy", [(128, 10), (4096, 1000)]),
    *(("default", kernel, SHAPES[1:2]) for kernel in OPERATIONS),
    *(("full", kernel, SHAPES) for kernel in OPERATIONS),
]


def numpy_cross_entropy(logits: np.ndarray, targets: np.ndarray, dlogits: np.ndarray) -> float:
    """Return the mean loss and write its gradient to ``dlogits``, by log-sum-exp."""
    each = np.arange(len(logits))
    np.subtract(logits, logits.max(axis=1, keepdims=True), out=dlogits)
    picked = dlogits[each, targets]
    np.exp(dlogits, out=dlogits)
    total = dlogits.sum(axis=1, keepdims=True)
    loss = float((np.log(total[:, 0]) - picked).mean())
    np.divide(dlogits, total * logits.dtype.type(len(logits)), out=dlogits)
    dlogits[each, targets] -= logits.dtype.type(1 / len(logits))
    return loss


def _torch_out(name: str, to: str, *more: Any) -> Any:
    """Return the maker of a loss and the operator of its gradient, overload `to`, with ``out``."""

    def make(torch: Any, pred: Any, target: Any, out: Any) -> Call:
        one, forward = torch.tensor(1, dtype=pred.dtype), getattr(torch.ops.aten, name)
        back = getattr(getattr(torch.ops.aten, f"{name}_backward"), to)
        return lambda: (
            forward(pred, target, 1, *more),
            back(one, pred, target, 1, *more, grad_input=out),
        )

    return make


def _torch_autograd(name: str) -> Any:
    """Return the maker of a loss without a gradient operator: autograd composes one."""

    def make(torch: Any, inputs: Arrays) -> Call:
        pred, target = map(torch.from_numpy, inputs.values())
        loss = getattr(torch.nn.functional, name)
        return autograd(torch, lambda: loss(pred, target), (pred,), None)

    return make


PREPARE: dict[str, dict[str, Any]] = {
    "fastnn": {
        "cross_entropy": plain("cross_entropy", "logits targets", out="dlogits", pair=True),
        "mse": plain("mse", "pred target", out="dpred", pair=True),
        "l1": plain("l1", "pred target", out="dpred", pair=True),
        "huber": plain("huber", "pred target", out="dpred", pair=True, delta=HUBER_DELTA),
        "bce_with_logits": plain("bce_with_logits", "pred target", out="dlogits", pair=True),
    },
    "numpy": {
        "cross_entropy": lambda np, logits, targets, out: (
            lambda: (numpy_cross_entropy(logits, targets, out), out)
        )
    },
    "torch": {
        "cross_entropy": _torch_autograd("cross_entropy"),
        "mse": _torch_out("mse_loss", "grad_input"),
        "huber": _torch_out("huber_loss", "out", HUBER_DELTA),
        "l1": _torch_autograd("l1_loss"),
        "bce_with_logits": _torch_autograd("binary_cross_entropy_with_logits"),
    },
}
