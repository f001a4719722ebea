"""NumPy: the fastest way that a NumPy user would write each kernel, with ``out=`` throughout."""

from __future__ import annotations

from itertools import count

import numpy as np

from ..operations import ADAM, ADAMW_DECAY, SGD, Arrays
from . import Call, blas_threads

VERSION = f"numpy {np.__version__}"
ISA = ""
threads = blas_threads


def _matmul(inputs: Arrays) -> Call:
    a, b = inputs["a"], inputs["b"]
    y = np.empty((a.shape[0], b.shape[1]), a.dtype)
    return lambda: (np.matmul(a, b, out=y),)


def _matmul_bias_relu(inputs: Arrays) -> Call:
    a, b, bias = inputs["a"], inputs["b"], inputs["bias"]
    y = np.empty((a.shape[0], b.shape[1]), a.dtype)

    def call():
        np.matmul(a, b, out=y)
        np.add(y, bias, out=y)
        return (np.maximum(y, 0, out=y),)

    return call


def _frobenius_norm(inputs: Arrays) -> Call:
    x = inputs["x"]
    return lambda: (np.linalg.norm(x),)


def _relu(inputs: Arrays) -> Call:
    x = inputs["x"]
    y = np.empty_like(x)
    return lambda: (np.maximum(x, 0, out=y),)


def _relu_backward(inputs: Arrays) -> Call:
    dy, y = inputs["dy"], inputs["y"]
    dx, positive = np.empty_like(dy), np.empty(y.shape, bool)

    def call():
        np.greater(y, 0, out=positive)
        return (np.multiply(dy, positive, out=dx),)

    return call


