"""Hints in error messages for users of other libraries."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ..checks import users_level

# Names from other libraries, and the equivalent in fastnn.
ELSEWHERE = {
    "compile": "give optimizer and loss to fastnn.fit(model, x, y, optimizer=..., loss=...)",
    "fit": 'use fastnn.fit(model, x, y, optimizer="adam")',
    "evaluate": "use fastnn.evaluate(model, x, y)",
    "predict": "call the model: model(x)",
    "predict_proba": "softmax of the logits: fastnn.softmax(model(x))",
    "score": "use fastnn.evaluate(model, x, y), which returns loss and accuracy",
    "transform": "call the model: model(x)",
    "cuda": "fastnn runs on CPUs only",
    "double": "a model's dtype is chosen when it is made: dtype=np.float64",
    "float": "a model's dtype is chosen when it is made: dtype=np.float32",
    "half": "a model's dtype is float32 or float64, chosen when it is made",
    "weights": "use model.state(), or model.parameters().named()",
    "trainable_weights": "use model.parameters().named()",
    "count_params": "use model.parameters().size",
    "num_parameters": "use model.parameters().size",
    "requires_grad_": "use model.set_requires_grad(False, pattern)",
    "children": "use model.parts()",
    "named_modules": "use model.modules()",
    "train": "there are no modes: model.forward(x) is a training pass, model(x) inference",
    "eval": "there are no modes: model(x) is inference and drops nothing",
    "state_dict": "use model.state()",
    "load_state_dict": "use model.load_state(state)",
    "get_weights": "use model.state()",
    "set_weights": "use model.load_state(state)",
    "named_parameters": "use model.parameters().named()",
    "to": "a model stays on the CPU; its dtype is chosen when it is made",
    "add": "use nn.Sequential(layer, layer, ...)",
}

TRANSPOSED = (
    "; its transpose fits: PyTorch's Linear holds (out, in), fastnn's (in, out), and "
    "fastnn.models.from_torch converts"
)


def kind_of(value: Any) -> str:
    """Return the type of a value, without its data."""
    return "None" if value is None else type(value).__name__


def not_a_layer(value: Any) -> str:
    """Return the end of an error about a value that should be a layer."""
    if isinstance(value, type):
        return f"must be an nn.Module, not a class: give {value.__name__}()"
    if isinstance(value, (list, tuple)):
        return f"must be an nn.Module, not a {kind_of(value)}: give the layers one by one, *layers"
    return f"must be an nn.Module, got {kind_of(value)}"


def doubt_orientation(shapes: Mapping[str, tuple[int, ...]], state: Mapping[str, Any]) -> None:
    """Warn of PyTorch tensors whose square shapes do not show whether they were transposed."""
    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2}
    is_torch = any(type(state[name]).__module__.startswith("torch") for name in matrices)
    if is_torch and all(n == m for n, m in matrices.values()):
        warnings.warn(
            f"load_state: {next(iter(matrices))!r} is square, so its shape does not show whether "
            "it is (in, out); a weight of PyTorch's Linear is (out, in): "
            "convert with fastnn.models.from_torch, or give its transpose",
            RuntimeWarning,
            stacklevel=users_level(),
        )
