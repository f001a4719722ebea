"""Losses with their gradients; shape = (rows, columns)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operations import Arrays, Call, Operation, Prepare, Shape, ours, rows, tensors

HUBER_DELTA = 0.5


def _inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Return predictions, and targets in [0, 1] as binary cross entropy requires."""
    return {"pred": rng.standard_normal(shape, real), "target": rng.random(shape, real)}


def _class_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    logits = rng.standard_normal(shape, real)
    return {"logits": logits, "targets": rng.integers(0, shape[1], shape[0])}


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[Any, ...]:
    """Return the mean loss and its gradient in float64."""
    each = np.arange(len(logits))
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    loss = -np.log(y[each, targets]).mean()
    y[each, targets] -= 1
    return loss, y / len(logits)


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
    "cross_entropy": rows((), cross_entropy, 6, 2, 20, inputs=_class_inputs),
    "mse": rows((), _mse, 5, 3, 200, inputs=_inputs),
    "l1": rows((), _l1, 4, 3, 200, inputs=_inputs),
    "huber": rows((), _huber, 7, 3, 200, inputs=_inputs),
    "bce_with_logits": rows((), _bce, 15, 3, 200, inputs=_inputs),
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


def _numpy(inputs: Arrays) -> Call:
    logits, targets = inputs["logits"], inputs["targets"]
    dlogits = np.empty_like(logits)
    return lambda: (numpy_cross_entropy(logits, targets, dlogits), dlogits)


def _torch_out(name: str, backward: str, out: str, *more: float) -> Prepare:
    """Prepare a loss and the operator of its gradient, which takes ``out=``."""

    def prepare(inputs: Arrays) -> Call:
        import torch

        pred, target = tensors(inputs, "pred", "target")
        one, into = torch.tensor(1, dtype=pred.dtype), {out: torch.empty_like(pred)}
        forward = getattr(torch.ops.aten, name)
        back = getattr(getattr(torch.ops.aten, f"{name}_backward"), backward)
        return lambda: (
            forward(pred, target, 1, *more),
            back(one, pred, target, 1, *more, **into),
        )

    return prepare


def _torch_autograd(name: str, *arrays: str) -> Prepare:
    """Prepare a loss without a gradient operator in PyTorch: autograd composes one."""

    def prepare(inputs: Arrays) -> Call:
        import torch

        pred, target = tensors(inputs, *(arrays or ("pred", "target")))
        pred.requires_grad_()
        function = getattr(torch.nn.functional, name)

        def call() -> tuple[Any, ...]:
            loss = function(pred, target)
            return loss.detach(), *torch.autograd.grad(loss, pred)

        return call

    return prepare


PREPARE = {
    "fastnn": {
        "cross_entropy": ours("cross_entropy", "logits", "targets", out="dlogits"),
        "mse": ours("mse", "pred", "target", out="dpred"),
        "l1": ours("l1", "pred", "target", out="dpred"),
        "huber": ours("huber", "pred", "target", out="dpred", delta=HUBER_DELTA),
        "bce_with_logits": ours("bce_with_logits", "pred", "target", out="dlogits"),
    },
    "numpy": {"cross_entropy": _numpy},
    "torch": {
        "cross_entropy": _torch_autograd("cross_entropy", "logits", "targets"),
        "mse": _torch_out("mse_loss", "grad_input", "grad_input"),
        "huber": _torch_out("huber_loss", "out", "grad_input", HUBER_DELTA),
        "l1": _torch_autograd("l1_loss"),
        "bce_with_logits": _torch_autograd("binary_cross_entropy_with_logits"),
    },
}
