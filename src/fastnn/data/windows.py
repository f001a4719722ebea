"""Cut a long array of tokens into windows: random for training, in order for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_count, check_generator, given
from ..keywords import explained
from .generators import generator_state, load_generator
from .token_batches import IGNORED

Ids = NDArray[np.int64]
Window = tuple[Ids, Ids]


@explained
class Crops:
    """Result of `crops`: each `iter()` gives the next `steps` batches.

    Examples
    --------
    >>> crops = fastnn.data.crops(np.arange(1000), 4, 2, steps=3, seed=0)
    >>> type(crops).__name__, len(crops)
    ('Crops', 3)
    """

    def __init__(
        self,
        ids: ArrayLike,
        length: int,
        batch_size: int,
        steps: int,
        seed: int | np.random.Generator | None,
    ) -> None:
        self.length = check_count("length", length, 1)
        self.ids = _checked_stream(ids, self.length + 1)
        self.batch_size = check_count("batch_size", batch_size, 1)
        self.steps = check_count("steps", steps, 1)
        self.rng = check_generator("seed", seed)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Window]:
        columns = np.arange(self.length + 1)
        for _ in range(self.steps):
            starts = self.rng.integers(len(self.ids) - self.length, size=(self.batch_size, 1))
            yield _shifted(self.ids[starts + columns])

    def state(self) -> dict[str, Any]:
        """Return the state of the random generator, which determines the next batches."""
        return generator_state(self.rng)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue with the batches after a `state()`; an error for any other state."""
        load_generator(self.rng, state)


@explained
def crops(
    ids: ArrayLike,
    length: int,
    batch_size: int,
    *,
    steps: int = 100,
    seed: int | np.random.Generator | None = None,
) -> Crops:
    """Draw random windows of a long text without end: batches for a language model.

    Parameters
    ----------
    ids : array-like (n,) of integers
        The text; of a `np.memmap` only the windows are read.
    length : int
        Tokens per window. Each of the n - length possible starts is equally likely.
    batch_size : int
        Windows per batch.
    steps : int
        Batches per `iter()`, such as an epoch of `fit`; the next `iter()` continues with new
        windows. Resuming a run redraws at most this many batches.
    seed : None, int or numpy.random.Generator
        Seed of the windows. The same seed gives the same batches.

    Returns
    -------
    Crops
        Iterate over it: (x, y), each (batch_size, length) int64; y is x shifted by one token.

    Raises
    ------
    ValueError
        The text is no longer than a window, or a number is below 1.
    TypeError
        ids is not a sequence (n,) of integers.

    Examples
    --------
    >>> x, y = next(iter(fastnn.data.crops(np.arange(1000), 4, 2, seed=0)))
    >>> (y - x).tolist()
    [[1, 1, 1, 1], [1, 1, 1, 1]]
    """
    return Crops(ids, length, batch_size, steps, seed)


@explained
class Windows:
    """Result of `windows`: each `iter()` goes through the text once.

    Examples
    --------
    >>> windows = fastnn.data.windows(np.arange(9), 4, 1)
    >>> [(x.tolist(), y.tolist()) for x, y in windows]
    [([[0, 1, 2, 3]], [[1, 2, 3, 4]]), ([[4, 5, 6, 7]], [[5, 6, 7, 8]])]
    """

    def __init__(self, ids: ArrayLike, length: int, batch_size: int) -> None:
        self.length = check_count("length", length, 1)
        self.ids = _checked_stream(ids, 2)
        self.batch_size = check_count("batch_size", batch_size, 1)

    def __len__(self) -> int:
        return -(-(len(self.ids) - 1) // (self.length * self.batch_size))

    def __iter__(self) -> Iterator[Window]:
        n = self.length * self.batch_size
        for start in range(0, len(self.ids) - 1, n):
            flat = np.asarray(self.ids[start : start + n + 1], np.int64)
            rows = -(-(len(flat) - 1) // self.length)
            x = np.zeros(rows * self.length, np.int64)
            y = np.full(rows * self.length, IGNORED, np.int64)
            x[: len(flat) - 1], y[: len(flat) - 1] = flat[:-1], flat[1:]
            yield x.reshape(rows, self.length), y.reshape(rows, self.length)


@explained
def windows(ids: ArrayLike, length: int, batch_size: int) -> Windows:
    """Cut a text into consecutive windows: each token but the first is a target once.

    Parameters
    ----------
    ids : array-like (n,) of integers
        The text; a `np.memmap` is read batch by batch.
    length : int
        Tokens per window.
    batch_size : int
        Windows per batch; the last one may have fewer.

    Returns
    -------
    Windows
        Iterate over it: (x, y), each (rows, length) int64; y is x shifted by one token. Past the
        end of the text x is 0 and y is -100, which losses ignore.

    Raises
    ------
    ValueError
        The text has fewer than two tokens, or a number is below 1.
    TypeError
        ids is not a sequence (n,) of integers.

    Examples
    --------
    >>> [(x.tolist(), y.tolist()) for x, y in fastnn.data.windows(np.arange(6), 3, 1)]
    [([[0, 1, 2]], [[1, 2, 3]]), ([[3, 4, 0]], [[4, 5, -100]])]
    """
    return Windows(ids, length, batch_size)


def _shifted(rows: NDArray[Any]) -> Window:
    """Return the inputs and targets of windows that are one token longer."""
    return rows[:, :-1].astype(np.int64), rows[:, 1:].astype(np.int64)


def _checked_stream(ids: ArrayLike, least: int) -> NDArray[Any]:
    stream = ids if isinstance(ids, np.ndarray) else _as_array(ids)  # keeps a np.memmap
    if stream.ndim != 1 or (stream.size and stream.dtype.kind not in "iu"):
        raise TypeError(f"ids must be a sequence (n,) of integers, got {given(ids)}")
    if len(stream) < least:
        wanted = f"at least {least} are needed"
        raise ValueError(f"ids has {len(stream)} tokens, but {wanted}")
    return stream


def _as_array(ids: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(ids)
    except ValueError as error:  # rows of different lengths
        raise TypeError(f"ids must be a sequence (n,) of integers: {error}") from error
