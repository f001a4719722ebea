"""Lowering: turn layers into programs, lists of operations that run in one call.

Every layer adds its operations in `lower`. `freeze` builds a plan from them, with copies of the
weights; a `Lowered` builds a program on the layers' own arrays, which is valid until a layer
changes.
"""

from __future__ import annotations

from typing import Any

from .. import kernels, watch
from ..checks import check_count
from ..kernels import NotLowerable
from .module import Module


class Builder(kernels.Builder):
    """The argument of `Module.lower`: `kernels.Builder` with `lower` for the parts of a layer."""

    def lower(self, layer: Module, *values: int | None, **options: Any) -> Any:
        """Add the operations of a layer by calling its `lower`, and return the result.

        Raises
        ------
        NotLowerable
            The layer has no `lower`, or its `forward` or `__call__` was overridden or replaced, so
            that `lower` no longer matches.
        """
        kind = type(layer)
        if self.by_rows:  # for a model that may still change
            object.__setattr__(layer, "_is_watched", True)
        if (kind.forward, kind.__call__) != kind._lowered_as or "forward" in vars(layer):
            raise NotLowerable(
                f"{kind.__name__} has no `lower` that goes with its `forward` and `__call__`, so "
                "it cannot be part of a plan"
            )
        return layer.lower(self, *values, **options)


def freeze(model: Module, batch_max: int = 1024, *, max_len: int = 1024) -> kernels.Plan:
    """Return a plan that computes what the model computes now.

    Weights are copied and packed once, so the plan is faster than the model on small batches and
    never changes. Any number of threads may call one plan, from Python or by its address from C,
    C++, Cython, numba and ctypes, without the GIL (docs/embedding.md).

    Parameters
    ----------
    model : Module
        Any of fastnn's layers, and models built from them; your own layers need `lower`.
    batch_max : int
        Largest expected number of rows in a call; more are processed in parts.
    max_len : int
        Largest number of positions of a sequence, if there is attention.

    Returns
    -------
    kernels.Plan
        ``plan(x)`` equals ``model(x)`` up to rounding.

    Raises
    ------
    TypeError
        A layer has no `lower`, or a number is not an integer.
    ValueError
        Sizes of layers do not fit, no layer determines the number of input columns, or a number is
        below 1.
    """
    batch_max = check_count("batch_max", batch_max)
    builder = Builder(check_count("max_len", max_len))
    builder.lower(model)
    return kernels.Plan(builder, batch_max)


class Lowered:
    """The program of a container's layers, built on first use and rebuilt after a change.

    Parameters
    ----------
    model : Module
        Has ``layers``, which run in order.
    """

    __slots__ = ("_made", "_model")

    def __init__(self, model: Any) -> None:
        self._model = model
        self._made: tuple[object, kernels.Program | None] | None = None

    def program(self) -> kernels.Program | None:
        """Return the program that runs the layers in one call; None if they must run one by one."""
        made = self._made
        if made is None or made[0] is not watch.version:
            # read the version before the layers: a change in between invalidates the program
            version = watch.version
            self._made = made = version, self._new_program()
        return made[1]

    def _new_program(self) -> kernels.Program | None:
        builder = Builder(by_rows=True)
        try:
            object.__setattr__(self._model, "_is_watched", True)
            for layer in self._model.layers:
                builder.lower(layer)
            return kernels.Program(builder)
        except (NotLowerable, ValueError):
            return None  # if sizes do not fit, the layers raise at the first call

    def __reduce__(self) -> tuple[Any, ...]:
        # a copied model builds its own program
        return Lowered, (self._model,)
