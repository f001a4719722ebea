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

# Settings for all libraries. Adam's eps is larger than the usual 1e-8, so that a gradient of
# rounding errors moves no weight visibly; momentum makes SGD read and write its buffer.
ADAM: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6}


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
    reference: Callable[..., tuple[Any, ...]]
    flops: Callable[[Shape], int]
    numbers: Callable[[Shape], int]
    held: Callable[[Shape], int]
    tolerance: Callable[[Shape], float]
    limit: str | None


def normal(*names: str) -> Callable[[Shape, Any, np.random.Generator], Arrays]:
    """Return a function that draws standard normal inputs of the case's shape."""

    def inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
        return {name: rng.standard_normal(shape, real) for name in names}

    return inputs


def size(shape: Shape) -> int:
    return int(np.prod(shape))


def rows(
    names: tuple[str, ...],
    reference: Callable[..., tuple[Any, ...]],
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


# Most kernels are one function of arrays with `out=`; these four make `Prepare` of such a function.


def ours(name: str, *arrays: str, out: str = "out", **options: Any) -> Prepare:
    """Prepare ``fastnn.kernels.NAME(*arrays, out=...)``; without `out` it returns results."""

    def prepare(inputs: Arrays) -> Call:
        from fastnn import kernels
        from fastnn.kernels.ground import memory

        function, given = getattr(kernels, name), [inputs[array] for array in arrays]
        more = dict(options)
        if out:
            more[out] = memory.empty(given[0].shape, given[0].dtype)
        if out in ("", "out"):
            return lambda: (function(*given, **more),)
        return lambda: function(*given, **more)  # a loss and the gradient in `out`

    return prepare


def numpy_out(function: Callable[..., Any], *arrays: str) -> Prepare:
    """Prepare ``function(*arrays, out=...)`` of NumPy or SciPy."""

    def prepare(inputs: Arrays) -> Call:
        given = [inputs[array] for array in arrays]
        y = np.empty_like(given[0])
        return lambda: (function(*given, out=y),)

    return prepare


def tensors(inputs: Arrays, *names: str) -> list[Any]:
    """Return named inputs as tensors that share memory and strides."""
    import torch

    return [torch.from_numpy(inputs[name]) for name in names]


def torch_out(
    path: str, *arrays: str, more: tuple[Any, ...] = (), out: str = "out", **options: Any
) -> Prepare:
    """Prepare ``torch.PATH(*arrays, *more, out=...)``."""

    def prepare(inputs: Arrays) -> Call:
        import torch

        function: Any = reduce(getattr, path.split("."), torch)
        given = [*tensors(inputs, *arrays), *more]
        target = {out: torch.empty_like(given[0])} if out else {}
        return lambda: (function(*given, **options, **target),)

    return prepare


def jax_jit(make: Callable[[Any], Callable[..., Any]], *arrays: str) -> Prepare:
    """Prepare the jitted function that `make(jax)` returns."""

    def prepare(inputs: Arrays) -> Call:
        import jax

        given = [jax.numpy.asarray(inputs[array]) for array in arrays]
        compiled: Any = jax.jit(make(jax))
        return lambda: (compiled(*given).block_until_ready(),)

    return prepare
