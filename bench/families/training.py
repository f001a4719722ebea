"""Small networks: a training step with Adam, and the forward pass alone.

Shapes are (batch, in, hidden..., out). `operations` and `libraries` have the step (forward, cross
entropy, backward, Adam) in fastnn, NumPy and PyTorch; this module adds JAX and forward passes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..operations import (
    ADAM,
    Arrays,
    Operation,
    Shape,
    _mlp_forward,
    _network_inputs,
    _parameters,
    _sum_tolerance,
    network_layers,
)
from ..operations import (
    OPERATIONS as BASIC,
)


def _forward(x: np.ndarray, **parameters: np.ndarray) -> tuple[np.ndarray, ...]:
    return (_mlp_forward(x, parameters)[-1],)


def _forward_flops(shape: Shape) -> int:
    batch, *sizes = shape
    return 2 * batch * sum(n_in * n_out for n_in, n_out in pairwise(sizes))


def _forward_numbers(shape: Shape) -> int:
    return shape[0] * (shape[1] + shape[-1]) + _parameters(shape)


OPERATIONS = {
    "train_step": BASIC["train_step"],
    "forward": Operation(
        _network_inputs,
        _forward,
        _forward_flops,
        _forward_numbers,
        _forward_numbers,
        _sum_tolerance,
        "fma",
    ),
}

STEPS = [
    (128, 784, 256, 10),
    (256, 784, 256, 10),
    (256, 784, 1024, 1024, 10),
    (32, 64, 32, 10),
    (1, 17, 64, 64, 6),
    (64, 17, 64, 64, 6),
    # PyTorch on 16 CPUs takes nine times as long at width 46 as at 45 (pytorch/pytorch#144633)
    (128, 10, 45, 45, 10),
    (128, 10, 46, 46, 10),
]
PASSES = [
    (1, 17, 64, 64, 6),
    (1, 784, 256, 10),
    (256, 784, 256, 10),
    (1, 784, 1024, 1024, 10),
    (32, 784, 1024, 1024, 10),
    (256, 784, 1024, 1024, 10),
]
CASES = [("train_step", STEPS, ("float32",)), ("forward", PASSES, ("float32",))]


def _fastnn(inputs: Arrays) -> Any:
    from ..libraries.with_fastnn import _model

    x = inputs["x"]
    plan = _model(inputs).freeze(len(x))  # onnxruntime's session packs its weights, too
    return lambda: (plan(x),)


def _numpy(inputs: Arrays) -> Any:
    x, layers = inputs["x"], network_layers(inputs)
    outputs = [np.empty((len(x), len(b)), x.dtype) for _, b in layers]

    def call():
        h = x
        for (w, b), y in zip(layers, outputs, strict=True):
            np.matmul(h, w, out=y)
            np.add(y, b, out=y)
            if y is not outputs[-1]:
                np.maximum(y, 0, out=y)
            h = y
        return (h,)

    return call


def _torch(inputs: Arrays) -> Any:
    import torch

    from ..libraries.with_torch import _model

    model, x = _model(inputs), torch.from_numpy(inputs["x"])

    def call():
        with torch.inference_mode():
            return (model(x),)

    return call


def _onnxruntime(inputs: Arrays) -> Any:
    """Build a graph with one Gemm and one Relu per layer, constant weights, bound outputs."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    from ..libraries import with_onnxruntime

    layers, x = network_layers(inputs), inputs["x"]
    nodes, constants, name = [], [], "x"
    for i, (w, b) in enumerate(layers):
        constants += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        last = i == len(layers) - 1
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], ["y" if last else f"z{i}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"z{i}"], [f"h{i}"]))
            name = f"h{i}"
    shapes = {"x": list(x.shape), "y": [len(x), len(layers[-1][1])]}
    values = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()}
    graph = helper.make_graph(nodes, "mlp", [values["x"]], [values["y"]], constants)
    # the oldest versions with these operators: onnxruntime may lag behind onnx
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = with_onnxruntime.n_threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed, names = {"x": x}, ["y"]
    return lambda: tuple(session.run(names, feed))


def _jax_network(inputs: Arrays) -> Any:
    import jax.numpy as jnp

    def forward(layers: Any, x: Any) -> Any:
        for w, b in layers[:-1]:
            x = jnp.maximum(x @ w + b, 0)
        w, b = layers[-1]
        return x @ w + b

    layers = [(jnp.array(w), jnp.array(b)) for w, b in network_layers(inputs)]
    return forward, layers, jnp.asarray(inputs["x"])


def _jax(inputs: Arrays) -> Any:
    import jax

    forward, layers, x = _jax_network(inputs)
    compiled = jax.jit(forward)
    return lambda: (compiled(layers, x).block_until_ready(),)


def _jax_step(inputs: Arrays) -> Any:
    """Take a step as `optax.adam` does, with the state donated."""
    import jax
    import jax.numpy as jnp

    forward, layers, x = _jax_network(inputs)
    targets = jnp.asarray(inputs["targets"])
    (beta1, beta2), lr, eps = ADAM["betas"], ADAM["lr"], ADAM["eps"]
    tree = jax.tree_util.tree_map

    def loss_of(layers: Any) -> Any:
        logits = jax.nn.log_softmax(forward(layers, x))
        return -jnp.take_along_axis(logits, targets[:, None], axis=1).mean()

    def step(state: Any) -> Any:
        layers, m, v, t = state
        loss, g = jax.value_and_grad(loss_of)(layers)
        t = t + 1
        m = tree(lambda m, g: beta1 * m + (1 - beta1) * g, m, g)
        v = tree(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, g)
        scale, root = lr / (1 - beta1**t), jnp.sqrt(1 - beta2**t)
        layers = tree(lambda p, m, v: p - scale * m / (jnp.sqrt(v) / root + eps), layers, m, v)
        return (layers, m, v, t), loss, g

    zeros = tree(jnp.zeros_like, layers)
    state = (layers, zeros, tree(jnp.zeros_like, layers), jnp.float32(0))
    compiled = jax.jit(step, donate_argnums=0)
    # compiled ahead of time, which saves the lookup in each call
    compiled = compiled.lower(state).compile()
    flat = jax.tree_util.tree_leaves

    def call():
        nonlocal state
        state, loss, g = compiled(state)
        loss.block_until_ready()
        return loss, *flat(g), *flat(state[0])

    return call


PREPARE = {
    "fastnn": {"forward": _fastnn},
    "numpy": {"forward": _numpy},
    "torch": {"forward": _torch},
    "onnxruntime": {"forward": _onnxruntime},
    "jax": {"forward": _jax, "train_step": _jax_step},
}
