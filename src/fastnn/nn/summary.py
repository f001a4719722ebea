"""The layers of a model, and the cost of a pass through them."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import check_count, given
from .module import Module

Shape = tuple[int, ...]

# Objects that a context may refer to without being kept for backward.
_NOT_KEPT = (Module, type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, str, bytes)


@dataclass(frozen=True)
class LayerSummary:
    """One layer in a forward pass.

    Attributes
    ----------
    name : str
        Such as "0" or "encoder.1"; "" for the whole model.
    kind : str
        Name of the class.
    output_shape : tuple of int
    parameters : int
        Learned numbers in this layer; those shared with an earlier layer are counted there.
    flops : int or None
        Operations of the forward pass; None if the layer does not define them.
    activation_bytes : int
        Memory kept for the backward pass that no earlier layer already keeps.
    """

    name: str
    kind: str
    output_shape: Shape
    parameters: int
    flops: int | None
    activation_bytes: int


@dataclass(frozen=True)
class Summary:
    """The result of `Module.summary`; `print` shows it as a table.

    Attributes
    ----------
    layers : tuple of LayerSummary
        In the order in which they run. A layer that runs twice is listed twice.
    input_shape : tuple of int
    parameters : int
    flops : int
        Operations of the forward pass, of all layers that define them. Backward takes about twice
        as many.
    activation_bytes : int
        Memory kept from forward to backward, without input and parameters. It is measured on the
        model as it runs: layers that run in one call (see `lowering`) also keep the output of the
        last layer and the arguments of activations.
    """

    layers: tuple[LayerSummary, ...]
    input_shape: Shape
    parameters: int
    flops: int
    activation_bytes: int

    def __str__(self) -> str:
        head = ("layer", "", "output", "parameters", "FLOPs", "kept bytes")
        rows = [
            (
                layer.name,
                layer.kind,
                str(layer.output_shape),
                f"{layer.parameters:,}",
                "?" if layer.flops is None else f"{layer.flops:,}",
                f"{layer.activation_bytes:,}",
            )
            for layer in self.layers
        ]
        at_least = ">= " * any(layer.flops is None for layer in self.layers)
        total = (
            "total",
            "",
            "",
            f"{self.parameters:,}",
            f"{at_least}{self.flops:,}",
            f"{self.activation_bytes:,}",
        )
        widths = [max(map(len, column)) for column in zip(head, *rows, total, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines = [
            "  ".join(
                # align words left, numbers right
                cell.rjust(width) if i >= 3 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (head, *rows, total)
        ]
        lines = [f"input {self.input_shape}", lines[0], rule, *lines[1:-1], rule, lines[-1]]
        return "\n".join(lines)


def summarize(model: Module, input_shape: Shape, dtype: DTypeLike | None = None) -> Summary:
    """Run one copy of `model` on zeros, and another whose layers record what they do.

    See `Module.summary`.
    """
    if isinstance(input_shape, str) or not isinstance(input_shape, Iterable):
        raise TypeError(f"input_shape must be a tuple of int, got {given(input_shape)}")
    input_shape = tuple(check_count("input_shape", size, 0) for size in input_shape)
    x = model.example(input_shape, dtype)
    plain, model = copy.deepcopy(model), copy.deepcopy(model)
    n_bytes_in_all = sum(_Kept(plain, x).stretches_of(plain.forward(*x)[1]).values())
    kept = _Kept(model, x)
    layers: list[tuple[LayerSummary, set[int]]] = []  # each with the memory it added
    counted: set[int] = set()

    def watched(name: str, layer: Module) -> Callable[..., tuple[Any, Any]]:
        forward = layer.forward
        of_parts = {id(p) for part in layer.parts().values() for p in part.parameters()}

        def run(*inputs: Any, **options: Any) -> tuple[Any, Any]:
            y, ctx = forward(*inputs, **options)
            own = {id(p): p.data.size for p in layer.parameters() if id(p) not in of_parts}
            size = sum(n for key, n in own.items() if key not in counted)
            counted.update(own)
            flops = layer.flops(*[np.shape(each) for each in inputs if each is not None])
            added = kept.add(ctx)
            if not layer.parts() or size or flops:
                shape = np.shape(y[0] if isinstance(y, tuple) else y)
                kind = type(layer).__name__
                layers.append((LayerSummary(name, kind, shape, size, flops, 0), added))
            return y, ctx

        return run

    for name, layer in list(model.modules()):
        setattr(layer, "forward", watched(name, layer))  # noqa: B010 (mypy knows it as a method)
    # A layer may drop the context of a part; that memory is not kept.
    last = kept.stretches_of(model.forward(*x)[1])
    rows = tuple(
        replace(layer, activation_bytes=sum(n for start, n in last.items() if start in added))
        for layer, added in layers
    )
    return Summary(
        rows,
        tuple(x[0].shape),
        model.parameters().size,
        sum(row.flops or 0 for row in rows),
        n_bytes_in_all,
    )


class _Kept:
    """The memory that contexts keep alive, each block counted once, without model and x."""

    def __init__(self, model: Module, x: tuple[NDArray[Any], ...]) -> None:
        own = [array for p in model.parameters() for array in (p.data, p.grad)]
        self.without = {_owner(array)[0] for array in (*x, *own)}
        self.seen: set[int] = set()
        self.contexts: list[Any] = []  # kept alive, so that no address is reused

    def stretches_of(self, ctx: Any) -> dict[int, int]:
        """Return address -> bytes of the blocks that this context keeps alive."""
        owners = dict(_owner(array) for array in _arrays(ctx))
        return {start: n for start, n in owners.items() if start not in self.without}

    def add(self, ctx: Any) -> set[int]:
        """Return the addresses of the blocks that no earlier context kept alive."""
        self.contexts.append(ctx)
        new = self.stretches_of(ctx).keys() - self.seen
        self.seen |= new
        return new


def _owner(array: NDArray[Any]) -> tuple[int, int]:
    """Return address and bytes of the memory that an array or view keeps alive."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.__array_interface__["data"][0], array.nbytes


def _arrays(ctx: Any) -> Iterator[NDArray[Any]]:
    """Iterate over all arrays reachable from a context, through objects of any type."""
    waiting, seen = [ctx], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, _NOT_KEPT):
            continue
        seen.add(id(item))
        if isinstance(item, np.ndarray):
            yield item
        else:
            waiting.extend(gc.get_referents(item))
