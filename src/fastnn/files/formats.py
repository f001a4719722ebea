"""Matrices of a model file in 16 or 8 bits.

    bf16        "weight" is BF16
    int8        "weight" is I8, and "weight.scale" F32 (1, columns): w = q scale
    int8_g32    "weight.scale" is F32 (rows / 32, columns): a scale for each 32 rows of a column

Embeddings and positions are read row by row, so scales are those of rows: (rows, 1), or (rows,
columns / 32). Vectors, such as biases, stay float32. Rounding is that of `kernels.pack`, and what
was read rounds to the same codes and scales again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels, nn
from .atomic import PathLike
from .tensors import BFLOAT16, Stored, mapped

Array = NDArray[Any]
Header = tuple[tuple[int, ...], str]  # shape and dtype

FORMATS = ("bf16", "int8", "int8_g32")
SCALE = ".scale"
GROUP = 32
TINY = np.finfo(np.float32).tiny


def encoded(model: nn.Module, weights: str) -> dict[str, Any]:
    """Return the arrays of the file of a model by name.

    Raises
    ------
    TypeError
        The model is not one of float32.
    ValueError
        A parameter has the name of another one's scales.
    """
    named = dict(model.parameters().named())
    if clash := [name for name in named if name + SCALE in named]:
        raise ValueError(f"save: the scales of {clash[0]!r} would have the name of a parameter")
    tables = {
        id(module.weight)
        for _, module in model.modules()
        if isinstance(module, (nn.Embedding, nn.PositionalEncoding))
    }
    found: dict[str, Any] = {}
    for name, parameter in named.items():
        x = parameter.data
        if x.dtype != np.float32:
            raise TypeError(f"save: weights {weights!r} need a model of float32, not {x.dtype}")
        if x.ndim != 2:
            found[name] = x
        elif weights == "bf16":
            found[name] = Stored(kernels.narrow(x), BFLOAT16)
        elif id(parameter) in tables:
            found[name], found[name + SCALE] = (y.T for y in _quantized(x.T, weights))
        else:
            found[name], found[name + SCALE] = _quantized(x, weights)
    return found


def expected_headers(
    expected: Mapping[str, Header], found: Mapping[str, Header], weights: str
) -> dict[str, Header]:
    """Return the headers of a file in a format whose model has the parameters `expected`."""
    headers = dict(expected)
    for name, (shape, dtype) in expected.items():
        if dtype != "float32":
            raise ValueError(f"its weights are {weights}, but {name!r} is {dtype}")
        if len(shape) != 2:
            continue
        headers[name] = shape, BFLOAT16 if weights == "bf16" else "int8"
        if weights != "bf16":
            by_row = (shape[0], _groups(shape[1], weights)), dtype
            by_column = (_groups(shape[0], weights), shape[1]), dtype
            scale = name + SCALE
            headers[scale] = by_row if found.get(scale) == by_row else by_column
    return headers


def decode(path: PathLike, model: nn.Module) -> None:
    """Read the arrays of a checked file into the model, as float32."""
    arrays = mapped(path)
    for name, parameter in model.parameters().named():
        x, stored = parameter.data, arrays[name]
        if stored.dtype != "int8":
            x[...] = stored.read()
            continue
        q, scale = stored.array, arrays[name + SCALE].array
        by_column = scale.shape[1] == q.shape[1]
        each = _spread(scale, len(q)) if by_column else _spread(scale.T, q.shape[1]).T
        with np.errstate(invalid="ignore", over="ignore"):
            np.multiply(q, each, out=x)


def _groups(k: int, weights: str) -> int:
    return 1 if weights == "int8" else -(-k // GROUP)


def _quantized(w: Array, weights: str) -> tuple[Array, Array]:
    """Return codes (k, n) and scales (groups, n) of a matrix."""
    size = len(w) if weights == "int8" else GROUP
    most = np.maximum.reduceat(np.abs(w), np.arange(0, len(w), size), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.where(np.isfinite(most), most / np.float32(127), np.float32(np.nan))
        scale[scale < TINY] = 0
        each = _spread(scale, len(w))
        q = np.where(each > 0, np.rint(w / each), 0)
    return q.astype(np.int8), scale


def _spread(scale: Array, k: int) -> Array:
    """Return the scale of each of k rows; a single one broadcasts."""
    return scale if len(scale) == 1 else np.repeat(scale, GROUP, axis=0)[:k]
