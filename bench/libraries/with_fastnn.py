"""fastnn: the kernels as functions on arrays, and the training step through its layers."""

from __future__ import annotations

from itertools import count

import numpy as np

import fastnn
from fastnn import kernels, nn, optim
from fastnn.kernels.ground import memory

from ..operations import ADAM, ADAMW_DECAY, SGD, Arrays, network_layers
from . import Call

VERSION = f"fastnn {fastnn.__version__}"
ISA = fastnn.build_info()["isa"]
threads = fastnn.num_threads


def _matmul(inputs: Arrays) -> Call:
    a, b = inputs["a"], inputs["b"]
    y = memory.empty((a.shape[0], b.shape[1]), a.dtype)
    return lambda: (kernels.matmul(a, b, out=y),)


def _matmul_prepacked(inputs: Arrays) -> Call:
    a, b = inputs["a"], fastnn.pack(inputs["b"])
    y = memory.empty((len(a), inputs["b"].shape[1]), a.dtype)
    return lambda: (kernels.matmul(a, b, out=y),)


def _matmul_bias_relu(inputs: Arrays) -> Call:
    a, b, bias = inputs["a"], inputs["b"], inputs["bias"]
    y = memory.empty((a.shape[0], b.shape[1]), a.dtype)
    return lambda: (kernels.matmul(a, b, bias=bias, activation="relu", out=y),)


def _frobenius_norm(inputs: Arrays) -> Call:
    x = inputs["x"]
    return lambda: (kernels.frobenius_norm(x),)


def _relu(inputs: Arrays) -> Call:
    x = inputs["x"]
    y = memory.empty(x.shape, x.dtype)
    return lambda: (kernels.relu(x, out=y),)


def _relu_backward(inputs: Arrays) -> Call:
    dy, y = inputs["dy"], inputs["y"]
    dx = memory.empty(dy.shape, dy.dtype)
    return lambda: (kernels.relu_backward(dy, y, out=dx),)


def _softmax(inputs: Arrays) -> Call:
    x = inputs["x"]
    y = memory.empty(x.shape, x.dtype)
    return lambda: (kernels.softmax(x, out=y),)


def _softmax_backward(inputs: Arrays) -> Call:
    dy, y = inputs["dy"], inputs["y"]
    dx = memory.empty(dy.shape, dy.dtype)
    return lambda: (kernels.softmax_backward(dy, y, out=dx),)


def _cross_entropy(inputs: Arrays) -> Call:
    logits, targets = inputs["logits"], inputs["targets"]
    dlogits = memory.empty(logits.shape, logits.dtype)
    return lambda: kernels.cross_entropy(logits, targets, dlogits=dlogits)


def _adamw(inputs: Arrays) -> Call:
    p, g = inputs["p"], inputs["g"]
    m, v = np.zeros_like(p), np.zeros_like(p)
    beta1, beta2 = ADAM["betas"]
    rates = {"lr": ADAM["lr"], "beta1": beta1, "beta2": beta2, "eps": ADAM["eps"]}
    steps = count(1)

    def call():
        kernels.adamw_update(p, g, m, v, step=next(steps), weight_decay=ADAMW_DECAY, **rates)
        return p, m, v

    return call


def _sgd(inputs: Arrays) -> Call:
    p, g = inputs["p"], inputs["g"]
    m = np.zeros_like(p)

    def call():
        kernels.sgd_update(p, g, m, **SGD)
        return p, m

    return call


def _linear(inputs: Arrays) -> Call:
    """Run the layer as in a training step, including clearing the gradients."""
    x, dy, w, b = (inputs[name] for name in ("x", "dy", "w1", "b1"))
    layer = nn.Linear(*w.shape, activation="relu", dtype=x.dtype)
    layer.weight.data[...], layer.bias.data[...] = w, b

    def call():
        layer.zero_grad()
        y, ctx = layer.forward(x)
        dx = layer.backward(dy, ctx)
        return y, dx, layer.weight.grad, layer.bias.grad

    return call


def _model(inputs: Arrays) -> nn.MLP:
    layers = network_layers(inputs)
    sizes = (len(layers[0][0]), *[len(b) for _, b in layers])
    model = nn.MLP(sizes, dtype=inputs["x"].dtype)
    values = [value for layer in layers for value in layer]
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.data[...] = value
    return model


def _mlp(inputs: Arrays) -> Call:
    x, dy = inputs["x"], inputs["dy"]
    model = _model(inputs)
    parameters = list(model.parameters())

    def call():
        model.zero_grad()
        y, ctx = model.forward(x)
        model.backward(dy, ctx, need_dx=False)
        return y, *[p.grad for p in parameters]

    return call


def _train_step(inputs: Arrays) -> Call:
    x, targets = inputs["x"], inputs["targets"]
    model = _model(inputs)
    parameters = list(model.parameters())
    optimizer = optim.Adam(model.parameters(), **ADAM)

    def call():
        optimizer.zero_grad()
        logits, ctx = model.forward(x)
        loss, dlogits = nn.cross_entropy(logits, targets)
        model.backward(dlogits, ctx, need_dx=False)
        optimizer.step()
        return loss, *[p.grad for p in parameters], *[p.data for p in parameters]

    return call


def _call_relu(inputs: Arrays) -> Call:
    """Run the call as users write it, including allocation of the result."""
    x = inputs["x"]
    return lambda: (kernels.relu(x),)


def _call_matmul(inputs: Arrays) -> Call:
    a, b = inputs["a"], inputs["b"]
    return lambda: (kernels.matmul(a, b),)


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
    "linear": _linear,
    "mlp": _mlp,
    "train_step": _train_step,
    "call_relu": _call_relu,
    "call_matmul": _call_matmul,
}
if hasattr(fastnn, "pack"):
    PREPARE["matmul_prepacked"] = _matmul_prepacked
