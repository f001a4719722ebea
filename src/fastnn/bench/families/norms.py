"""Frobenius and L1 norms of an array, of a view with gaps, and of all gradients of a model."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..operations import Arrays, Call, Operation, Shape, jit, normal, plain, size

# Shapes of the parameters of a small MLP.
LAYERS = ((784, 256), (256,), (256, 256), (256,), (256, 10), (10,))
TOTAL = sum(map(size, LAYERS))


def _norm(**arrays: np.ndarray) -> tuple[Any, ...]:
    return (np.sqrt(sum(np.sum(x * x) for x in arrays.values())),)


def _gradients(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {f"x{i}": rng.standard_normal(layer, real) for i, layer in enumerate(LAYERS)}


def _view_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Leave out the first and the last column."""
    return {"x": rng.standard_normal(shape, real)[:, 1:-1]}


# PyTorch and NumPy sum in the type of x: errors reach thousands of epsilons at 8192 x 8192.
TOLERANCE = 40_000
OPERATIONS = {
    "norm": Operation(normal("x"), _norm, 2, 1, TOLERANCE, "read"),
    "norm_of_view": Operation(_view_inputs, _norm, 2, 1, TOLERANCE, "read"),
    "l1_norm": Operation(normal("x"), lambda x: (np.sum(np.abs(x)),), 1, 1, TOLERANCE, "read"),
    "norm_of_gradients": Operation(
        _gradients, _norm, lambda shape: 2 * TOTAL, lambda shape: TOTAL, TOLERANCE, "read"
    ),
}
BOTH = ("float32", "float64")
CASES = [
    ("quick", "norm", [(512, 512)]),
    ("default", "norm", [(512, 512), (4096, 4096)], BOTH),
    ("default", "norm_of_gradients", [(len(LAYERS),)]),
    ("default", "l1_norm", [(512, 512), (4096, 4096)]),
    ("full", "norm", [(64, 64), (8192, 8192)], BOTH),
    ("full", "norm_of_view", [(64, 64), (1024, 1024)], BOTH),
    ("full", "norm_of_gradients", [(len(LAYERS),)], BOTH),
]


def _fastnn_all(kernels: Any, inputs: Arrays) -> Call:
    arrays = list(inputs.values())
    return lambda: (kernels.frobenius_norm(arrays),)


def _numpy_all(np: Any, inputs: Arrays) -> Call:
    arrays = list(inputs.values())
    return lambda: (np.sqrt(sum(np.linalg.norm(x) ** 2 for x in arrays)),)


def _torch_all(torch: Any, inputs: Arrays) -> Call:
    arrays = [torch.from_numpy(x) for x in inputs.values()]
    return lambda: (torch.nn.utils.get_total_norm(arrays),)


def _l1(numpy_or_scipy: Any, x: Any, **options: Any) -> Call:
    norm, flat = numpy_or_scipy.linalg.norm, x.ravel()
    return lambda: (norm(flat, 1, **options),)


def _all(path: str, of_gradients: Any) -> dict[str, Any]:
    one = plain(path, "x", out="")
    return {"norm": one, "norm_of_view": one, "norm_of_gradients": of_gradients}


PREPARE: dict[str, dict[str, Any]] = {
    "fastnn": _all("frobenius_norm", _fastnn_all) | {"l1_norm": plain("l1_norm", "x", out="")},
    "numpy": _all("linalg.norm", _numpy_all) | {"l1_norm": _l1},
    "scipy": {
        "norm": plain("linalg.norm", "x", out="", check_finite=False),
        "l1_norm": partial(_l1, check_finite=False),
    },
    "torch": {
        **_all("linalg.vector_norm", _torch_all),
        "l1_norm": plain("linalg.vector_norm", "x", 1, out=""),
    },
    "jax": {"norm": jit("numpy.linalg.norm", "x")},
}
