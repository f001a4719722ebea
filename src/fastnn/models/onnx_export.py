"""Write models as ONNX: the operations of their lowering become nodes of a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..checks import check_choice, check_count, given
from ..files.atomic import PathLike, write_atomically
from ..kernels.program.builder import array_of
from ..kernels.program.operations import Operation
from ..keywords import explained
from ..nn.lowering import Builder

OPSET = 17  # the first with LayerNormalization
IR_VERSION = 8  # of onnx 1.12, the first with that opset
BASE = 10000.0  # of rotary positions, as in `kernels.rotary`


@explained
def to_onnx(model: nn.Module, path: PathLike | None = None, *, max_len: int | None = None) -> Any:
    """Return a model as an ONNX graph, and write it to a file.

    Axes of the batch and of sequences have any length. The input "x" is (batch, columns), (batch,
    length, columns) or, for a model with an embedding, ids (batch, length); the output is "y". A
    Seq2SeqTransformer has the inputs "src", "tgt" and "src_lengths", a TransformerEncoderModel "x"
    and "lengths". A TransformerLM gives the logits of every position.

    Parameters
    ----------
    model : Module
        Whatever can be frozen: layers of fastnn, and your own with `lower`.
    path : path-like, optional
        Usually ends in ".onnx". Written atomically.
    max_len : int, optional
        Largest number of positions of a model with attention; by default its own, else 1024.

    Returns
    -------
    onnx.ModelProto
        Checked by the `onnx` package; opset 17.

    Raises
    ------
    TypeError
        A layer has no `lower`, so it cannot be exported.
    ModuleNotFoundError
        onnx is not installed: pip install 'fastnn-cpu[onnx]'.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> from fastnn import models, nn
    >>> models.to_onnx(nn.MLP((4, 3, 2), rng=0), "mlp.onnx")  # doctest: +SKIP
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"to_onnx: model must be an nn.Module, got {given(model)}")
    onnx = _onnx()
    graph = Graph(onnx, model.parameters().dtype if model.parameters().size else np.float32)
    own = getattr(model, "max_len", 1024)
    room = own if max_len is None else min(own, check_count("max_len", max_len))
    if hasattr(model, "_lower_encoder"):
        _add_both_sides(graph, model, room)
    elif hasattr(model, "_lower_ids"):
        _add_encoder(graph, model, room)
    else:
        _add_one_side(graph, model, room)
    made = graph.finish(type(model).__name__)
    if path is not None:
        write_atomically(path, made.SerializeToString())
    return made


def _onnx() -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("ONNX needs onnx: pip install 'fastnn-cpu[onnx]'") from error
    return onnx


def _add_one_side(graph: Graph, model: Any, room: int) -> None:
    builder = Builder(room)
    if hasattr(model, "_lower_hidden"):  # `lower` would give the last position alone
        model._lower_hidden(builder)
        builder.dense(model._head())
    else:
        builder.lower(model)
    operations, _, _ = builder.build(fuse=False)
    kinds = {op.kind for op in operations}
    if "embed" in kinds:
        axes: list[Any] = ["batch", "length"]
        x = graph.input("x", axes, np.dtype(np.int64))
    else:
        sequences = bool(kinds & {"attention", "positions", "cross"})
        axes = ["batch", *["length"] * sequences]
        x = graph.input("x", [*axes, operations[0].n_in], graph.dtype)
    graph.output(graph.run(operations, x, builder.value), [*axes, builder.width()])


def _add_both_sides(graph: Graph, model: Any, room: int) -> None:
    whole = np.dtype(np.int64)
    src, tgt = (graph.input(name, ["batch", f"{name}_length"], whole) for name in ("src", "tgt"))
    lengths = graph.input("src_lengths", ["batch"], whole)
    encoder, decoder = Builder(room), Builder(room)
    model._lower_encoder(encoder)
    model._lower_hidden(decoder)
    decoder.dense(model._head())
    graph.hide(src, lengths)
    memory = graph.run(encoder.build(fuse=False)[0], src, encoder.value)
    graph.memory = memory
    y = graph.run(decoder.build(fuse=False)[0], tgt, decoder.value)
    graph.output(y, ["batch", "tgt_length", decoder.width()])


def _add_encoder(graph: Graph, model: Any, room: int) -> None:
    x = graph.input("x", ["batch", "length"], np.dtype(np.int64))
    graph.hide(x, graph.input("lengths", ["batch"], np.dtype(np.int64)))
    builder = Builder(room)
    model._lower_ids(builder)
    y = graph.run(builder.build(fuse=False)[0], x, builder.value)
    graph.output(y, ["batch", "length", builder.width()])


