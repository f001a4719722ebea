"""Checks of the arguments of `fit` and `evaluate` other than data."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import numpy as np

from .. import nn, optim
from ..checks import check_choice, check_number
from ..nn.precision import PRECISIONS
from ..parameters import Parameters

OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta"]

OPTIMIZERS: dict[str, Callable[[Parameters], optim.Optimizer]] = {
    "sgd": partial(optim.SGD, lr=1e-2),
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
    "adadelta": optim.Adadelta,
}


def check_model(model: Any) -> Parameters:
    """Return the parameters of a model; raise TypeError for anything else."""
    if isinstance(model, type) or not isinstance(model, nn.Module):
        kind = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"model must be an nn.Module, such as nn.MLP((64, 10)), got {kind}")
    return model.parameters()


def as_optimizer(optimizer: Any, parameters: Parameters) -> optim.Optimizer:
    """Return an optimizer over the model's parameters, created if it is given by name."""
    if isinstance(optimizer, str):
        return OPTIMIZERS[check_choice("optimizer", optimizer, OPTIMIZERS)](parameters)
    if not isinstance(optimizer, optim.Optimizer):
        is_class = isinstance(optimizer, type)
        kind = f"the class {optimizer.__name__}" if is_class else type(optimizer).__name__
        raise TypeError(
            "optimizer must be one of fastnn.optim, such as optim.Adam(model.parameters()), or "
            f"one of {', '.join(map(repr, OPTIMIZERS))}, got {kind}"
        )
    if not np.may_share_memory(optimizer.params.data, parameters.data):
        raise ValueError("the optimizer does not hold the parameters of this model")
    return optimizer


def check_average(ema: Any, parameters: Parameters) -> None:
    """Raise TypeError or ValueError unless `ema` is None or an average of these parameters."""
    if ema is None:
        return
    if not isinstance(ema, optim.ExponentialMovingAverage):
        raise TypeError(
            "ema must be optim.ExponentialMovingAverage(model.parameters()), "
            f"got {type(ema).__name__}"
        )
    if not np.may_share_memory(ema.params.data, parameters.data):
        raise ValueError("ema does not hold the average of the parameters of this model")


def check_norm(clip_norm: Any) -> float | None:
    """Return `clip_norm` as a number above 0, or None."""
    if clip_norm is None:
        return None
    return check_number("clip_norm (max_norm of all gradients)", clip_norm, above=0)


def check_precision(precision: Any, dtype: np.dtype[Any]) -> str | None:
    """Return `precision`; raise TypeError or ValueError if a model of this dtype has none such."""
    found = check_choice("precision", precision, PRECISIONS)
    if found is not None and dtype != np.float32:
        raise TypeError(f"precision {found!r} needs a model of float32, not {dtype}")
    return found


def check_path(name: str, path: Any) -> str:
    """Return `path` as a str; raise a TypeError that names the argument otherwise."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {type(path).__name__}")
    found = os.fspath(path)
    if not isinstance(found, str):
        raise TypeError(f"{name} must be a path of str, got {type(found).__name__}")
    return found


def as_callbacks(callbacks: Any) -> list[Any]:
    """Return a list of callbacks, given as an iterable, a single one or None."""
    if callbacks is None:
        return []
    is_one = isinstance(callbacks, (str, bytes, type)) or hasattr(callbacks, "__array__")
    is_many = isinstance(callbacks, Iterable) and not is_one
    return list(callbacks) if is_many else [callbacks]


def check_signature(name: str, function: Callable[..., Any], *examples: Any) -> None:
    """Raise TypeError unless the function can be called with this many arguments."""
    if not callable(function):
        raise TypeError(f"{name} must be a function, got {type(function).__name__}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some built-in functions have no signature
    try:
        signature.bind(*examples)
    except TypeError as error:
        raise TypeError(f"{name} is called with {len(examples)} arguments: {error}") from None
