"""Measure the cost of calls from C: table against direct calls, a small plan against peers.

    python -m bench.embedding

Builds the C extension of tests/capi and takes the minimum of many rounds. onnxruntime and PyTorch
are measured through their Python APIs if they are installed, beside fastnn's Python API.
"""

import importlib.util
import tempfile
import timeit
from pathlib import Path

import numpy as np

import fastnn

SIZES = (17, 64, 64, 6)
CALLS, REPEATS = 20_000, 30


def least(function, calls=CALLS // 10):
    """Return the seconds of one call."""
    return min(timeit.repeat(function, number=calls, repeat=REPEATS)) / calls


def callers(folder):
    """Build the extension module of tests/capi/callers.c."""
    from tests.capi.conftest import HERE, build

    path = build(Path(folder), "callers", HERE / "callers.c")
    spec = importlib.util.spec_from_file_location("callers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def onnxruntime_calls(model, x):
    """Time the network in onnxruntime on one thread, by `run` and with bound arrays.

    Its wheels lack the header of the C API. Bound arrays come nearest, since a call converts and
    allocates nothing. The result is empty without onnxruntime.
    """
    if not all(map(importlib.util.find_spec, ("onnxruntime", "onnx"))):
        return {}
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, name = [], [], "x"
    for i, layer in enumerate(model):
        for part, value in (("w", layer.weight.data), ("b", layer.bias.data)):
            weights.append(numpy_helper.from_array(value, f"{part}{i}"))
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"z{i}"]))
        name = f"z{i}"
        if layer.activation:
            nodes.append(helper.make_node("Relu", [name], [f"y{i}"]))
            name = f"y{i}"
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, width])
        for n, width in (("x", SIZES[0]), (name, SIZES[-1]))
    ]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(session.run(None, {"x": x})[0], model(x), rtol=1e-4, atol=1e-5)
    y = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((len(x), SIZES[-1]), np.float32))
    bound = session.io_binding()
    bound.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
    bound.bind_ortvalue_output(name, y)
    session.run_with_iobinding(bound)
    np.testing.assert_allclose(y.numpy(), model(x), rtol=1e-4, atol=1e-5)
    return {
        "onnxruntime": lambda: session.run(None, {"x": x}),
        "onnxruntime bound": lambda: session.run_with_iobinding(bound),
    }


def torch_calls(model, x):
    """Time the network in PyTorch on one thread; empty without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch

    torch.set_num_threads(1)
    layers = []
    for layer in model:
        made = torch.nn.Linear(*layer.weight.data.shape)
        made.weight.data = torch.from_numpy(layer.weight.data.T.copy())
        made.bias.data = torch.from_numpy(layer.bias.data.copy())
        layers += [made, torch.nn.ReLU()] if layer.activation else [made]
    network, given = torch.nn.Sequential(*layers).eval(), torch.from_numpy(x)

    def call():
        with torch.inference_mode():
            return network(given)

    np.testing.assert_allclose(call().numpy(), model(x), rtol=1e-4, atol=1e-5)
    return {"PyTorch": call}


def main():
    fastnn.set_num_threads(1)
    model = fastnn.nn.MLP(SIZES, rng=0)
    plan = model.freeze(64)
    with tempfile.TemporaryDirectory() as folder:
        module = callers(folder)
        by_table, by_pointer, _ = module.time_calls(plan, 1, CALLS, REPEATS)
        print(
            f"softmax of 1 element: {by_table * 1e9:.1f} ns through the table, "
            f"{by_pointer * 1e9:.1f} ns by a pointer: {(by_table - by_pointer) * 1e9:+.1f} ns"
        )
        print(f"{'-'.join(map(str, SIZES))}, us a call")
        for rows in (1, 8, 64):
            x = np.random.default_rng(0).standard_normal((rows, SIZES[0])).astype(np.float32)
            in_c = module.time_calls(plan, rows, CALLS // 10, REPEATS)[2]
            times = {"plan in C": in_c, "plan(x)": least(lambda x=x: plan(x))}
            times["model(x)"] = least(lambda x=x: model(x))
            for name, call in {**onnxruntime_calls(model, x), **torch_calls(model, x)}.items():
                times[name] = least(call, CALLS // 100)
            print(f"  batch {rows:2d}", *(f"{n} {t * 1e6:.2f}" for n, t in times.items()), sep="  ")


if __name__ == "__main__":
    main()
