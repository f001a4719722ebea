"""The operations to compare: random inputs, float64 reference, work and limit.

This module needs NumPy alone, so that a library's own interpreter can check results without
fastnn. Arrays are named as in fastnn's API: ``x y dx dy``, weights (in, out), rows are examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Shape = tuple[int, ...]

# Settings for all libraries. Adam's eps is larger than the usual 1e-8, so that a gradient of
# rounding errors moves no weight visibly; momentum makes SGD read and write its buffer.
ADAM: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6}
ADAMW_DECAY = 1e-2
SGD: dict[str, Any] = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}


@dataclass(frozen=True)
class Operation:
    """One computation, independent of the library.

    Attributes
    ----------
    inputs : callable
        ``inputs(shape, real, rng)``: fresh random arrays, never zeros.
    reference : callable
        ``reference(**inputs)``: the results in float64, in the order the libraries return them.
    flops, numbers, held : callable
        Of the shape: floating-point operations (an exponential counts as one), numbers read plus
        numbers written at the least, and numbers in the arrays, where updating in place makes
        these fewer.
    tolerance : callable
        Of the shape: the largest error allowed of each result, in units of the type's epsilon
        times the result's largest magnitude.
    limit : str or None
        The machine limit to compare with: "fma", "read", "copy", or None.
    """

    inputs: Callable[[Shape, Any, np.random.Generator], Arrays]
    reference: Callable[..., tuple[np.ndarray, ...]]
    flops: Callable[[Shape], int]
    numbers: Callable[[Shape], int]
    held: Callable[[Shape], int]
    tolerance: Callable[[Shape], float]
    limit: str | None


def normal(*names: str) -> Callable[[Shape, Any, np.random.Generator], Arrays]:
    """Return standard normal inputs of the case's shape."""

    def inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
        return {name: rng.standard_normal(shape, real) for name in names}

    return inputs


def size(shape: Shape) -> int:
    return int(np.prod(shape))


# Matrix products; shape = (m, k, n).


def _product_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    m, k, n = shape
    return {"a": rng.standard_normal((m, k), real), "b": rng.standard_normal((k, n), real)}


def _dense_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {**_product_inputs(shape, real, rng), "bias": rng.standard_normal(shape[2], real)}


def _product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
    return (a @ b,)


def _dense(a: np.ndarray, b: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, ...]:
    return (np.maximum(a @ b + bias, 0),)


def _product_flops(shape: Shape) -> int:
    m, k, n = shape
    return 2 * m * k * n


def _product_numbers(shape: Shape) -> int:
    m, k, n = shape
    return m * k + k * n + m * n


def _product_tolerance(shape: Shape) -> float:
    """Return the tolerance of a sum of k terms, whose errors grow like a random walk."""
    return 4 * float(np.sqrt(shape[1]))


# Rows and elements; shape = (rows, columns).


def _norm(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return (np.sqrt(np.sum(x * x)),)


def _relu(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return (np.maximum(x, 0),)


def _relu_backward(dy: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    return (np.where(y > 0, dy, 0),)


def _softmax(x: np.ndarray) -> tuple[np.ndarray, ...]:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True),)


def _softmax_backward_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    x, dy = rng.standard_normal((2, *shape))
    return {"dy": dy.astype(real), "y": _softmax(x)[0].astype(real)}


def _softmax_backward(dy: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    return (y * (dy - (dy * y).sum(axis=1, keepdims=True)),)


def _cross_entropy_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    rows, classes = shape
    return {
        "logits": rng.standard_normal(shape, real),
        "targets": rng.integers(0, classes, rows),
    }


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, ...]:
    rows = np.arange(len(logits))
    (y,) = _softmax(logits)
    loss = -np.log(y[rows, targets]).mean()
    y[rows, targets] -= 1
    return loss, y / len(logits)


# Optimizers; shape = (parameters,). The first step, from a state of zeros.


def _adam_step(p: np.ndarray, g: np.ndarray, decay: float = 0.0) -> tuple[np.ndarray, ...]:
    beta1, beta2 = ADAM["betas"]
    m, v = (1 - beta1) * g, (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1), v / (1 - beta2)
    p = p * (1 - ADAM["lr"] * decay) - ADAM["lr"] * m_hat / (np.sqrt(v_hat) + ADAM["eps"])
    return p, m, v


def _adamw(p: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, ...]:
    return _adam_step(p, g, ADAMW_DECAY)


def _sgd(p: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, ...]:
    m = g + SGD["weight_decay"] * p
    return p - SGD["lr"] * m, m


# Dense layers; shape = (batch, in, hidden..., out), parameters w1, b1, w2, b2, ...


def _network_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
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
    return {**_network_inputs(shape, real, rng), "dy": dy}


def network_layers(inputs: Arrays) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weights and biases of each layer from the inputs of a case."""
    n_layers = sum(name.startswith("w") for name in inputs)
    return [(inputs[f"w{i}"], inputs[f"b{i}"]) for i in range(1, n_layers + 1)]


def _linear(x: np.ndarray, dy: np.ndarray, w1: np.ndarray, b1: np.ndarray) -> tuple[Any, ...]:
    """Return the outputs of relu(x W + b) and the gradients of x, W and b."""
    y = np.maximum(x @ w1 + b1, 0)
    dz = np.where(y > 0, dy, 0)
    return y, dz @ w1.T, x.T @ dz, dz.sum(axis=0)


def _mlp_forward(x: np.ndarray, parameters: Arrays) -> list[np.ndarray]:
    """Return the input of each layer, with ReLU between them, and the last output."""
    *hidden, (w, b) = network_layers(parameters)
    inputs = [x]
    for w_hidden, b_hidden in hidden:
        inputs.append(np.maximum(inputs[-1] @ w_hidden + b_hidden, 0))
    return [*inputs, inputs[-1] @ w + b]


def _mlp(x: np.ndarray, dy: np.ndarray, **parameters: np.ndarray) -> tuple[Any, ...]:
    """Return the outputs and the gradients of each layer's weights and biases."""
    *inputs, y = _mlp_forward(x, parameters)
    grads: tuple[np.ndarray, ...] = ()
    dz = dy
    for h, (w, _) in zip(reversed(inputs), reversed(network_layers(parameters)), strict=True):
        grads = (h.T @ dz, dz.sum(axis=0), *grads)
        dz = np.where(h > 0, dz @ w.T, 0)
    return y, *grads


def _linear_flops(shape: Shape) -> int:
    """Count products only: forward, weight gradient, input gradient."""
    return 6 * size(shape)


def _mlp_flops(shape: Shape) -> int:
    """Count products only: forward, weight gradients, input gradients of all but one layer."""
    batch, *sizes = shape
    products = [n_in * n_out for n_in, n_out in pairwise(sizes)]
    return 2 * batch * (3 * sum(products) - products[0])


def _parameters(shape: Shape) -> int:
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(shape[1:]))


