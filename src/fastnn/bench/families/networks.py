"""Small networks: a layer and an MLP forward and backward, a training step, a forward pass.

Shapes are (batch, in, hidden..., out), parameters w1, b1, w2, b2, ...; a training step is forward,
cross entropy, backward and Adam. The peers' implementations are in the package `networks`.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..networks import network_layers, with_numpy, with_others, with_torch
from ..operations import ADAM, Arrays, Call, Operation, Shape
from ..reference import Tensor, adam, cross_entropy, gradients, relu


def _inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Return a batch and the parameters of every layer.

    Pixels are sixteenths, weights 1/256ths and biases odd multiples of half the step between two
    sums of products. The pre-activations of the first two layers are exact in float32 and never
    zero, so that rounding cannot move a unit across ReLU's kink in one library alone.
    """
    batch, *sizes = shape
    arrays = {"x": (rng.integers(0, 17, (batch, sizes[0])) / 16).astype(real)}
    step = 1 / 16
    for i, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        step /= 512
        odd = 2 * rng.integers(-int(0.025 / step), int(0.025 / step), n_out) + 1
        arrays[f"w{i}"] = (rng.integers(-24, 25, (n_in, n_out)) / 256).astype(real)
        arrays[f"b{i}"] = (odd * step).astype(real)
    return arrays


def _passes_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Return the network and the gradient of its outputs."""
    dy = rng.standard_normal((shape[0], shape[-1]), real)
    return {**_inputs(shape, real, rng), "dy": dy}


def _step_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {**_inputs(shape, real, rng), "targets": rng.integers(0, shape[-1], shape[0])}


def _network(x: np.ndarray, parameters: dict[str, Tensor]) -> Tensor:
    """Return the outputs of linear layers with ReLU between them."""
    *hidden, (w, b) = network_layers(parameters)
    y = Tensor(x)
    for w_hidden, b_hidden in hidden:
        y = relu(y @ w_hidden + b_hidden)
    return y @ w + b


def _forward(x: np.ndarray, **parameters: np.ndarray) -> tuple[Any, ...]:
    return (_network(x, {n: Tensor(p) for n, p in parameters.items()}).value,)


def _mlp(x: np.ndarray, dy: np.ndarray, **parameters: np.ndarray) -> tuple[Any, ...]:
    """Return the outputs and the gradients of each layer's weights and biases."""
    leaves = {name: Tensor(p) for name, p in parameters.items()}
    y = _network(x, leaves)
    y.backward(dy)
    return y.value, *(leaf.grad for leaf in leaves.values())


def _train_step(x: np.ndarray, targets: np.ndarray, **parameters: np.ndarray) -> tuple[Any, ...]:
    """Return the loss, the gradients and the parameters after the step."""
    loss, dlogits = cross_entropy(*_forward(x, **parameters), targets)
    _, *grads = _mlp(x, dlogits, **parameters)
    return loss, *grads, *[adam(p, g)[0] for p, g in zip(parameters.values(), grads, strict=True)]


def _products(shape: Shape) -> list[int]:
    return [n_in * n_out for n_in, n_out in pairwise(shape[1:])]


def _passes_flops(shape: Shape) -> int:
    """Count products only: forward, weight gradients, input gradients of all but one layer."""
    return 2 * shape[0] * (3 * sum(_products(shape)) - _products(shape)[0])


def _parameters(shape: Shape) -> int:
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(shape[1:]))


def _passes_numbers(shape: Shape) -> int:
    """Count the batch, its gradients, the outputs, each parameter and its gradient."""
    return 2 * shape[0] * (shape[1] + shape[-1]) + 2 * _parameters(shape)


def _step_held(shape: Shape) -> int:
    return shape[0] * shape[1] + 4 * _parameters(shape)


def _step_numbers(shape: Shape) -> int:
    """Count the batch, and each parameter, gradient and two moments, read and written."""
    return 2 * _step_held(shape) - shape[0] * shape[1]


def _forward_numbers(shape: Shape) -> int:
    return shape[0] * (shape[1] + shape[-1]) + _parameters(shape)


def _tolerance(shape: Shape) -> float:
    """Return the tolerance of the longest sum, whose errors grow like a random walk."""
    return 4 * float(np.sqrt(max(shape)))


