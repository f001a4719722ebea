"""NumPy: the fastest way that a NumPy user would write each kernel, with ``out=`` throughout."""

from __future__ import annotations

from itertools import count

import numpy as np

from ..operations import ADAM, ADAMW_DECAY, SGD, Arrays, network_layers
from . import Call, blas_architecture, blas_threads

VERSION = f"numpy {np.__version__}"
ISA = blas_architecture()
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
    """Return the mean loss and write its gradient to ``dlogits``, by log-sum-exp."""
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
    """Take an Adam step over one array, in place, with two scratch arrays."""

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


class _Dense:
    """Run act(x W + b) forward and backward into preallocated arrays."""

    def __init__(self, rows: int, w: np.ndarray, b: np.ndarray, relu: bool) -> None:
        self.w, self.b, self.relu = w, b, relu
        self.dw, self.db = np.empty_like(w), np.empty_like(b)
        self.y, self.dz = np.empty((2, rows, len(b)), w.dtype)
        self.dx = np.empty((rows, len(w)), w.dtype)
        self.positive = np.empty(self.y.shape, bool)

    def forward(self, x: np.ndarray) -> np.ndarray:
        np.matmul(x, self.w, out=self.y)
        np.add(self.y, self.b, out=self.y)
        if self.relu:
            np.maximum(self.y, 0, out=self.y)
        return self.y

    def backward(self, dy: np.ndarray, x: np.ndarray, need_dx: bool = True) -> np.ndarray:
        dz = dy
        if self.relu:
            np.greater(self.y, 0, out=self.positive)
            dz = np.multiply(dy, self.positive, out=self.dz)
        np.matmul(x.T, dz, out=self.dw)
        np.sum(dz, axis=0, out=self.db)
        return np.matmul(dz, self.w.T, out=self.dx) if need_dx else self.dx


class _Network:
    """Run dense layers with ReLU between them; without the gradient of the input."""

    def __init__(self, x: np.ndarray, layers: list[tuple[np.ndarray, np.ndarray]]) -> None:
        last = len(layers) - 1
        self.x = x
        self.layers = [_Dense(len(x), w, b, i < last) for i, (w, b) in enumerate(layers)]
        self.gradients = [g for layer in self.layers for g in (layer.dw, layer.db)]

    def forward(self) -> np.ndarray:
        y = self.x
        for layer in self.layers:
            y = layer.forward(y)
        return y

    def backward(self, dy: np.ndarray) -> None:
        for below, layer in zip(self.layers[-2::-1], self.layers[:0:-1], strict=True):
            dy = layer.backward(dy, below.y)
        self.layers[0].backward(dy, self.x, need_dx=False)


def _linear(inputs: Arrays) -> Call:
    x, dy = inputs["x"], inputs["dy"]
    layer = _Dense(len(x), inputs["w1"], inputs["b1"], relu=True)
    return lambda: (layer.forward(x), layer.backward(dy, x), layer.dw, layer.db)


def _mlp(inputs: Arrays) -> Call:
    dy = inputs["dy"]
    network = _Network(inputs["x"], network_layers(inputs))

    def call():
        y = network.forward()
        network.backward(dy)
        return y, *network.gradients

    return call


def _train_step(inputs: Arrays) -> Call:
    x, targets = inputs["x"], inputs["targets"]
    network = _Network(x, network_layers(inputs))
    # Parameters and gradients become views of two flat arrays, so that Adam is one pass over all.
    parameters = [p for layer in network.layers for p in (layer.w, layer.b)]
    flat = np.concatenate([p.ravel() for p in parameters])
    adam = _Adam(flat, np.empty_like(flat))
    ends = np.cumsum([p.size for p in parameters])[:-1]
    shapes = [p.shape for p in parameters]
    parameters, gradients = (
        [part.reshape(shape) for part, shape in zip(np.split(whole, ends), shapes, strict=True)]
        for whole in (flat, adam.g)
    )
    for i, layer in enumerate(network.layers):
        layer.w, layer.b = parameters[2 * i : 2 * i + 2]
        layer.dw, layer.db = gradients[2 * i : 2 * i + 2]
    rows, dlogits = np.arange(len(x)), np.empty_like(network.layers[-1].y)

    def call():
        loss = _cross_entropy_into(network.forward(), targets, rows, dlogits)
        network.backward(dlogits)
        adam.step()
        return loss, *gradients, *parameters

    return call


def _call_relu(inputs: Arrays) -> Call:
    x = inputs["x"]
    return lambda: (np.maximum(x, 0),)


def _call_matmul(inputs: Arrays) -> Call:
    a, b = inputs["a"], inputs["b"]
    return lambda: (np.matmul(a, b),)


PREPARE = {
    "matmul": _matmul,
    "matmul_prepacked": _matmul,
    "matmul_bias_relu": _matmul_bias_relu,
    "frobenius_norm": _frobenius_norm,
    "relu": _relu,
    "relu_backward": _relu_backward,
    "softmax": _softmax,
    "softmax_backward": _softmax_backward,
    "cross_entropy": _cross_entropy,
    "adamw": _adamw,
    "sgd": _sgd,
    "linear": _linear,
    "mlp": _mlp,
    "train_step": _train_step,
    "call_relu": _call_relu,
    "call_matmul": _call_matmul,
}
