"""From layers to programs: what a model is made of, as operations that run in one call.

Every layer says in `lower` what operations it is made of. `freeze` makes a plan of them, with
copies of the weights; a `Lowered` makes a program on the layers' own arrays, for as long as nothing
that the layers said has changed.
"""

from __future__ import annotations

from typing import Any

from .. import kernels, watch
from ..checks import check_count
from ..kernels import NotLowerable
from .module import Module


class Builder(kernels.Builder):
    """What `Module.lower` writes to: `kernels.Builder`, and `lower` for the parts of a layer."""

    def __init__(self, max_len: int = 1024, *, by_rows: bool = False) -> None:
        super().__init__(max_len, by_rows=by_rows)

    def lower(self, layer: Module, *values: int | None, **options: Any) -> Any:
        """Add the operations of a layer to those so far, by its own `lower`, and return its result.

        Raises
        ------
        NotLowerable
            The layer has no `lower`, or its `forward` or `__call__` is another than that which
            `lower` was written for: in a subclass, or replaced.
        """
        kind = type(layer)
        if self.by_rows:  # it is for a model that goes on changing
            object.__setattr__(layer, "_is_watched", True)
        if (kind.forward, kind.__call__) != kind._lowered_as or "forward" in vars(layer):
            raise NotLowerable(
                f"{kind.__name__} has no `lower` that goes with its `forward` and `__call__`, so "
                "it cannot be part of a plan"
            )
        return layer.lower(self, *values, **options)


def freeze(model: Module, batch_max: int = 1024, *, max_len: int = 1024) -> kernels.Plan:
    """A plan that computes what the model computes now.

    Weights are copied and laid out once for products, so the plan is quicker than the model for
    small batches and never changes. Any number of threads may call one plan, from Python or by its
    address from C, C++, Cython, numba and ctypes, without the GIL (docs/embedding.md).

    Parameters
    ----------
    model : Module
        Any of fastnn's layers, and models made of them; a layer of your own needs `lower`.
    batch_max : int
        Rows that a call is expected to bring at most; more are taken in parts.
    max_len : int
        Positions of a sequence at most, where there is attention.

    Returns
    -------
    kernels.Plan
        ``plan(x)`` equals ``model(x)`` to within rounding.

    Raises
    ------
    TypeError
        A layer has no `lower`, or a number is no integer.
    ValueError
        Sizes of layers do not fit, no layer says how many columns come in, or a number is below 1.
    """
    batch_max = check_count("batch_max", batch_max)
    builder = Builder(check_count("max_len", max_len))
    builder.lower(model)
    return kernels.Plan(builder, batch_max)


class Lowered:
    """The program of a container's layers: made when it is first needed, and after a change.

    Parameters
    ----------
    model : Module
        With ``layers``, that run one after the other.
    """

    __slots__ = ("_made", "_model")

    def __init__(self, model: Any) -> None:
        self._model = model
        self._made: tuple[object, kernels.Program | None] | None = None

    def program(self) -> kernels.Program | None:
        """What runs the layers in one call, or None if its layers have to run one by one."""
        made = self._made
        if made is None or made[0] is not watch.version:
            # the version from before the layers are read: a change meanwhile makes it out of date
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
            return None  # where sizes do not fit, the layers themselves say so at the first call

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy of a model makes a program of its own
        return Lowered, (self._model,)
