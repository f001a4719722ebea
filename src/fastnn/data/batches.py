"""Batches of rows, gathered ahead of their use."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_count, check_flag

Batch = tuple[NDArray[Any], ...]


class Batches:
    """What `batches` returns: every `iter()` of it is one epoch; `len()` counts its batches."""

    def __init__(
        self,
        arrays: tuple[NDArray[Any], ...],
        batch_size: int,
        shuffle: bool,
        seed: int | np.random.Generator | None,
        drop_last: bool,
        prefetch: int,
    ) -> None:
        self.arrays = _checked_arrays(arrays)
        self.batch_size = check_count("batch_size", batch_size, 1)
        self.prefetch = check_count("prefetch", prefetch, 0)
        self.shuffle = check_flag("shuffle", shuffle)
        self.drop_last = check_flag("drop_last", drop_last)
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        n = len(self.arrays[0])
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self.rng.permutation(len(self.arrays[0])) if self.shuffle else None
        batches = map(self._gather, self._rows(order))
        yield from _ahead(batches, self.prefetch) if self.prefetch else batches

    def state(self) -> dict[str, Any]:
        """The state of the random generator: from it the next epochs follow."""
        return {"rng": self.rng.bit_generator.state}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue with the epochs after that `state()`; ValueError for another generator."""
        self.rng.bit_generator.state = state["rng"]

    def _rows(self, order: NDArray[np.intp] | None) -> Iterator[slice | NDArray[np.intp]]:
        for i in range(len(self)):
            rows = slice(i * self.batch_size, (i + 1) * self.batch_size)
            yield rows if order is None else order[rows]

    def _gather(self, rows: slice | NDArray[np.intp]) -> Batch:
        """Copies, so that reading a memory map from the disk happens here and not later."""
        if isinstance(rows, slice):
            return tuple(np.array(array[rows]) for array in self.arrays)
        return tuple(np.asarray(array[rows]) for array in self.arrays)


def batches(
    *arrays: NDArray[Any],
    batch_size: int,
    shuffle: bool = True,
    seed: int | np.random.Generator | None = None,
    drop_last: bool = False,
    prefetch: int = 2,
) -> Batches:
    """Batches of examples, gathered by a thread in the background while others are in use.

    Parameters
    ----------
    *arrays : ndarray
        Of the same length: x and y, or x, y and the weights of the examples. A `np.memmap` is read
        batch by batch, so data may be larger than memory.
    batch_size : int
        Rows of a batch.
    shuffle : bool
        Every epoch visits the rows in a new random order.
    seed : None, int or numpy.random.Generator
        Of these orders. The same seed gives the same epochs.
    drop_last : bool
        Leave out the last batch of an epoch if it is smaller.
    prefetch : int
        Batches that are made ahead. 0 makes them when they are asked for, with no thread.

    Returns
    -------
    Batches
        Iterate over it once per epoch: tuples of one array each, copies that the caller owns. An
        iterator that is closed or dropped before its end stops the thread and waits for it; what
        goes wrong in the thread is raised where the batch would have come.

    Raises
    ------
    ValueError
        There is no array, one has no rows, or the lengths differ.
    TypeError
        Something is no array.

    Examples
    --------
    >>> x, y = np.zeros((100, 3)), np.arange(100)
    >>> [len(rows) for rows, targets in batches(x, y, batch_size=32, seed=0)]
    [32, 32, 32, 4]
    """
    return Batches(arrays, batch_size, shuffle, seed, drop_last, prefetch)


def _ahead(batches: Iterator[Batch], n: int) -> Iterator[Batch]:
    """The same batches, made by one thread; at most n of them are ready or in the making."""
    thread = ThreadPoolExecutor(1, "fastnn-batches")
    pending: deque[Future[Batch | None]] = deque()
    try:
        for _ in range(n):
            pending.append(thread.submit(next, batches, None))
        while (batch := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, batches, None))
            yield batch
    finally:  # closed early, or gathering failed: nothing more is begun, and the thread ends
        # The collector may run in that very thread, which cannot wait for itself.
        own = threading.current_thread() in thread._threads
        thread.shutdown(wait=not own, cancel_futures=True)


def _checked_arrays(arrays: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
    if not arrays:
        raise ValueError("batches of what? There is no array")
    for i, array in enumerate(arrays):
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise TypeError(f"array {i} must be a NumPy array of examples, got {array!r:.80}")
        if len(array) != len(arrays[0]):
            raise ValueError(
                f"array {i} has {len(array)} rows {array.shape}, "
                f"array 0 has {len(arrays[0])} {arrays[0].shape}"
            )
    if len(arrays[0]) == 0:
        raise ValueError(f"the arrays have no rows: array 0 has shape {arrays[0].shape}")
    return arrays
