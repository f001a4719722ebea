"""Make batches of rows, gathered in the background."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_count, check_flag, check_generator, given
from ..keywords import explained
from .generators import generator_state, load_generator

Batch = tuple[NDArray[Any], ...]


@explained
class Batches:
    """Result of `batches`: each `iter()` is one epoch, `len()` is the number of batches.

    Examples
    --------
    >>> batches = fastnn.data.batches(np.arange(5), batch_size=2)
    >>> type(batches).__name__, len(batches)
    ('Batches', 3)
    """

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
        self.rng = check_generator("seed", seed)

    def __len__(self) -> int:
        n = len(self.arrays[0])
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self.rng.permutation(len(self.arrays[0])) if self.shuffle else None
        batches = map(self._gather, self._rows(order))
        ahead = min(self.prefetch, len(self))
        yield from _ahead(batches, ahead) if ahead else batches

    def state(self) -> dict[str, Any]:
        """Return the state of the random generator, which determines the next epochs."""
        return generator_state(self.rng)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue with the epochs after a `state()`; an error for any other state."""
        load_generator(self.rng, state)

    def _rows(self, order: NDArray[np.intp] | None) -> Iterator[slice | NDArray[np.intp]]:
        for i in range(len(self)):
            rows = slice(i * self.batch_size, (i + 1) * self.batch_size)
            yield rows if order is None else order[rows]

    def _gather(self, rows: slice | NDArray[np.intp]) -> Batch:
        """Copy the rows of a batch, so that a memory map is read from the disk here."""
        if isinstance(rows, slice):
            return tuple(np.array(array[rows]) for array in self.arrays)
        return tuple(np.asarray(array[rows]) for array in self.arrays)


@explained
def batches(
    *arrays: NDArray[Any],
    batch_size: int,
    shuffle: bool = True,
    seed: int | np.random.Generator | None = None,
    drop_last: bool = False,
    prefetch: int = 2,
) -> Batches:
    """Make batches of examples, gathered by a background thread while others are in use.

    Parameters
    ----------
    *arrays : ndarray
        Arrays of the same length: x and y, or x, y and the weights of the examples. A `np.memmap`
        is read batch by batch, so data may be larger than memory.
    batch_size : int
        Rows per batch.
    shuffle : bool
        Visit the rows in a new random order in every epoch.
    seed : None, int or numpy.random.Generator
        Seed of these orders. The same seed gives the same epochs.
    drop_last : bool
        Leave out the last batch of an epoch if it is smaller.
    prefetch : int
        Batches made ahead. 0 makes each batch when it is requested, without a thread.

    Returns
    -------
    Batches
        Iterate over it once per epoch. A batch is a tuple with one array per input array, copies
        that the caller owns. An iterator that is closed or dropped early stops the thread and
        waits for it. Errors in the thread are raised in place of the batch.

    Raises
    ------
    ValueError
        There is no array, one has no rows, or the lengths differ.
    TypeError
        An argument is not an array.

    Examples
    --------
    >>> x, y = np.zeros((100, 3)), np.arange(100)
    >>> [len(rows) for rows, _ in fastnn.data.batches(x, y, batch_size=32, seed=0)]
    [32, 32, 32, 4]
    """
    return Batches(arrays, batch_size, shuffle, seed, drop_last, prefetch)


def _ahead(batches: Iterator[Batch], n: int) -> Iterator[Batch]:
    """Yield the same batches, made by one thread, at most n of them ahead."""
    thread = ThreadPoolExecutor(1, "fastnn-batches")
    pending: deque[Future[Batch | None]] = deque()
    try:
        for _ in range(n):
            pending.append(thread.submit(next, batches, None))
        while (batch := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, batches, None))
            yield batch
    finally:  # also if closed early or if gathering failed
        # The garbage collector may run in that thread, which cannot wait for itself.
        own = threading.current_thread() in thread._threads
        thread.shutdown(wait=not own, cancel_futures=True)


def _checked_arrays(arrays: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
    if not arrays:
        raise ValueError("batches needs at least one array")
    for i, array in enumerate(arrays):
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise TypeError(f"array {i} must be a NumPy array of examples, got {given(array)}")
        if len(array) != len(arrays[0]):
            raise ValueError(
                f"array {i} has {len(array)} rows {array.shape}, "
                f"array 0 has {len(arrays[0])} {arrays[0].shape}"
            )
    if len(arrays[0]) == 0:
        raise ValueError(f"the arrays have no rows: array 0 has shape {arrays[0].shape}")
    return arrays
