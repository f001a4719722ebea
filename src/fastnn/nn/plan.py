"""Layers in a row that can run in one call: small networks spend more time in Python than in work.

A `Sequential` of `Linear` and activation layers (and of such containers) has a plan: a
`kernels.DenseStack` of the same kernels on the same arrays, so results are the same bits as layer by
layer. Any other layer in it, or an input that is no (rows, features), and the layers run one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from .. import kernels
from ..parameters import _Block
from .activation import GELU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from .linear import Linear
from .module import Module

_ACTIVATIONS = {
    ReLU: "relu",
    Tanh: "tanh",
    Sigmoid: "sigmoid",
    SiLU: "silu",
    Softplus: "softplus",
}
# A longer one gains nothing from a plan, and has to be cut.
MOST_LAYERS = 64


class Plan:
    """The stack of some layers, made when it is first needed, and anew when parameters moved.

    Parameters
    ----------
    layers : sequence of Module
    """

    __slots__ = ("_blocks", "_layers", "_made", "_stack")

    def __init__(self, layers: Sequence[Module]) -> None:
        self._layers = layers
        self._forget()

    def _forget(self) -> None:
        self._made = False
        self._blocks: tuple[_Block, ...] = ()
        self._stack: kernels.DenseStack | None = None

    def stack(self) -> kernels.DenseStack | None:
        """What runs the layers, or None if they have to run one by one."""
        if self._made:
            for block in self._blocks:
                if block.moved:
                    break
            else:
                return self._stack
        self._forget()
        steps = _steps(self._layers)
        if steps is not None:
            blocks = [p._block for layer in steps for p in layer._named.values()]
            self._blocks = tuple({id(block): block for block in blocks}.values())
            self._stack = kernels.DenseStack([_step(layer) for layer in steps])
        self._made = True
        return self._stack

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy of a model makes a plan of its own
        return Plan, (self._layers,)


def _steps(layers: Sequence[Module]) -> list[Module] | None:
    """The layers in a row, those of containers among them; None if one of them has no place in it."""
    steps = list(_flat(layers))
    known = all(_is_step(layer) for layer in steps)
    fits = known and len(steps) <= MOST_LAYERS and isinstance(steps[0], Linear)
    if not fits or not _sizes_fit([layer for layer in steps if isinstance(layer, Linear)]):
        return None
    return steps


def _flat(layers: Sequence[Module]) -> Iterator[Module]:
    from .container import MLP, Sequential  # which need this module

    for layer in layers:
        if type(layer) in (MLP, Sequential):  # not of a subclass, which may do something else
            yield from _flat(layer.layers)  # type: ignore[attr-defined]
        else:
            yield layer


def _is_step(layer: Module) -> bool:
    # a layer whose forward was replaced (`summary` does it) wants to be called
    kinds = (Linear, GELU, *_ACTIVATIONS)
    return type(layer) in kinds and "forward" not in vars(layer)


def _sizes_fit(layers: list[Linear]) -> bool:
    """Otherwise the layers themselves say at the first call what does not fit."""
    widths = [(layer.in_features, layer.out_features) for layer in layers]
    return all(before[1] == after[0] for before, after in pairwise(widths))


def _step(layer: Module) -> tuple[Any, ...]:
    """A layer as `DenseStack` takes it."""
    if isinstance(layer, Linear):
        w, b = layer.weight, layer.bias
        bias = (None, None) if b is None else (b.data, b.grad)
        return w.data, bias[0], w.grad, bias[1], layer.activation
    if isinstance(layer, GELU):
        return ("gelu" if layer.approximate is None else "gelu_tanh",)
    return (_ACTIVATIONS[type(layer)],)  # type: ignore[index]