class Graph:
    """An ONNX graph under construction; values are names.

    Attributes
    ----------
    mask : str or None
        Keys that count, (batch, 1, 1, 1, length) of bool, for the attention over `src`.
    memory : str or None
        What cross-attention attends to; while it is None, `mask` holds for self-attention.
    """

    def __init__(self, onnx: Any, dtype: Any) -> None:
        self.onnx, self.dtype = onnx, np.dtype(dtype)
        self.inputs: list[Any] = []
        self.nodes: list[Any] = []
        self.weights: dict[int, tuple[str, Any]] = {}  # id -> name and what holds the array
        self.initializers: list[Any] = []
        self.mask: str | None = None
        self.memory: str | None = None

    def hide(self, ids: str, lengths: str) -> None:
        """Let attention see so many keys of each row of ids, from the first."""
        kept = self.node("Less", self.range(ids), self.node("Unsqueeze", lengths, self.ints(1)))
        self.mask = self.node("Unsqueeze", kept, self.ints(1, 2, 3))

    def input(self, name: str, axes: list[Any], dtype: np.dtype[Any]) -> str:
        """Add an input and return its name."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(dtype)
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, kind, axes))
        return name

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node and return the name of its output, or a list of several."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def array(self, values: NDArray[Any], name: str | None = None) -> str:
        """Add an array and return its name."""
        name = name or f"c{len(self.initializers)}"
        made = self.onnx.numpy_helper.from_array(np.ascontiguousarray(values), name)
        self.initializers.append(made)
        return name

    def ints(self, *values: int) -> str:
        """Add a vector of integers."""
        return self.array(np.array(values, np.int64))

    def real(self, value: float) -> str:
        """Add a number."""
        return self.array(np.array(value, self.dtype))

    def weight(self, weight: Any) -> str:
        """Add an array of a layer, once even if several layers share it."""
        if id(weight) not in self.weights:
            self.weights[id(weight)] = self.array(np.asarray(array_of(weight))), weight
        return self.weights[id(weight)][0]

    def range(self, x: str) -> str:
        """Return the positions 0, 1, ... of x (batch, length, ...)."""
        length = self.node("Gather", self.node("Shape", x), self.ints(1))
        zero, one = self.array(np.array(0)), self.array(np.array(1))
        return cast(str, self.node("Range", zero, self.node("Squeeze", length), one))

    def run(self, operations: list[Operation], x: str, final: int) -> str:
        """Add the operations on the input x; return the name of the value `final`."""
        self.values = {0: x}
        for op in operations:
            function: Callable[[Operation, str], str] | None = getattr(self, f"_{op.kind}", None)
            if function is None:
                raise TypeError(f"to_onnx: there is no ONNX form of the operation {op.kind!r}")
            self.values[op.y] = function(op, self.values[op.x])
        return self.values[final]

    def output(self, y: str, axes: list[Any]) -> None:
        """Make y the output of the graph, under the name "y"."""
        helper = self.onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        self.nodes.append(helper.make_node("Identity", [y], ["y"]))
        self.outputs = [helper.make_tensor_value_info("y", kind, axes)]

    def finish(self, name: str) -> Any:
        """Return the checked model."""
        onnx = self.onnx
        graph = onnx.helper.make_graph(
            self.nodes, name, self.inputs, self.outputs, initializer=self.initializers
        )
        opset = [onnx.helper.make_opsetid("", OPSET)]
        made = onnx.helper.make_model(
            graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="fastnn"
        )
        onnx.checker.check_model(made)
        return onnx.shape_inference.infer_shapes(made)

    # One method per kind of operation: its nodes, and the name of the result.

    def _copy(self, op: Operation, x: str) -> str:
        return x

    def _dense(self, op: Operation, x: str) -> str:
        y: str = self.node("MatMul", x, self.weight(op.weight))
        if op.bias is not None:
            y = self.node("Add", y, self.weight(op.bias))
        return y if op.activation is None else self._act(op.activation, y)

    def _activation(self, op: Operation, x: str) -> str:
        return self._act(cast(str, op.activation), x)

    def _act(self, name: str, x: str) -> str:
        simple = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus"}
        if name in simple:
            return cast(str, self.node(simple[name], x))
        if name == "silu":
            return cast(str, self.node("Mul", x, self.node("Sigmoid", x)))
        check_choice("activation", name, (*simple, "silu", "gelu", "gelu_tanh"))
        if name == "gelu":
            inner = self.node("Erf", self.node("Mul", x, self.real(0.5**0.5)))
        else:
            small = self.node("Mul", x, self.real(0.044715))
            cubed = self.node("Mul", self.node("Mul", x, x), small)
            inner = self.node("Mul", self.node("Add", x, cubed), self.real((2 / np.pi) ** 0.5))
            inner = self.node("Tanh", inner)
        half = self.node("Mul", x, self.real(0.5))
        return cast(str, self.node("Mul", half, self.node("Add", inner, self.real(1.0))))

    def _softmax(self, op: Operation, x: str) -> str:
        return cast(str, self.node("Softmax", x, axis=-1))

    def _log_softmax(self, op: Operation, x: str) -> str:
        return cast(str, self.node("LogSoftmax", x, axis=-1))

    def _prelu(self, op: Operation, x: str) -> str:
        slopes = np.asarray(array_of(op.weight), self.dtype).reshape(-1)
        return cast(str, self.node("PRelu", x, self.array(slopes)))

    def _add(self, op: Operation, x: str) -> str:
        return cast(str, self.node("Add", x, self.values[cast(int, op.residual)]))

    def _norm(self, op: Operation, x: str) -> str:
        if op.residual is not None:
            x = self._add(op, x)
            if op.h is not None:
                self.values[op.h] = x
        width = cast(int, op.n_in)
        weight = self.array(np.ones(width, self.dtype)) if op.weight is None else None
        weight = weight or self.weight(op.weight)
        if not op.flag:
            bias = [] if op.bias is None else [self.weight(op.bias)]
            inputs = [x, weight, *bias]
            y = self.node("LayerNormalization", *inputs, axis=-1, epsilon=op.factor)
            return cast(str, y)
        square = self.node("ReduceMean", self.node("Mul", x, x), axes=[-1], keepdims=1)
        root = self.node("Sqrt", self.node("Add", square, self.real(op.factor)))
        return cast(str, self.node("Mul", self.node("Div", x, root), weight))

    def _embed(self, op: Operation, x: str) -> str:
        y: str = self.node("Gather", self.weight(op.weight), x)
        return y if op.factor == 1 else cast(str, self.node("Mul", y, self.real(op.factor)))

    def _positions(self, op: Operation, x: str) -> str:
        return cast(str, self.node("Add", x, self._rows(self.weight(op.weight), x)))

    def _rows(self, table: str, x: str) -> str:
        """Return the rows of a table for the positions of x."""
        length = self.node("Gather", self.node("Shape", x), self.ints(1))
        return cast(str, self.node("Slice", table, self.ints(0), length, self.ints(0)))

    def _attention(self, op: Operation, x: str) -> str:
        if op.window or op.rates is not None or op.bias is not None:
            raise TypeError("to_onnx: windows, biases and rotary settings have no ONNX form")
        size = cast(int, op.n_out) // op.heads
        widths = self.ints(size * op.heads, size * op.kv_heads, size * op.kv_heads)
        q, k, v = self.node("Split", x, widths, outputs=3, axis=-1)
        heads = [self._heads(part, op.kv_heads, size) for part in (q, k, v)]
        if op.rotary:
            heads[:2] = [self._rotated(part, x, size) for part in heads[:2]]
        mask = self.mask if self.memory is None else None
        if op.flag:
            at = self.range(x)
            keys, queries = (self.node("Unsqueeze", at, self.ints(axis)) for axis in (0, 1))
            mask = self.node("LessOrEqual", keys, queries)
        return self._attend(heads, mask, size, cast(int, op.n_out))

    def _cross(self, op: Operation, x: str) -> str:
        size = cast(int, op.n_out) // op.heads
        memory: str = self.node("MatMul", cast(str, self.memory), self.weight(op.weight))
        if op.bias is not None:
            memory = self.node("Add", memory, self.weight(op.bias))
        k, v = self.node("Split", memory, self.ints(*[size * op.kv_heads] * 2), outputs=2, axis=-1)
        heads = [self._heads(part, op.kv_heads, size) for part in (x, k, v)]
        return self._attend(heads, self.mask, size, cast(int, op.n_out))

    def _heads(self, x: str, kv_heads: int, size: int) -> str:
        """Return x (B, T, columns) as (B, kv_heads, heads of each, T, size)."""
        split = self.node("Reshape", x, self.ints(0, 0, kv_heads, -1, size))
        return cast(str, self.node("Transpose", split, perm=[0, 2, 3, 1, 4]))

    def _rotated(self, x: str, like: str, size: int) -> str:
        """Return vectors rotated by their positions, pair i by position * BASE^(-2i/size)."""
        length = self.node("Cast", self.range(like), to=1)
        rates = self.array((BASE ** (-2 * np.arange(size // 2) / size)).astype(np.float32))
        angles = self.node("Mul", self.node("Unsqueeze", length, self.ints(1)), rates)
        to = self.onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        cos, sin = (self.node("Cast", self.node(f, angles), to=to) for f in ("Cos", "Sin"))
        a, b = self.node("Split", x, self.ints(size // 2, size // 2), outputs=2, axis=-1)
        first = self.node("Sub", self.node("Mul", a, cos), self.node("Mul", b, sin))
        second = self.node("Add", self.node("Mul", b, cos), self.node("Mul", a, sin))
        return cast(str, self.node("Concat", first, second, axis=-1))

    def _attend(self, heads: list[str], mask: str | None, size: int, width: int) -> str:
        """Return softmax(q k^T / sqrt(size)) v for heads q, k and v, as (B, T, width)."""
        q, k, v = heads
        turned = self.node("Transpose", k, perm=[0, 1, 2, 4, 3])
        scores = self.node("Mul", self.node("MatMul", q, turned), self.real(size**-0.5))
        if mask is not None:
            scores = self.node("Where", mask, scores, self.real(-np.inf))
        mixed = self.node("MatMul", self.node("Softmax", scores, axis=-1), v)
        back = self.node("Transpose", mixed, perm=[0, 3, 1, 2, 4])
        return cast(str, self.node("Reshape", back, self.ints(0, 0, width)))
