"""From a model to a plan: what it computes, without what training needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import kernels
from ..checks import check_count
from .activation import (
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .container import Residual, Sequential
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm, RMSNorm
from .prelu import PReLU

_NAMED = {
    ReLU: "relu",
    Tanh: "tanh",
    Sigmoid: "sigmoid",
    SiLU: "silu",
    Softplus: "softplus",
    Softmax: "softmax",
    LogSoftmax: "log_softmax",
}
_ACTIVATIONS = {"relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu", "softplus"}
_KNOWN = (Linear, Dropout, GELU, LeakyReLU, PReLU, LayerNorm, RMSNorm, Residual, *_NAMED)


def freeze(model: Module, batch_max: int = 1024) -> kernels.Plan:
    """A plan that computes what the model computes now.

    Weights are copied and laid out once for products, so the plan is quicker than the model for
    small batches and never changes. Any number of threads may call one plan, from Python or by its
    address from C, C++, Cython, numba and ctypes, without the GIL (docs/embedding.md).

    Parameters
    ----------
    model : Module
        Of `Linear`, activations, `LayerNorm`, `RMSNorm`, `Softmax`, `LogSoftmax`, `Residual` and
        `Dropout` (which does nothing), in (nested) `Sequential` containers such as `MLP`; at least
        one of them a `Linear`. Transformers have plans of their own: `TransformerEncoder.freeze`,
        `TransformerLM.freeze`.
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
        Sizes of layers do not fit, there is no `Linear`, or batch_max is below 1.
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
    elif kind in _NAMED:
        yield (_NAMED[kind],)
    elif isinstance(model, (LayerNorm, RMSNorm)) and kind in (LayerNorm, RMSNorm):
        weight, bias = (None if p is None else p.data for p in (model.weight, model.bias))
        yield ("layer_norm" if kind is LayerNorm else "rms_norm"), weight, bias, model.eps
    elif isinstance(model, PReLU) and kind is PReLU:
        yield "prelu", model.weight.data
    elif isinstance(model, LeakyReLU) and kind is LeakyReLU:
        yield "prelu", float(model.slope)
    elif isinstance(model, Residual) and kind is Residual:
        yield ("keep",)
        yield from _steps(model.layer)
        yield ("add",)
    elif kind is not Dropout:
        known = ", ".join(layer.__name__ for layer in _KNOWN)
        raise TypeError(
            f"freeze: {kind.__name__} has no place in a plan; {known} and Sequential of them have"
        )


def _merged(steps: Iterator[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """An activation after a layer that has none becomes the layer's."""
    merged: list[tuple[Any, ...]] = []
    for step in steps:
        if merged and len(step) == 1 and step[0] in _ACTIVATIONS and _is_bare(merged[-1]):
            merged[-1] = (*merged[-1][:2], step[0])
        else:
            merged.append(step)
    return merged


def _is_bare(step: tuple[Any, ...]) -> bool:
    return not isinstance(step[0], str) and step[2] is None
