"""Embedding: lookup, and the gradient of the table; shape = (ids, rows of the table, columns)."""

from __future__ import annotations

import timeit
from typing import Any

import numpy as np

from ..operations import Arrays, Call, Operation, Shape, normal, plain


def _inputs(**places: str) -> Any:
    """Draw ids as skewed as words: half of them come from an eighth of the table."""

    def inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
        ids = (shape[1] * rng.random(shape[0]) ** 3).astype(np.int64)
        return {"ids": ids, **normal(**places)(shape, real, rng)}

    return inputs


def _backward(ids: np.ndarray, dy: np.ndarray, dweight: np.ndarray) -> tuple[np.ndarray, ...]:
    total = np.zeros(dweight.shape)
    np.add.at(total, ids, dy)
    return (total,)


def _held(shape: Shape) -> int:
    return (shape[0] + shape[1]) * shape[2]


OPERATIONS = {
    "embedding": Operation(
        _inputs(weight="12"),
        lambda ids, weight: (weight[ids],),
        0,
        lambda shape: 2 * shape[0] * shape[2],  # a row read and a row written for each id
        0,
        held=_held,
        out=lambda inputs: (len(inputs["ids"]), inputs["weight"].shape[1]),
    ),
    "embedding_backward": Operation(
        _inputs(dy="02", dweight="12"),
        _backward,
        lambda shape: shape[0] * shape[2],
        # the table set to zero, and two rows read and one written for each id
        lambda shape: (shape[1] + 3 * shape[0]) * shape[2],
        200,
        held=_held,
    ),
}
CASES = [
    ("quick", "embedding", [(4096, 10_000, 64)]),
    ("default", "embedding_backward", [(4096, 10_000, 64)]),
    *(("full", kernel, [(4096, 10_000, 64), (16_384, 10_000, 512)]) for kernel in OPERATIONS),
]


def _fastnn_backward(kernels: Any, ids: Any, dy: Any, dweight: Any) -> Call:
    def call() -> tuple[np.ndarray, ...]:
        dweight.fill(0)
        kernels.embedding_backward(ids, dy, dweight=dweight)
        return (dweight,)

    return call


def _torch_backward(torch: Any, ids: Any, dy: Any, dweight: Any) -> Call:
    """Prepare the faster of autograd's operator and adding rows in place."""
    dense = torch.ops.aten.embedding_dense_backward
    ways = (
        lambda: (dense(dy, ids, len(dweight), -1, False),),
        lambda: (dweight.zero_().index_add_(0, ids, dy),),
    )
    return min(ways, key=lambda way: min(timeit.repeat(way, number=3, repeat=5)))


PREPARE: dict[str, dict[str, Any]] = {
    "fastnn": {
        "embedding": plain("embedding", "ids weight"),
        "embedding_backward": _fastnn_backward,
    },
    "torch": {
        "embedding": lambda torch, ids, weight, out: (
            lambda: (torch.index_select(weight, 0, ids, out=out),)
        ),
        "embedding_backward": _torch_backward,
    },
    "numpy": {
        "embedding": lambda np, ids, weight, out: (
            lambda: (np.take(weight, ids, axis=0, out=out, mode="clip"),)
        )
    },
}
