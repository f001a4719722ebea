"""The networks in onnxruntime, JAX, scikit-learn and thinc."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..operations import ADAM, Arrays, Call
from . import network_layers

# onnxruntime: a graph with a product, a sum and ReLU for each layer, weights constant.


def _onnx_model(x: Any, layers: list[tuple[Any, Any]]) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, name = [], [], "x"

    def add(operator: str, *names: str) -> None:
        nonlocal name
        name = f"{operator}{len(nodes)}"
        nodes.append(helper.make_node(operator, names, [name]))

    for i, (w, b) in enumerate(layers):
        constants.append(numpy_helper.from_array(w, f"w{i}"))
        add("MatMul", name, f"w{i}")
        if b is not None:
            constants.append(numpy_helper.from_array(b, f"b{i}"))
            add("Add", name, f"b{i}")
        if i < len(layers) - 1:
            add("Relu", name)
    shapes = {"x": x.shape, name: (len(x), layers[-1][0].shape[1])}
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], constants)
    # the oldest versions with these operators: onnxruntime may lag behind onnx
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def session(onnxruntime: Any, x: Any, layers: list[tuple[Any, Any]], int8: bool = False) -> Call:
    """Run a session; int8 is onnxruntime's dynamic quantization of the same graph."""
    model = _onnx_model(x, layers)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 1))
    with tempfile.TemporaryDirectory(prefix="fastnn-bench-") as folder:
        given: Any = model.SerializeToString()
        if int8:
            from onnxruntime.quantization import quantize_dynamic

            given = str(Path(folder) / "int8.onnx")
            quantize_dynamic(model, given)
        found = onnxruntime.InferenceSession(given, options, ["CPUExecutionProvider"])
    feed, names = {"x": x}, [found.get_outputs()[0].name]
    return lambda: tuple(found.run(names, feed))


def onnxruntime_forward(onnxruntime: Any, inputs: Arrays, int8: bool = False) -> Call:
    return session(onnxruntime, inputs["x"], network_layers(inputs), int8)


# JAX: everything under ``jit``, the state of a step donated.


def _jax_network(jax: Any, inputs: Arrays) -> Any:
    jnp = jax.numpy

    def forward(layers: Any, x: Any) -> Any:
        for w, b in layers[:-1]:
            x = jnp.maximum(x @ w + b, 0)
        w, b = layers[-1]
        return x @ w + b

    return forward, [(jnp.array(w), jnp.array(b)) for w, b in network_layers(inputs)]


def jax_forward(jax: Any, x: Any, inputs: Arrays) -> Call:
    forward, layers = _jax_network(jax, inputs)
    compiled = jax.jit(forward)
    return lambda: (compiled(layers, x).block_until_ready(),)


def jax_step(jax: Any, x: Any, targets: Any, inputs: Arrays) -> Call:
    """Take a step as `optax.adam` does, with the state donated."""
    jnp, tree = jax.numpy, jax.tree_util.tree_map
    forward, layers = _jax_network(jax, inputs)
    (beta1, beta2), lr, eps = ADAM["betas"], ADAM["lr"], ADAM["eps"]

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

    state = (layers, tree(jnp.zeros_like, layers), tree(jnp.zeros_like, layers), jnp.float32(0))
    # compiled ahead of time, which saves the lookup in each call
    compiled = jax.jit(step, donate_argnums=0).lower(state).compile()
    flat = jax.tree_util.tree_leaves

    def call() -> tuple[Any, ...]:
        nonlocal state
        state, loss, g = compiled(state)
        loss.block_until_ready()
        return loss, *flat(g), *flat(state[0])

    return call


# scikit-learn: its networks with the case's weights.


def _hidden(layers: list[tuple[Any, Any]]) -> list[int]:
    return [len(b) for _, b in layers[:-1]]


def sklearn_forward(sklearn: Any, x: Any, inputs: Arrays) -> Call:
    layers = network_layers(inputs)
    model = sklearn.MLPRegressor(hidden_layer_sizes=_hidden(layers), random_state=0)
    model.partial_fit(x[:1], np.zeros((1, len(layers[-1][1])), x.dtype))
    model.coefs_, model.intercepts_ = ([*arrays] for arrays in zip(*layers, strict=True))
    return lambda: (model.predict(x),)


def sklearn_step(sklearn: Any, x: Any, targets: Any, inputs: Arrays) -> Call:
    """Take a step by ``partial_fit``, which does not give its gradients away: None."""
    layers, (beta1, beta2) = network_layers(inputs), ADAM["betas"]
    model = sklearn.MLPClassifier(
        hidden_layer_sizes=_hidden(layers),
        alpha=0.0,
        batch_size=len(x),
        learning_rate_init=ADAM["lr"],
        beta_1=beta1,
        beta_2=beta2,
        epsilon=ADAM["eps"] * (1 - beta2) ** 0.5,  # it adds eps before the bias correction
        shuffle=False,
    )
    model.partial_fit(x, targets, classes=np.arange(len(layers[-1][1])))
    for (w, b), coefs, intercepts in zip(layers, model.coefs_, model.intercepts_, strict=True):
        coefs[...], intercepts[...] = w, b
    del model._optimizer  # the next step begins with moments of zero
    unknown = [None] * 2 * len(layers)

    def call() -> tuple[Any, ...]:
        model.partial_fit(x, targets)
        pairs = zip(model.coefs_, model.intercepts_, strict=True)
        return model.loss_, *unknown, *[p for pair in pairs for p in pair]

    return call


def thinc_forward(ops: Any, x: Any, inputs: Arrays) -> Call:
    from thinc.api import Linear, Relu, chain

    layers = network_layers(inputs)
    kinds = [Relu] * (len(layers) - 1) + [Linear]
    parts = [kind(len(b), len(w)) for kind, (w, b) in zip(kinds, layers, strict=True)]
    model = chain(*parts) if len(parts) > 1 else parts[0]
    model.initialize(X=x)
    for part, (w, b) in zip(parts, layers, strict=True):
        part.set_param("W", np.ascontiguousarray(w.T))
        part.set_param("b", b)
    return lambda: (model.predict(x),)
