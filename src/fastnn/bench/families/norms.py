"""Frobenius and L1 norms of an array, of a view with gaps, and of all gradients of a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operations import Arrays, Call, Operation, Prepare, Shape, jax_jit, rows, size

# Shapes of the parameters of a small MLP.
LAYERS = ((784, 256), (256,), (256, 256), (256,), (256, 10), (10,))


def _norm(**arrays: np.ndarray) -> tuple[Any, ...]:
    return (np.sqrt(sum(np.sum(x * x) for x in arrays.values())),)


def _sum_of_magnitudes(x: np.ndarray) -> tuple[Any, ...]:
    return (np.sum(np.abs(x)),)


def _gradients(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {f"x{i}": rng.standard_normal(layer, real) for i, layer in enumerate(LAYERS)}


def _view(inputs: Arrays) -> Arrays:
    """Leave out the first and the last column."""
    return {"x": inputs["x"][:, 1:-1]}


def _total(shape: Shape) -> int:
    return sum(map(size, LAYERS))


# PyTorch and NumPy sum in the type of x: errors reach thousands of epsilons at 8192 x 8192.
TOLERANCE = 40_000
OPERATIONS: dict[str, Operation] = {
    "norm": rows(("x",), _norm, 2, 1, TOLERANCE, "read"),
    "norm_of_view": rows(("x",), lambda x: _norm(**_view({"x": x})), 2, 1, TOLERANCE, "read"),
    "l1_norm": rows(("x",), _sum_of_magnitudes, 1, 1, TOLERANCE, "read"),
    "norm_of_gradients": Operation(
        _gradients,
        _norm,
        lambda shape: 2 * _total(shape),
        _total,
        _total,
        lambda shape: TOLERANCE,
        "read",
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


def _fastnn(inputs: Arrays) -> Call:
    from fastnn import kernels

    arrays: Any = list(inputs.values()) if len(inputs) > 1 else inputs["x"]
    return lambda: (kernels.frobenius_norm(arrays),)


def _numpy(inputs: Arrays) -> Call:
    arrays = list(inputs.values())
    if len(arrays) == 1:
        return lambda: (np.linalg.norm(arrays[0]),)
    return lambda: (np.sqrt(sum(np.linalg.norm(x) ** 2 for x in arrays)),)


def _scipy(inputs: Arrays) -> Call:
    from scipy import linalg

    x = inputs["x"]
    return lambda: (linalg.norm(x, check_finite=False),)


def _torch(inputs: Arrays) -> Call:
    import torch

    arrays = [torch.from_numpy(x) for x in inputs.values()]
    if len(arrays) == 1:
        return lambda: (torch.linalg.vector_norm(arrays[0]),)
    return lambda: (torch.nn.utils.get_total_norm(arrays),)


def _l1_fastnn(inputs: Arrays) -> Call:
    from fastnn import kernels

    x = inputs["x"]
    return lambda: (kernels.l1_norm(x),)


def _l1_numpy(inputs: Arrays) -> Call:
    x = inputs["x"].ravel()
    return lambda: (np.linalg.norm(x, 1),)


def _l1_scipy(inputs: Arrays) -> Call:
    from scipy import linalg

    x = inputs["x"].ravel()
    return lambda: (linalg.norm(x, 1, check_finite=False),)


def _l1_torch(inputs: Arrays) -> Call:
    import torch

    x = torch.from_numpy(inputs["x"])
    return lambda: (torch.linalg.vector_norm(x, 1),)


def _all(prepare: Prepare) -> dict[str, Prepare]:
    return {
        "norm": prepare,
        "norm_of_view": lambda inputs: prepare(_view(inputs)),
        "norm_of_gradients": prepare,
    }


PREPARE = {
    "fastnn": _all(_fastnn) | {"l1_norm": _l1_fastnn},
    "numpy": _all(_numpy) | {"l1_norm": _l1_numpy},
    "scipy": {"norm": _scipy, "l1_norm": _l1_scipy},
    "torch": _all(_torch) | {"l1_norm": _l1_torch},
    "jax": {"norm": jax_jit(lambda jax: jax.numpy.linalg.norm, "x")},
}
