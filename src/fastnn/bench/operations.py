"""What a case computes: random inputs, a float64 reference, its work and the machine's limit.

This module needs NumPy alone, so that a peer's own interpreter can check results without fastnn.
Arrays are named as in fastnn's API: ``x y dx dy``, weights (in, out), rows are examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Shape = tuple[int, ...]
# One call does the work once and returns the results that `Operation.reference` lists.
Call = Callable[[], tuple[Any, ...]]
Prepare = Callable[[Arrays], Call]
Inputs = Callable[[Shape, Any, np.random.Generator], Arrays]
# A number for each element of the case's shape, or a function of the shape.
Count = int | Callable[[Shape], int]

# Settings for all libraries. Adam's eps is larger than the usual 1e-8, so that a gradient of
# rounding errors moves no weight visibly; momentum makes SGD read and write its buffer.
ADAM: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6}
# Formats of packed weights in fastnn: the libraries fastnn_bf16 and so on.
FORMATS = ("bf16", "int8", "int8_g32")


def size(shape: Shape) -> int:
    return int(np.prod(shape))


def count(what: Count, shape: Shape) -> int:
    """Return what a `Count` amounts to for a shape."""
    return what(shape) if callable(what) else what * size(shape)


@dataclass(frozen=True)
class Operation:
    """One computation, independent of the library."""

    # inputs(shape, real, rng): fresh random arrays, never zeros
    inputs: Inputs
    # reference(**inputs): the results in float64, in the order the libraries return them
    reference: Callable[..., tuple[Any, ...]]
    # floating-point operations (an exponential counts as one); numbers read plus written at least
    flops: Count
    numbers: Count
    # the largest error of each result, in epsilons of the type times its largest magnitude
    tolerance: float | Callable[[Shape], float]
    # the machine limit to compare with: "fma", "read", "copy", or None
    limit: str | None = "copy"
    # numbers in the arrays, where updating in place makes these fewer than `numbers`
    held: Count | None = None
    # the shape of `out`, if it is not that of the first array
    out: Callable[[Arrays], Shape] | None = None


def normal(*names: str, **places: str) -> Inputs:
    """Return a function that draws standard normal inputs.

    ``normal("x", bias="1")`` draws x of the case's shape, and a bias with its second number.
    """

    def inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
        shapes = dict.fromkeys(names, shape)
        shapes |= {name: tuple(shape[int(i)] for i in at) for name, at in places.items()}
        return {name: rng.standard_normal(at, real) for name, at in shapes.items()}

    return inputs


# A row of a family's table PREPARE is a maker: ``make(library, *arrays)`` returns a `Call`. Its
# parameters name the inputs it takes (see `libraries.prepares`). Most are made by these three.


def plain(
    path: str, names: str, *more: Any, out: str = "out", pair: bool = False, **options: Any
) -> Callable[..., Call]:
    """Return a maker of ``library.PATH(*arrays, *more, **options, OUT=array)``.

    Without `out` the function returns new arrays; `pair` marks one that returns two results.
    """

    def make(library: Any, *arrays: Any) -> Call:
        function: Any = reduce(getattr, path.split("."), library)
        given = (*(arrays[:-1] if out else arrays), *more)
        named = {**options, out: arrays[-1]} if out else options
        if pair:
            return lambda: function(*given, **named)
        if named:
            return lambda: (function(*given, **named),)
        return lambda: (function(*given),)

    make.takes = [*names.split(), *["out"] * bool(out)]  # type: ignore[attr-defined]
    return make


def jit(function: str | Callable[..., Any], names: str, **options: Any) -> Callable[..., Call]:
    """Return a maker of a path in JAX, or of ``function(jax, *arrays)``, compiled."""

    def make(jax: Any, *arrays: Any) -> Call:
        if callable(function):
            compiled = jax.jit(lambda *given: function(jax, *given))
        else:
            plain_function: Any = reduce(getattr, function.split("."), jax)
            compiled = jax.jit(lambda *given: plain_function(*given, **options))
        return lambda: (compiled(*arrays).block_until_ready(),)

    make.takes = names.split()  # type: ignore[attr-defined]
    return make


def autograd(torch: Any, forward: Callable[[], Any], leaves: tuple[Any, ...], dy: Any) -> Call:
    """Return a call of PyTorch's forward and backward pass; the results are y and gradients."""
    for leaf in leaves:
        leaf.requires_grad_()

    def call() -> tuple[Any, ...]:
        y = forward()
        return y.detach(), *torch.autograd.grad(y, leaves, dy)

    return call
