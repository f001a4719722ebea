"""Random streams of training: the dropout pattern of each forward pass of each layer.

A kernel such as `kernels.dropout` computes its pattern from a seed and a step. A layer therefore
needs no generator, only a seed and a count of its passes, and backward needs these two numbers
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

SEEDS = 2**64  # exclusive upper bound of seeds and counts

_in_inference = ContextVar("fastnn_in_inference", default=False)


@contextmanager
def inference() -> Iterator[None]:
    """Disable dropout inside the block, for all forward passes in it.

    `Module.__call__` runs `forward` in such a block. It applies to this thread (or asyncio task)
    only, may be nested, and stores nothing on any layer.
    """
    token = _in_inference.set(True)
    try:
        yield
    finally:
        _in_inference.reset(token)


def in_inference() -> bool:
    """True in a block of `inference`."""
    return _in_inference.get()


class RandomStream:
    """The seed of one layer, and the number of its training passes so far.

    Parameters
    ----------
    seed : int, optional
        From 0 to 2^64 - 1; None takes entropy from the operating system.

    Attributes
    ----------
    seed : int
    calls : int
        Number of passes that have drawn from the stream.

    Examples
    --------
    >>> stream = nn.RandomStream(seed=3)
    >>> stream.seed, stream.calls
    (3, 0)
    """

    __slots__ = ("_lock", "calls", "seed")

    def __init__(self, seed: int | None = None, calls: int = 0) -> None:
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        self._lock = threading.Lock()
        self.seed = seed
        self.calls = calls

    def next(self) -> tuple[int, int]:
        """Return (seed, step) of the next pass; steps are unique, also across threads."""
        with self._lock:
            step = self.calls
            self.calls = step + 1
            return self.seed, step

    def drop(self, p: float) -> tuple[float, int, int]:
        """Return (probability, seed, step) of dropout in the next pass; (0, 0, 0) in `inference`.

        A pass in `inference` takes no step, so it does not affect later passes.
        """
        return (0.0, 0, 0) if _in_inference.get() else (p, *self.next())

    def set(self, seed: int, calls: int = 0) -> None:
        """Set the state."""
        with self._lock:
            self.seed, self.calls = seed, calls

    def state(self) -> dict[str, int]:
        """Return {"seed": ..., "calls": ...}."""
        with self._lock:
            return {"seed": self.seed, "calls": self.calls}

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.state()
        return RandomStream, (state["seed"], state["calls"])


def derived_seed(seed: int, name: str) -> int:
    """Return the seed of the layer with this name in a model seeded with `seed`.

    It is the 64-bit BLAKE2b hash of the name (UTF-8), keyed with the eight bytes of seed, both
    numbers little-endian. Layers get unrelated seeds, and a layer keeps its own when others are
    added or removed.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little")
