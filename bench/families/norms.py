"""Frobenius norms of an array, of a view with gaps, and of all gradients of a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operations import Arrays, Operation, Shape, rows, size

# Shapes of the parameters of a small MLP.
LAYERS = ((784, 256), (256,), (256, 256), (256,), (256, 10), (10,))


def _norm(**arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    return (np.sqrt(sum(np.sum(x * x) for x in arrays.values())),)


def _gradients(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {f"x{i}": rng.standard_normal(layer, real) for i, layer in enumerate(LAYERS)}


def _view(x: np.ndarray) -> np.ndarray:
    """Return a view of all but the first and last column."""
    return x[:, 1:-1]


def _norm_of_view(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return _norm(x=_view(x))


# PyTorch and NumPy sum in the type of x: errors reach thousands of epsilons at 8192 x 8192.
TOLERANCE = 40_000
OPERATIONS: dict[str, Operation] = {
    "norm": rows(("x",), _norm, 2, 1, TOLERANCE, "read"),
    "norm_of_view": rows(("x",), _norm_of_view, 2, 1, TOLERANCE, "read"),
    "norm_of_gradients": Operation(
        _gradients,
        _norm,
        lambda shape: 2 * sum(map(size, LAYERS)),
        lambda shape: sum(map(size, LAYERS)),
        lambda shape: sum(map(size, LAYERS)),
        lambda shape: TOLERANCE,
        "read",
    ),
}

BOTH = ("float32", "float64")
CASES = [
    ("norm", [(64, 64), (512, 512), (4096, 4096), (8192, 8192)], BOTH),
    ("norm_of_view", [(64, 64), (1024, 1024)], BOTH),
    ("norm_of_gradients", [(len(LAYERS),)], BOTH),
]


def _fastnn(inputs: Arrays):
    from fastnn import kernels

    x = inputs["x"]
    return lambda: (kernels.frobenius_norm(x),)


def _fastnn_view(inputs: Arrays):
    return _fastnn({"x": _view(inputs["x"])})


def _fastnn_gradients(inputs: Arrays):
    from fastnn import kernels

    arrays = list(inputs.values())
    return lambda: (kernels.frobenius_norm(arrays),)


def _numpy(inputs: Arrays):
    x = inputs["x"]
    return lambda: (np.linalg.norm(x),)


def _numpy_view(inputs: Arrays):
    return _numpy({"x": _view(inputs["x"])})


def _numpy_gradients(inputs: Arrays):
    arrays = list(inputs.values())
    return lambda: (np.sqrt(sum(np.linalg.norm(x) ** 2 for x in arrays)),)


def _scipy(inputs: Arrays):
    from scipy import linalg

    x = inputs["x"]
    return lambda: (linalg.norm(x, check_finite=False),)


def _torch(inputs: Arrays):
    import torch

    x = torch.from_numpy(inputs["x"])
    return lambda: (torch.linalg.vector_norm(x),)


def _torch_view(inputs: Arrays):
    return _torch({"x": _view(inputs["x"])})


def _torch_gradients(inputs: Arrays):
    import torch

    arrays = [torch.from_numpy(x) for x in inputs.values()]
    return lambda: (torch.nn.utils.get_total_norm(arrays),)


PREPARE = {
    "fastnn": {
        "norm": _fastnn,
        "norm_of_view": _fastnn_view,
        "norm_of_gradients": _fastnn_gradients,
    },
    "numpy": {
        "norm": _numpy,
        "norm_of_view": _numpy_view,
        "norm_of_gradients": _numpy_gradients,
    },
    "scipy": {"norm": _scipy},
    "torch": {
        "norm": _torch,
        "norm_of_view": _torch_view,
        "norm_of_gradients": _torch_gradients,
    },
}