def _softmax_into(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    np.subtract(x, x.max(axis=1, keepdims=True), out=y)
    np.exp(y, out=y)
    return np.divide(y, y.sum(axis=1, keepdims=True), out=y)


def _softmax(inputs: Arrays) -> Call:
    x = inputs["x"]
    y = np.empty_like(x)
    return lambda: (_softmax_into(x, y),)


def _softmax_backward(inputs: Arrays) -> Call:
    dy, y = inputs["dy"], inputs["y"]
    dx = np.empty_like(dy)

    def call():
        inner = np.einsum("ij,ij->i", dy, y)[:, None]
        np.subtract(dy, inner, out=dx)
        return (np.multiply(dx, y, out=dx),)

    return call


def _cross_entropy_into(
    logits: np.ndarray, targets: np.ndarray, rows: np.ndarray, dlogits: np.ndarray
) -> float:
    """Mean loss, and its gradient written to ``dlogits``; log-sum-exp, so nothing underflows."""
    top = logits.max(axis=1, keepdims=True)
    np.subtract(logits, top, out=dlogits)
    picked = dlogits[rows, targets]
    np.exp(dlogits, out=dlogits)
    total = dlogits.sum(axis=1, keepdims=True)
    loss = float((np.log(total[:, 0]) - picked).mean())
    np.divide(dlogits, total * logits.dtype.type(len(logits)), out=dlogits)
    dlogits[rows, targets] -= logits.dtype.type(1 / len(logits))
    return loss


def _cross_entropy(inputs: Arrays) -> Call:
    logits, targets = inputs["logits"], inputs["targets"]
    dlogits, rows = np.empty_like(logits), np.arange(len(logits))
    return lambda: (_cross_entropy_into(logits, targets, rows, dlogits), dlogits)


class _Adam:
    """Adam over one array, in place, with two scratch arrays instead of temporaries."""

    def __init__(self, p: np.ndarray, g: np.ndarray, decay: float = 0.0) -> None:
        self.p, self.g, self.decay = p, g, decay
        self.m, self.v = np.zeros_like(p), np.zeros_like(p)
        self.s, self.t = np.empty_like(p), np.empty_like(p)
        self.steps = count(1)

    def step(self) -> None:
        p, g, m, v, s, t = self.p, self.g, self.m, self.v, self.s, self.t
        (beta1, beta2), step = ADAM["betas"], next(self.steps)
        if self.decay:
            np.multiply(p, 1 - ADAM["lr"] * self.decay, out=p)
        np.multiply(m, beta1, out=m)
        np.multiply(g, 1 - beta1, out=s)
        np.add(m, s, out=m)
        np.multiply(v, beta2, out=v)
        np.multiply(g, g, out=s)
        np.multiply(s, 1 - beta2, out=s)
        np.add(v, s, out=v)
        np.divide(v, 1 - beta2**step, out=s)
        np.sqrt(s, out=s)
        np.add(s, ADAM["eps"], out=s)
        np.multiply(m, ADAM["lr"] / (1 - beta1**step), out=t)
        np.divide(t, s, out=t)
        np.subtract(p, t, out=p)


def _adamw(inputs: Arrays) -> Call:
    adam = _Adam(inputs["p"], inputs["g"], ADAMW_DECAY)

    def call():
        adam.step()
        return adam.p, adam.m, adam.v

    return call


def _sgd(inputs: Arrays) -> Call:
    p, g = inputs["p"], inputs["g"]
    m, s = np.zeros_like(p), np.empty_like(p)

    def call():
        np.multiply(m, SGD["momentum"], out=m)
        np.add(m, g, out=m)
        np.multiply(p, SGD["weight_decay"], out=s)
        np.add(m, s, out=m)
        np.multiply(m, SGD["lr"], out=s)
        np.subtract(p, s, out=p)
        return p, m

    return call


def _train_step(inputs: Arrays) -> Call:
    x, targets = inputs["x"], inputs["targets"]
    names = ("w1", "b1", "w2", "b2")
    # Views of one flat array, so that Adam is one pass over all parameters.
    shapes = [inputs[name].shape for name in names]
    ends = np.cumsum([inputs[name].size for name in names])[:-1]
    flat = np.concatenate([inputs[name].ravel() for name in names])
    adam = _Adam(flat, np.empty_like(flat))
    parts = zip(np.split(flat, ends), np.split(adam.g, ends), shapes, strict=True)
    views = [(p.reshape(shape), g.reshape(shape)) for p, g, shape in parts]
    (w1, dw1), (b1, db1), (w2, dw2), (b2, db2) = views
    rows = np.arange(len(x))
    h, dh = np.empty((2, len(x), len(b1)), x.dtype)
    logits, dlogits = np.empty((2, len(x), len(b2)), x.dtype)
    positive = np.empty(h.shape, bool)

    def call():
        np.matmul(x, w1, out=h)
        np.add(h, b1, out=h)
        np.maximum(h, 0, out=h)
        np.matmul(h, w2, out=logits)
        np.add(logits, b2, out=logits)
        loss = _cross_entropy_into(logits, targets, rows, dlogits)
        np.matmul(h.T, dlogits, out=dw2)
        np.sum(dlogits, axis=0, out=db2)
        np.matmul(dlogits, w2.T, out=dh)
        np.greater(h, 0, out=positive)
        np.multiply(dh, positive, out=dh)
        np.matmul(x.T, dh, out=dw1)
        np.sum(dh, axis=0, out=db1)
        adam.step()
        return loss, dw1, db1, dw2, db2, w1, b1, w2, b2

    return call


def _call_relu(inputs: Arrays) -> Call:
    x = inputs["x"]
    return lambda: (np.maximum(x, 0),)


def _call_matmul(inputs: Arrays) -> Call:
    a, b = inputs["a"], inputs["b"]
    return lambda: (np.matmul(a, b),)


PREPARE = {
    "matmul": _matmul,
    "matmul_bias_relu": _matmul_bias_relu,
    "frobenius_norm": _frobenius_norm,
    "relu": _relu,
    "relu_backward": _relu_backward,
    "softmax": _softmax,
    "softmax_backward": _softmax_backward,
    "cross_entropy": _cross_entropy,
    "adamw": _adamw,
    "sgd": _sgd,
    "train_step": _train_step,
    "call_relu": _call_relu,
    "call_matmul": _call_matmul,
}
