"""Dropout, with a new pattern in every call."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np

from ..operations import Call, Operation, normal

P = 0.5


class Pattern:
    """Statistics of a random result: the fraction dropped and the scale.

    They are computed when compared, not when the kernel is timed. Enough elements are dropped for
    a fraction within a tenth; the scale is right everywhere.
    """

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        x, y = np.asarray(self.x, float), np.asarray(self.y, float)
        scale = y[y != 0] / x[y != 0]
        return np.array([round(float((y == 0).mean()), 1), scale.min(), scale.max()], dtype)


def _dropout(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return (np.array([P, 1 / (1 - P), 1 / (1 - P)]),)


OPERATIONS = {"dropout": Operation(normal("x"), _dropout, 30, 2, 4)}
CASES = [
    ("quick", "dropout", [(1024, 1024)]),
    ("full", "dropout", [(64, 64), (1024, 1024), (4096, 1024)]),
    ("full", "dropout", [(1024, 1024)], ("float64",)),
]


def _fastnn(kernels: Any, x: Any, out: Any) -> Call:
    steps = count()
    return lambda: (Pattern(x, kernels.dropout(x, P, seed=1, step=next(steps), out=out)),)


def _torch(torch: Any, x: Any) -> Call:
    return lambda: (Pattern(x, torch.nn.functional.dropout(x, P)),)


def _numpy(np: Any, x: Any) -> Call:
    rng, scale = np.random.default_rng(1), x.dtype.type(1 / (1 - P))
    return lambda: (Pattern(x, x * (rng.random(x.shape, x.dtype) >= P) * scale),)


MAKERS = {"fastnn": _fastnn, "torch": _torch, "numpy": _numpy}
PREPARE = {library: {"dropout": make} for library, make in MAKERS.items()}
