"""From a model to a plan: what it computes, without what training needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import kernels
from .activation import GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .container import Sequential
from .dropout import Dropout
from .linear import Linear, check_count
from .module import Module

_ACTIVATIONS = {ReLU: "relu", Tanh: "tanh", Sigmoid: "sigmoid", SiLU: "silu", Softmax: "softmax"}


def freeze(model: Module, batch_max: int = 1024) -> kernels.Plan:
    """A plan that computes what the model computes now.

    Weights are copied and laid out once for products, so the plan is quicker than the model for
    small batches and never changes. Any number of threads may call one plan, from Python or by its
    address from C, C++, Cython, numba and ctypes, without the GIL (docs/embedding.md).

    Parameters
    ----------
    model : Module
        Of `Linear`, activations, `Softmax` and `Dropout` (which does nothing), in (nested) `Sequential` containers such as `MLP`;
        the first of them a `Linear`.
    batch_max : int
        Rows that a call brings at most, as a rule: work space is laid out for them. More are taken
        in parts.

    Returns
    -------
    kernels.Plan
        ``plan(x)`` equals ``model(x)`` to within rounding.

    Raises
    ------
    TypeError
        A layer has no place in a plan, or batch_max is no integer.
    ValueError
        Sizes of layers do not fit, the first layer is no `Linear`, or batch_max is below 1.
    """
    return kernels.Plan(_merged(_steps(model)), check_count("batch_max", batch_max))


def _steps(model: Module) -> Iterator[tuple[Any, ...]]:
    """The layers as `kernels.Plan` takes them."""
    kind = type(model)
    if isinstance(model, Sequential) and kind.__call__ is Sequential.__call__:
        for layer in model:
            yield from _steps(layer)
    elif isinstance(model, Linear) and kind is Linear:  # a subclass may do something else
        bias = None if model.bias is None else model.bias.data
        yield model.weight.data, bias, model.activation
    elif isinstance(model, GELU) and kind is GELU:
        yield ("gelu" if model.approximate is None else "gelu_tanh",)
    elif kind in _ACTIVATIONS:
        yield (_ACTIVATIONS[kind],)
    elif kind is Dropout:
        return
    else:
        known = ", ".join(
            ["Linear", "Dropout", "GELU", *(layer.__name__ for layer in _ACTIVATIONS)]
        )
        raise TypeError(
            f"freeze: {kind.__name__} has no place in a plan; {known} and Sequential of them have"
        )


def _merged(steps: Iterator[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """An activation after a layer that has none becomes the layer's."""
    merged: list[tuple[Any, ...]] = []
    for step in steps:
        if merged and len(step) == 1 and step[0] != "softmax" and _is_bare(merged[-1]):
            merged[-1] = (*merged[-1][:2], step[0])
        else:
            merged.append(step)
    return merged


def _is_bare(step: tuple[Any, ...]) -> bool:
    return len(step) == 3 and step[2] is None
