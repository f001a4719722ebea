"""Lowering: turn layers into programs, lists of operations that run in one call.

Every layer adds its operations in `lower`. `freeze` builds a plan from them, with copies of the
weights; a `Lowered` or `LoweredModel` builds a program on the layers' own arrays, which is valid
until a layer changes.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .. import kernels, watch
from ..checks import check_count
from ..kernels import NotLowerable
from ..keywords import explained
from .module import Module
from .randomness import inference

# Positions of the first program of a model; tables of positions are short at first.
FIRST_ROOM = 1024
_growing = threading.Lock()


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
        self.watch(layer)
        return layer.lower(self, *values, **options)

    def watch(self, layer: Module) -> None:
        """Rebuild programs when this layer changes; raise NotLowerable as `lower` does."""
        kind = type(layer)
        object.__setattr__(layer, "_is_watched", True)
        if vars(layer).get("adapter") is not None:
            raise NotLowerable("a layer has a LoRA branch: merge() it before freezing")
        if (kind.forward, kind.__call__) != kind._lowered_as or "forward" in vars(layer):
            raise NotLowerable(
                f"{kind.__name__} has no `lower` that goes with its `forward` and `__call__`, so "
                "it cannot be part of a plan"
            )


@explained
def freeze(
    model: Module, batch_max: int = 1024, *, max_len: int = 1024, weights: str | None = None
) -> kernels.Plan:
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
    weights : str, optional
        "bf16", "int8" or "int8_g32" stores the weights of products in 16 or 8 bits, for a model of
        float32: see `kernels.pack` and docs/low-precision.md.

    Returns
    -------
    kernels.Plan
        Without `weights`, ``plan(x)`` equals ``model(x)`` up to rounding.

    Raises
    ------
    TypeError
        A layer has no `lower`, a number is not an integer, or `weights` are asked of float64.
    ValueError
        Sizes of layers do not fit, no layer determines the number of input columns, `weights` is
        unknown, or a number is below 1.

    Examples
    --------
    >>> model = nn.MLP((3, 4, 2), rng=0)
    >>> plan = nn.freeze(model)
    >>> x = np.ones((5, 3), np.float32)
    >>> np.array_equal(plan(x), model(x))
    True
    """
    batch_max = check_count("batch_max", batch_max)
    builder = Builder(check_count("max_len", max_len), weights=weights)
    builder.lower(model)
    return kernels.Plan(builder, batch_max)


P = TypeVar("P")


class _Program(Generic[P]):
    """A program of a model, built on first use and rebuilt after a change.

    Parameters
    ----------
    model : Module
    part : str
        Name of its method that adds the operations to a builder.
    """

    __slots__ = ("_made", "_model", "_part")

    def __init__(self, model: Any, part: str = "lower") -> None:
        self._model, self._part = model, part
        self._made: tuple[object, P | None] | None = None

    def program(self) -> P | None:
        """Return the program that runs the layers in one call; None if they must run one by one."""
        made = self._made
        if made is None or made[0] is not watch.version:
            # read the version before the layers: a change in between invalidates the program
            version = watch.version
            program: P | None
            try:
                program = self._new_program()
            except (NotLowerable, ValueError):
                program = None  # if sizes do not fit, the layers raise at the first call
            self._made = made = version, program
        return made[1]

    @abstractmethod
    def _new_program(self) -> P:
        """Lower the model."""

    def _fill(self, builder: Builder) -> Builder:
        object.__setattr__(self._model, "_is_watched", True)
        getattr(self._model, self._part)(builder)
        return builder

    def __reduce__(self) -> tuple[Any, ...]:
        # a copied model builds its own program
        return type(self), (self._model, self._part)


class Lowered(_Program[kernels.Program]):
    """The program of a container's layers, for rows."""

    __slots__ = ()

    def _new_program(self) -> kernels.Program:
        return kernels.Program(self._fill(Builder(by_rows=True)))


class LoweredModel(_Program[kernels.Plan]):
    """The program of a model of sequences, on the model's own arrays.

    The model has ``max_len``. The tables of a program have as many positions as were needed so far.
    """

    __slots__ = ("_room",)

    def __init__(self, model: Any, part: str = "lower") -> None:
        super().__init__(model, part)
        self._room = FIRST_ROOM

    def __call__(self, forward: Callable[..., Any], x: Any, *inputs: Any, **lengths: Any) -> Any:
        """Return the output for x (B, T, ...): by the program, or else by `forward`."""
        program = self.program_for(x.shape[1])
        if program is not None:
            return program(x, *inputs, **lengths)
        with inference():
            return forward(x, *inputs, **lengths)[0]

    def steps(self, positions: int) -> kernels.Plan:
        """Return the program for states of so many positions.

        Raises
        ------
        NotLowerable, ValueError
            The model cannot be lowered.
        """
        return self.program_for(positions) or self._new_program()

    def program_for(self, positions: int) -> kernels.Plan | None:
        """Return a program for so many positions, or None."""
        if positions > self._room:
            with _growing:
                self._room = max(self._room, 2 * positions)
            watch.changed()  # also for a thread that is building the smaller one
        return self.program()

    def _new_program(self) -> kernels.Plan:
        builder = Builder(min(self._model.max_len, self._room))
        return kernels.Plan(self._fill(builder), source=self)
