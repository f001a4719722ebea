"""The networks of ``families/networks.py`` in the other libraries."""

from __future__ import annotations

from typing import Any

from . import with_numpy, with_others, with_torch

PREPARE: dict[str, dict[str, Any]] = {
    "numpy": {
        "linear": with_numpy.linear,
        "mlp": with_numpy.mlp,
        "train_step": with_numpy.step,
        "forward": with_numpy.forward,
    },
    "torch": {
        "linear": with_torch.linear,
        "mlp": with_torch.mlp,
        "train_step": with_torch.step,
        "forward": with_torch.forward,
    },
    "torch_compile": {
        "train_step": lambda inputs: with_torch.step(inputs, compiled=True),
        "forward": lambda inputs: with_torch.forward(inputs, compiled=True),
    },
    "torch_bf16": {"forward": lambda inputs: with_torch.forward(inputs, bf16=True)},
    "jax": {"forward": with_others.jax_forward, "train_step": with_others.jax_step},
    "onnxruntime": {"forward": with_others.onnxruntime_forward},
    "onnxruntime_int8": {
        "forward": lambda inputs: with_others.onnxruntime_forward(inputs, int8=True)
    },
    "sklearn": {"forward": with_others.sklearn_forward, "train_step": with_others.sklearn_step},
    "thinc": {"forward": with_others.thinc_forward},
}
