"""Embedding: lookup, and the gradient of the table; shape = (ids, rows of the table, columns)."""

from __future__ import annotations

import timeit
from typing import Any

import numpy as np

from ..operations import Arrays, Operation, Shape


def _ids(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Draw ids as skewed as words: half of them come from an eighth of the table."""
    return (shape[1] * rng.random(shape[0]) ** 3).astype(np.int64)


def _lookup_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {"ids": _ids(shape, rng), "weight": rng.standard_normal(shape[1:], real)}


def _backward_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    dy = rng.standard_normal((shape[0], shape[2]), real)
    return {"ids": _ids(shape, rng), "dy": dy, "dweight": np.zeros(shape[1:], real)}


def _lookup(ids: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, ...]:
    return (weight[ids],)


def _backward(ids: np.ndarray, dy: np.ndarray, dweight: np.ndarray) -> tuple[np.ndarray, ...]:
    total = np.zeros(dweight.shape)
    np.add.at(total, ids, dy)
    return (total,)


def _moved(shape: Shape) -> int:
    """Count a row read and a row written for each id."""
    return 2 * shape[0] * shape[2]


def _cleared_and_added(shape: Shape) -> int:
    """Count the table set to zero, and two rows read and one written for each id."""
    return (shape[1] + 3 * shape[0]) * shape[2]


def _held(shape: Shape) -> int:
    return (shape[0] + shape[1]) * shape[2]


OPERATIONS = {
    "embedding": Operation(
        _lookup_inputs, _lookup, lambda shape: 0, _moved, _held, lambda shape: 0, "copy"
    ),
    "embedding_backward": Operation(
        _backward_inputs,
        _backward,
        lambda shape: shape[0] * shape[2],
        _cleared_and_added,
        _held,
        lambda shape: 200,
        "copy",
    ),
}
CASES = [
    ("quick", "embedding", [(4096, 10_000, 64)]),
    ("default", "embedding_backward", [(4096, 10_000, 64)]),
    *(("full", kernel, [(4096, 10_000, 64), (16_384, 10_000, 512)]) for kernel in OPERATIONS),
]


def _fastnn_embedding(inputs: Arrays) -> Any:
    from fastnn import kernels
    from fastnn.kernels.ground.memory import empty

    ids, weight = inputs["ids"], inputs["weight"]
    y = empty((len(ids), weight.shape[1]), weight.dtype)
    return lambda: (kernels.embedding(ids, weight, out=y),)


def _fastnn_backward(inputs: Arrays) -> Any:
    from fastnn import kernels

    ids, dy, dweight = inputs["ids"], inputs["dy"], inputs["dweight"]

    def call() -> tuple[np.ndarray, ...]:
        dweight.fill(0)
        kernels.embedding_backward(ids, dy, dweight=dweight)
        return (dweight,)

    return call


def _torch_embedding(inputs: Arrays) -> Any:
    import torch

    ids, weight = torch.from_numpy(inputs["ids"]), torch.from_numpy(inputs["weight"])
    y = weight.new_empty(len(ids), weight.shape[1])
    return lambda: (torch.index_select(weight, 0, ids, out=y),)


def _torch_backward(inputs: Arrays) -> Any:
    """Prepare the faster of autograd's operator and adding rows in place."""
    import torch

    ids, dy = torch.from_numpy(inputs["ids"]), torch.from_numpy(inputs["dy"])
    dweight = torch.from_numpy(inputs["dweight"])
    dense = torch.ops.aten.embedding_dense_backward
    ways = (
        lambda: (dense(dy, ids, len(dweight), -1, False),),
        lambda: (dweight.zero_().index_add_(0, ids, dy),),
    )
    return min(ways, key=lambda way: min(timeit.repeat(way, number=3, repeat=5)))


def _numpy_embedding(inputs: Arrays) -> Any:
    ids, weight = inputs["ids"], inputs["weight"]
    y = np.empty((len(ids), weight.shape[1]), weight.dtype)
    return lambda: (np.take(weight, ids, axis=0, out=y, mode="clip"),)


PREPARE = {
    "fastnn": {"embedding": _fastnn_embedding, "embedding_backward": _fastnn_backward},
    "torch": {"embedding": _torch_embedding, "embedding_backward": _torch_backward},
    "numpy": {"embedding": _numpy_embedding},
}
