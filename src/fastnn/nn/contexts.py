"""Errors of backward passes: about dy, and a ctx that the layer's own `forward` did not return."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from numpy import ndarray
from numpy.typing import DTypeLike, NDArray

from ..checks import given, to_array
from .hints import kind_of

if TYPE_CHECKING:
    from .module import Module

PACKAGE = __name__.partition(".")[0]
# What a backward pass runs into with a wrong context.
FOLLOWING = (AssertionError, AttributeError, LookupError, TypeError, ValueError)
# Errors that say what else is wrong.
OTHERS = re.compile(r"\b(d[yh]|need_dx)\b|layers changed|\.backward\(\) got")

Backward = Callable[..., Any]


def names_ctx(backward: Backward) -> Backward:
    """Decorate the `backward` of one of fastnn's layers to say when its ctx is wrong.

    Nothing is checked before a call: an error that follows from the context is replaced. The
    outermost layer, which was given the context, has the last word.
    """

    def passed(self: Any, dy: Any, ctx: Any, need_dx: bool = True) -> Any:
        try:
            return backward(self, dy, ctx, need_dx)
        except FOLLOWING as error:
            explain(self, ctx, error)
            raise

    def passed_with(self: Any, dy: Any, ctx: Any, need_dx: bool = True, **options: Any) -> Any:
        try:
            return backward(self, dy, ctx, need_dx, **options)
        except FOLLOWING as error:
            explain(self, ctx, error)
            raise

    has_options = getattr(backward, "__kwdefaults__", None)  # a dict of them takes time
    return wraps(backward)(passed_with if has_options else passed)


def explain(layer: Module, ctx: Any, error: Exception) -> None:
    """Raise an error about ctx in place of one that follows from it."""
    if follows_from_ctx(error):
        raise (ValueError if isinstance(error, ValueError) else TypeError)(
            f"{type(layer).__name__}: ctx must be the second result of this layer's forward, "
            f"y, ctx = layer.forward(x), got {described(ctx)}"
        ) from error.__cause__ or error


def follows_from_ctx(error: Exception) -> bool:
    """True unless the error names something else, or was raised in a layer of the user."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in (PACKAGE, "numpy"):
            return False
        trace = trace.tb_next
    return not OTHERS.search(str(error))


def described(ctx: Any) -> str:
    """Return the type of a context, and how many items it has."""
    if isinstance(ctx, (tuple, list, dict)):
        return f"another {type(ctx).__name__} of {len(ctx)}"
    return given(ctx)


def check_gradient(
    layer: Module, dy: NDArray[Any], shape: tuple[int, ...], dtype: DTypeLike | None = None
) -> None:
    """Raise TypeError or ValueError unless dy is an array of the shape of the layer's output.

    `dtype` is for layers whose kernels accept other dtypes too.
    """
    if type(dy) is ndarray and dy.shape == shape and (dtype is None or dy.dtype == dtype):
        return
    if not isinstance(dy, ndarray):
        got = kind_of(dy) + to_array(dy, "dy", dtype or "float32")
        name = type(layer).__name__
        raise TypeError(f"{name}: dy must be a NumPy array of shape {shape}, got {got}")
    if dy.shape != shape:
        raise ValueError(
            f"{type(layer).__name__}: dy has shape {dy.shape}, but the output of the forward pass "
            f"that returned this ctx had {shape}"
        )
    if dtype is not None and dy.dtype != dtype:
        name = type(layer).__name__
        raise TypeError(f"{name}: dy is {dy.dtype}, but the parameters are {dtype}")
