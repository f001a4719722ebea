"""The networks in onnxruntime, JAX, scikit-learn and thinc."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..operations import ADAM, Arrays, Call
from .layers import network_layers

# onnxruntime: a graph with a product, a sum and ReLU for each layer, weights constant.


def _onnx_model(inputs: Arrays) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    layers, x = network_layers(inputs), inputs["x"]
    nodes, constants, name = [], [], "x"
    for i, (w, b) in enumerate(layers):
        constants += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        last = i == len(layers) - 1
        nodes.append(helper.make_node("MatMul", [name, f"w{i}"], [f"p{i}"]))
        nodes.append(helper.make_node("Add", [f"p{i}", f"b{i}"], ["y" if last else f"z{i}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"z{i}"], [f"h{i}"]))
            name = f"h{i}"
    shapes = {"x": list(x.shape), "y": [len(x), len(layers[-1][1])]}
    values = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()}
    graph = helper.make_graph(nodes, "mlp", [values["x"]], [values["y"]], constants)
    # the oldest versions with these operators: onnxruntime may lag behind onnx
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def onnxruntime_forward(inputs: Arrays, int8: bool = False) -> Call:
    """Run a session; int8 is onnxruntime's dynamic quantization of the same graph."""
    import onnxruntime

    from ..libraries import onnxruntime_threads

    model = _onnx_model(inputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = onnxruntime_threads()
    with tempfile.TemporaryDirectory(prefix="fastnn-bench-") as folder:
        given: Any = model.SerializeToString()
        if int8:
            from onnxruntime.quantization import quantize_dynamic

            given = str(Path(folder) / "int8.onnx")
            quantize_dynamic(model, given)
        session = onnxruntime.InferenceSession(given, options, ["CPUExecutionProvider"])
    feed, names = {"x": inputs["x"]}, ["y"]
    return lambda: tuple(session.run(names, feed))


# JAX: everything under ``jit``, the state of a step donated.


def _jax_network(inputs: Arrays) -> Any:
    import jax.numpy as jnp

    def forward(layers: Any, x: Any) -> Any:
        for w, b in layers[:-1]:
            x = jnp.maximum(x @ w + b, 0)
        w, b = layers[-1]
        return x @ w + b

    layers = [(jnp.array(w), jnp.array(b)) for w, b in network_layers(inputs)]
    return forward, layers, jnp.asarray(inputs["x"])


def jax_forward(inputs: Arrays) -> Call:
    import jax

    forward, layers, x = _jax_network(inputs)
    compiled = jax.jit(forward)
    return lambda: (compiled(layers, x).block_until_ready(),)


def jax_step(inputs: Arrays) -> Call:
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


def sklearn_forward(inputs: Arrays) -> Call:
    from sklearn.neural_network import MLPRegressor

    x, layers = inputs["x"], network_layers(inputs)
    model = MLPRegressor(hidden_layer_sizes=[len(b) for _, b in layers[:-1]], random_state=0)
    model.partial_fit(x[:1], np.zeros((1, len(layers[-1][1])), x.dtype))
    model.coefs_, model.intercepts_ = ([*arrays] for arrays in zip(*layers, strict=True))
    return lambda: (model.predict(x),)


def sklearn_step(inputs: Arrays) -> Call:
    """Take a step by ``partial_fit``, which does not give its gradients away: None."""
    from sklearn.neural_network import MLPClassifier

    x, targets, layers = inputs["x"], inputs["targets"], network_layers(inputs)
    (beta1, beta2), classes = ADAM["betas"], np.arange(len(layers[-1][1]))
    model = MLPClassifier(
        hidden_layer_sizes=[len(b) for _, b in layers[:-1]],
        alpha=0.0,
        batch_size=len(x),
        learning_rate_init=ADAM["lr"],
        beta_1=beta1,
        beta_2=beta2,
        epsilon=ADAM["eps"] * (1 - beta2) ** 0.5,  # it adds eps before the bias correction
        shuffle=False,
    )
    model.partial_fit(x, targets, classes=classes)
    for (w, b), coefs, intercepts in zip(layers, model.coefs_, model.intercepts_, strict=True):
        coefs[...], intercepts[...] = w, b
    del model._optimizer  # the next step begins with moments of zero
    unknown = [None] * 2 * len(layers)

    def call() -> tuple[Any, ...]:
        model.partial_fit(x, targets)
        pairs = zip(model.coefs_, model.intercepts_, strict=True)
        return model.loss_, *unknown, *[p for pair in pairs for p in pair]

    return call


def thinc_forward(inputs: Arrays) -> Call:
    from thinc.api import Linear, Relu, chain

    x, layers = inputs["x"], network_layers(inputs)
    kinds = [Relu] * (len(layers) - 1) + [Linear]
    parts = [kind(len(b), len(w)) for kind, (w, b) in zip(kinds, layers, strict=True)]
    model = chain(*parts) if len(parts) > 1 else parts[0]
    model.initialize(X=x)
    for part, (w, b) in zip(parts, layers, strict=True):
        part.set_param("W", np.ascontiguousarray(w.T))
        part.set_param("b", b)
    return lambda: (model.predict(x),)
