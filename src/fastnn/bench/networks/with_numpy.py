"""The networks in NumPy, into arrays allocated beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..families.losses import numpy_cross_entropy
from ..families.updates import numpy_adam
from ..operations import Arrays, Call
from . import network_layers


class Dense:
    """Run act(x W + b) forward and backward into preallocated arrays."""

    def __init__(self, rows: int, w: Any, b: Any, dw: Any, db: Any, relu: bool) -> None:
        self.w, self.b, self.dw, self.db, self.relu = w, b, dw, db, relu
        self.y, self.dz = np.empty((2, rows, len(b)), w.dtype)
        self.dx = np.empty((rows, len(w)), w.dtype)
        self.positive = np.empty(self.y.shape, bool)

    def forward(self, x: np.ndarray) -> np.ndarray:
        np.matmul(x, self.w, out=self.y)
        np.add(self.y, self.b, out=self.y)
        return np.maximum(self.y, 0, out=self.y) if self.relu else self.y

    def backward(self, dy: np.ndarray, x: np.ndarray, need_dx: bool = True) -> np.ndarray:
        dz = dy
        if self.relu:
            np.greater(self.y, 0, out=self.positive)
            dz = np.multiply(dy, self.positive, out=self.dz)
        np.matmul(x.T, dz, out=self.dw)
        np.sum(dz, axis=0, out=self.db)
        return np.matmul(dz, self.w.T, out=self.dx) if need_dx else self.dx


class Network:
    """Run dense layers with ReLU between them; without the gradient of the input.

    Parameters and gradients are views of two flat arrays, so that Adam is one pass over all.
    """

    def __init__(self, inputs: Arrays) -> None:
        given = [p for layer in network_layers(inputs) for p in layer]
        ends, last = np.cumsum([p.size for p in given])[:-1], len(given) - 2
        self.x, self.flat = inputs["x"], np.concatenate([p.ravel() for p in given])
        self.flat_gradient = np.empty_like(self.flat)
        self.parameters, self.gradients = (
            [part.reshape(p.shape) for part, p in zip(np.split(whole, ends), given, strict=True)]
            for whole in (self.flat, self.flat_gradient)
        )
        p, g = self.parameters, self.gradients
        self.layers = [
            Dense(len(self.x), *p[i : i + 2], *g[i : i + 2], relu=i < last)
            for i in range(0, len(given), 2)
        ]

    def forward(self) -> np.ndarray:
        y = self.x
        for layer in self.layers:
            y = layer.forward(y)
        return y

    def backward(self, dy: np.ndarray) -> None:
        for below, layer in zip(self.layers[-2::-1], self.layers[:0:-1], strict=True):
            dy = layer.backward(dy, below.y)
        self.layers[0].backward(dy, self.x, need_dx=False)


def linear(np: Any, x: Any, dy: Any, w1: Any, b1: Any) -> Call:
    layer = Dense(len(x), w1, b1, np.empty_like(w1), np.empty_like(b1), relu=True)
    return lambda: (layer.forward(x), layer.backward(dy, x), layer.dw, layer.db)


def mlp(np: Any, inputs: Arrays) -> Call:
    dy, network = inputs["dy"], Network(inputs)

    def call() -> tuple[Any, ...]:
        y = network.forward()
        network.backward(dy)
        return y, *network.gradients

    return call


def step(np: Any, inputs: Arrays) -> Call:
    network, targets = Network(inputs), inputs["targets"]
    adam = numpy_adam(np, network.flat, network.flat_gradient)
    dlogits = np.empty_like(network.layers[-1].y)

    def call() -> tuple[Any, ...]:
        loss = numpy_cross_entropy(network.forward(), targets, dlogits)
        network.backward(dlogits)
        adam()
        return loss, *network.gradients, *network.parameters

    return call


def forward(np: Any, inputs: Arrays) -> Call:
    network = Network(inputs)
    return lambda: (network.forward(),)
