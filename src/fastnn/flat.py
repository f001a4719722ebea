"""The memory of parameters: a flat array of values and one of gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Alignment of every parameter in bytes: a cache line, also the widest vector register (AVX-512).
ALIGNMENT = 64


def _aligned_zeros(size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return zeros (size,) aligned to ALIGNMENT."""
    raw = np.zeros((n_bytes := size * dtype.itemsize) + ALIGNMENT, np.uint8)
    return raw[(start := -raw.ctypes.data % ALIGNMENT) : start + n_bytes].view(dtype)


def padded(size: int, dtype: np.dtype[Any]) -> int:
    """Return `size` rounded up, so that the next parameter is aligned."""
    return -(-size // (unit := ALIGNMENT // dtype.itemsize)) * unit


class Block:
    """The two flat arrays of a model; `moved` is True once a parameter was moved elsewhere.

    `cleared` has the ranges of `grad`, start -> stop, that are zero but still hold old values:
    whoever reads one fills it first, and a backward pass that is the first to write it stores.
    `frozen` has the starts of parameters without a gradient. `version` counts the times when values
    may have changed: somebody asked for all of them, or assigned to those of a parameter.
    """

    __slots__ = ("blank", "cleared", "data", "frozen", "grad", "moved", "version")

    def __init__(self, size: int, dtype: np.dtype[Any], blank: bool = False) -> None:
        self.blank = blank  # one zero, repeated, until a model is complete: see nn/blank.py
        self.data = np.broadcast_to(dtype.type(0), size) if blank else _aligned_zeros(size, dtype)
        self.grad = self.data if blank else _aligned_zeros(size, dtype)
        self.cleared: dict[int, int] = {}
        self.frozen: set[int] = set()
        self.moved = False
        self.version = 0

    def values(self) -> NDArray[Any]:
        """Return `data` to somebody who may write to it."""
        self.version += 1
        return self.data

    def fill(self, start: int) -> None:
        """Write the zeros of a cleared range."""
        if start in self.cleared:
            self.grad[start : self.cleared[start]].fill(0)
            self.cleared.pop(start, None)

    def fill_all(self) -> None:
        """Write the zeros of all cleared ranges."""
        for start in list(self.cleared):
            self.fill(start)

    def __reduce__(self) -> tuple[Any, ...]:
        self.fill_all()
        return restore_block, (self.data, self.grad, self.moved, self.frozen)


def restore_block(
    data: NDArray[Any], grad: NDArray[Any], moved: bool, frozen: Iterable[int] = ()
) -> Block:
    """Return a block of these arrays, copied: a pickle calls it."""
    block = Block(data.size, data.dtype)
    block.data[:], block.grad[:], block.moved = data, grad, moved
    block.frozen.update(frozen)
    return block


def pick(flat: NDArray[Any], ranges: list[slice] | None) -> NDArray[Any]:
    """Return these ranges of a flat array, one after the other; a view of one or of all."""
    if ranges is None or len(ranges) == 1:
        return flat if ranges is None else flat[ranges[0]]
    return np.concatenate([flat[:0], *(flat[some] for some in ranges)])
