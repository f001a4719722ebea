"""Random numbers of training: which pattern of dropout each forward pass of each layer uses.

A kernel such as `kernels.dropout` computes its pattern from a seed and a step alone. So a layer
needs no generator, only a seed and a count of its passes, and its backward needs those two numbers
instead of a stored mask.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

SEEDS = 2**64  # seeds and counts are below

_in_inference = ContextVar("fastnn_in_inference", default=False)


@contextmanager
def inference() -> Iterator[None]:
    """Let no layer drop anything inside the block, whatever forward passes run in it.

    `Module.__call__` runs `forward` in one. It holds for this thread (this task of asyncio) alone,
    may be nested, and keeps nothing on any layer.
    """
    token = _in_inference.set(True)
    try:
        yield
    finally:
        _in_inference.reset(token)


class RandomStream:
    """The seed of one layer, and how many training passes it has had.

    Parameters
    ----------
    seed : int, optional
        From 0 to 2^64 - 1; None takes fresh entropy from the system.

    Attributes
    ----------
    seed : int
    calls : int
        How many passes have taken their number.
    """

    __slots__ = ("_lock", "calls", "seed")

    def __init__(self, seed: int | None = None, calls: int = 0) -> None:
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        self._lock = threading.Lock()
        self.seed = seed
        self.calls = calls

    def next(self) -> tuple[int, int]:
        """(seed, step) of the next pass; no two passes get the same, from whatever threads."""
        with self._lock:
            step = self.calls
            self.calls = step + 1
            return self.seed, step

    def drop(self, p: float) -> tuple[float, int, int]:
        """(probability, seed, step) of dropout in the next pass; within `inference` nothing drops.

        A pass in `inference` takes no number, so that it changes no later one.
        """
        return (0.0, 0, 0) if _in_inference.get() else (p, *self.next())

    def set(self, seed: int, calls: int = 0) -> None:
        """Go on from this state."""
        with self._lock:
            self.seed, self.calls = seed, calls

    def state(self) -> dict[str, int]:
        """{"seed": ..., "calls": ...}."""
        with self._lock:
            return {"seed": self.seed, "calls": self.calls}

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.state()
        return RandomStream, (state["seed"], state["calls"])


def derived_seed(seed: int, name: str) -> int:
    """The seed of the layer of that name in a model seeded with `seed`.

    The 64-bit BLAKE2b hash of the name (UTF-8), keyed with the eight bytes of seed, both numbers
    little-endian: layers get unrelated seeds, and a layer keeps its own when others come and go.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little")