def _passes_numbers(shape: Shape) -> int:
    """Count the batch, its gradients, the outputs, each parameter and its gradient."""
    return 2 * shape[0] * (shape[1] + shape[-1]) + 2 * _parameters(shape)


def _sum_tolerance(shape: Shape) -> float:
    """Return `_product_tolerance` of the longest sum."""
    return 4 * float(np.sqrt(max(shape)))


# One training step of an MLP: forward, cross entropy, backward, Adam.


def _step_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {
        **_network_inputs(shape, real, rng),
        "targets": rng.integers(0, shape[-1], shape[0]),
    }


def _mlp_step(x: np.ndarray, targets: np.ndarray, **parameters: np.ndarray) -> tuple[Any, ...]:
    """Return the loss, the gradients and the parameters after the step."""
    loss, dlogits = _cross_entropy(_mlp_forward(x, parameters)[-1], targets)
    _, *grads = _mlp(x, dlogits, **parameters)
    flat = [p for layer in network_layers(parameters) for p in layer]
    return loss, *grads, *[_adam_step(p, g)[0] for p, g in zip(flat, grads, strict=True)]


def _step_held(shape: Shape) -> int:
    return shape[0] * shape[1] + 4 * _parameters(shape)


def _step_numbers(shape: Shape) -> int:
    """Count the batch, and each parameter, gradient and two moments, read and written."""
    return 2 * _step_held(shape) - shape[0] * shape[1]


def rows(
    names: tuple[str, ...],
    reference: Callable[..., tuple[np.ndarray, ...]],
    flops: int,
    numbers: int,
    tolerance: float,
    limit: str | None = "copy",
    inputs: Callable[[Shape, Any, np.random.Generator], Arrays] | None = None,
    held: int | None = None,
) -> Operation:
    """Return an operation with constant flops and numbers per element of its shape."""
    arrays = numbers if held is None else held
    return Operation(
        inputs=inputs or normal(*names),
        reference=reference,
        flops=lambda shape: flops * size(shape),
        numbers=lambda shape: numbers * size(shape),
        held=lambda shape: arrays * size(shape),
        tolerance=lambda shape: tolerance,
        limit=limit,
    )


_MATMUL = (_product_flops, _product_numbers, _product_numbers, _product_tolerance)
# Largest errors seen, in units of the tolerance: softmax and cross entropy 1.3, optimizers 1,
# products and layers 12, float32 norms summed in float32 5,400, training steps 83. ReLU is exact.
OPERATIONS = {
    "matmul": Operation(_product_inputs, _product, *_MATMUL, "fma"),
    "matmul_prepacked": Operation(_product_inputs, _product, *_MATMUL, "fma"),
    "matmul_bias_relu": Operation(_dense_inputs, _dense, *_MATMUL, "fma"),
    "frobenius_norm": rows(("x",), _norm, 2, 1, 10_000, "read"),
    "relu": rows(("x",), _relu, 1, 2, 0),
    "relu_backward": rows(("dy", "y"), _relu_backward, 1, 3, 0),
    "softmax": rows((), _softmax, 5, 2, 20, inputs=normal("x")),
    "softmax_backward": rows((), _softmax_backward, 4, 3, 20, inputs=_softmax_backward_inputs),
    "cross_entropy": rows((), _cross_entropy, 6, 2, 20, inputs=_cross_entropy_inputs),
    "adamw": rows(("p", "g"), _adamw, 14, 7, 10, held=4),
    "sgd": rows(("p", "g"), _sgd, 6, 5, 10, held=3),
    "linear": Operation(
        _passes_inputs,
        _linear,
        _linear_flops,
        _passes_numbers,
        _passes_numbers,
        _sum_tolerance,
        "fma",
    ),
    "mlp": Operation(
        _passes_inputs, _mlp, _mlp_flops, _passes_numbers, _passes_numbers, _sum_tolerance, "fma"
    ),
    "train_step": Operation(
        _step_inputs, _mlp_step, _mlp_flops, _step_numbers, _step_held, lambda shape: 1000, "fma"
    ),
    "call_relu": rows(("x",), _relu, 1, 2, 0, limit=None),
    "call_matmul": Operation(_product_inputs, _product, *_MATMUL, None),
}