_LINEAR = gradients(lambda x, w1, b1: relu(x @ w1 + b1), "x w1 b1")
# Largest errors seen: layers 12, training steps 83.
OPERATIONS = {
    "linear": Operation(_passes_inputs, _LINEAR, 6, _passes_numbers, _tolerance, "fma"),
    "mlp": Operation(_passes_inputs, _mlp, _passes_flops, _passes_numbers, _tolerance, "fma"),
    "train_step": Operation(
        _step_inputs, _train_step, _passes_flops, _step_numbers, 1000, "fma", _step_held
    ),
    "forward": Operation(
        _inputs,
        _forward,
        lambda shape: 2 * shape[0] * sum(_products(shape)),
        _forward_numbers,
        _tolerance,
        "fma",
    ),
}
STEPS = [
    (128, 784, 256, 10),
    (64, 17, 64, 64, 6),
    (256, 784, 1024, 1024, 10),
    (256, 784, 256, 10),
    (32, 64, 32, 10),
    (1, 17, 64, 64, 6),
    # PyTorch on 16 CPUs takes nine times as long at width 46 as at 45 (pytorch/pytorch#144633)
    (128, 10, 45, 45, 10),
    (128, 10, 46, 46, 10),
]
PASSES = [
    (1, 17, 64, 64, 6),
    (256, 784, 256, 10),
    (32, 784, 1024, 1024, 10),
    (1, 784, 256, 10),
    (1, 784, 1024, 1024, 10),
    (256, 784, 1024, 1024, 10),
]
CASES = [
    ("quick", "train_step", STEPS[:2]),
    ("quick", "forward", PASSES[:2]),
    ("default", "train_step", STEPS[:3]),
    ("default", "forward", PASSES[:3]),
    ("default", "linear", [(128, 784, 256)]),
    ("default", "mlp", [(128, 10, 46, 46, 10)]),
    ("full", "train_step", STEPS),
    ("full", "forward", PASSES),
    ("full", "linear", [(256, 1024, 1024)]),
    ("full", "mlp", [(128, 10, width, width, 10) for width in (44, 45, 46, 47, 48)]),
]


def _model(inputs: Arrays) -> Any:
    from fastnn import nn

    values = [value for layer in network_layers(inputs) for value in layer]
    model = nn.MLP((len(values[0]), *map(len, values[1::2])), dtype=inputs["x"].dtype)
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.data[...] = value
    return model


def _linear(kernels: Any, x: Any, dy: Any, w1: Any, b1: Any) -> Call:
    """Run the layer as in a training step, including clearing the gradients."""
    from fastnn import nn

    layer = nn.Linear(*w1.shape, activation="relu", dtype=x.dtype)
    layer.weight.data[...], layer.bias.data[...] = w1, b1

    def call() -> tuple[Any, ...]:
        layer.zero_grad()
        y, ctx = layer.forward(x)
        dx = layer.backward(dy, ctx)
        return y, dx, layer.weight.grad, layer.bias.grad

    return call


def _mlp_passes(kernels: Any, x: Any, dy: Any, inputs: Arrays) -> Call:
    model = _model(inputs)
    grads = [p.grad for p in model.parameters()]

    def call() -> tuple[Any, ...]:
        model.zero_grad()
        y, ctx = model.forward(x)
        model.backward(dy, ctx, need_dx=False)
        return y, *grads

    return call


def _step(kernels: Any, x: Any, targets: Any, inputs: Arrays) -> Call:
    from fastnn import nn, optim

    model = _model(inputs)
    parameters = list(model.parameters())
    optimizer = optim.Adam(model.parameters(), **ADAM)

    def call() -> tuple[Any, ...]:
        optimizer.zero_grad()
        logits, ctx = model.forward(x)
        loss, dlogits = nn.cross_entropy(logits, targets)
        model.backward(dlogits, ctx, need_dx=False)
        optimizer.step()
        return loss, *[p.grad for p in parameters], *[p.data for p in parameters]

    return call


def _plan(kernels: Any, x: Any, inputs: Arrays) -> Call:
    plan = _model(inputs).freeze(len(x))  # onnxruntime's session packs its weights, too
    return lambda: (plan(x),)


def _all(linear: Any, mlp: Any, step: Any, forward: Any) -> dict[str, Any]:
    return {"linear": linear, "mlp": mlp, "train_step": step, "forward": forward}


PREPARE: dict[str, dict[str, Any]] = {
    "fastnn": _all(_linear, _mlp_passes, _step, _plan),
    "numpy": _all(with_numpy.linear, with_numpy.mlp, with_numpy.step, with_numpy.forward),
    "torch": _all(with_torch.linear, with_torch.mlp, with_torch.step, with_torch.forward),
    "torch_compile": {
        "train_step": partial(with_torch.step, compiled=True),
        "forward": partial(with_torch.forward, compiled=True),
    },
    "torch_bf16": {"forward": partial(with_torch.forward, bf16=True)},
    "jax": {"forward": with_others.jax_forward, "train_step": with_others.jax_step},
    "onnxruntime": {"forward": with_others.onnxruntime_forward},
    "onnxruntime_int8": {"forward": partial(with_others.onnxruntime_forward, int8=True)},
    "sklearn": {"forward": with_others.sklearn_forward, "train_step": with_others.sklearn_step},
    "thinc": {"forward": with_others.thinc_forward},
}
