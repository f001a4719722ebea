"""Which token comes next: the likeliest, or one drawn from the likeliest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_count, check_number

Draw = Callable[[], float]  # the next number of a stream that is uniform on [0, 1)

# `largest` compares halves until fewer than this many times k columns are left. 10 of 10,000 in
# each of 100 rows: 8.2 us a row by a partition of everything, 4.0 us so.
CANDIDATES = 32

# The tokens that `top_p` looks at first, of CANDIDATES times as many: where they make up p, as in
# nearly all text they do, the others need not be sorted. 50,257 tokens: 128 us against 878.
NUCLEUS = 256


class Sampler:
    """Draws a token for each row of logits.

    The logits are divided by the temperature; of their softmax, the `top_k` likeliest tokens are
    kept; of these, the fewest that make up `top_p` of their probability; and a token is drawn from
    what is left, in float64. This is the order of Hugging Face's `generate`. Tokens that are
    equally likely are kept or dropped together, so a cut does not depend on how a machine sorts.

    Parameters
    ----------
    temperature : float
        At least 0; 0 takes the likeliest token, of several the one with the smallest number.
    top_k : int, optional
        At least 1; more than there are tokens keeps them all.
    top_p : float, optional
        Above 0 and at most 1 (nucleus sampling, Holtzman et al. 2020).

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range; the message names it.
    """

    def __init__(
        self, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
    ) -> None:
        self.temperature = check_number("temperature", temperature, least=0)
        self.top_k = None if top_k is None else check_count("top_k", top_k)
        self.top_p = 1.0 if top_p is None else check_number("top_p", top_p, above=0, most=1)

    def __call__(
        self, logits: NDArray[Any], draws: Sequence[Draw], rows: Sequence[int]
    ) -> NDArray[np.int64]:
        """Tokens (B,) for logits (B, V), with one number of each row's stream unless greedy.

        Raises
        ------
        ValueError
            The largest logit of a row is NaN or infinite; `rows` has the names of the rows.
        """
        top = logits.max(axis=1, keepdims=True)
        finite = np.isfinite(top)
        if not finite.all():
            i = int(finite.argmin())
            raise ValueError(
                f"row {rows[i]}: no token can be chosen, the largest logit is {top[i, 0]}"
            )
        if self.temperature == 0:
            likeliest: NDArray[np.int64] = logits.argmax(axis=1)
            return likeliest
        columns = None
        if self.top_k is not None and self.top_k < logits.shape[1]:
            logits, columns = largest(logits, self.top_k)
        weights = np.subtract(logits, top, dtype=np.float64)
        with np.errstate(over="ignore"):  # a tiny temperature: -inf, which weighs nothing
            weights /= self.temperature
        np.exp(weights, out=weights)
        if self.top_p < 1:
            weights, columns = _nucleus(weights, columns, self.top_p)
        sums = np.cumsum(weights, axis=1, out=weights)
        # u < 1, so u total rounds to less than total, and a token without weight is never drawn:
        # its sum is that of the token before.
        target = np.array([[draw()] for draw in draws]) * sums[:, -1:]
        drawn: NDArray[np.int64] = (sums > target).argmax(axis=1)
        return drawn if columns is None else columns[np.arange(len(drawn)), drawn]


def _nucleus(
    weights: NDArray[np.float64], columns: NDArray[np.int64] | None, p: float
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Weights without those that are not among the fewest that make up p of each row's sum."""
    share = p * weights.sum(axis=1, keepdims=True)
    if columns is None and weights.shape[1] >= CANDIDATES * NUCLEUS:
        likely, at = largest(weights, NUCLEUS)
        np.maximum(likely, 0, out=likely)
        if (likely.sum(axis=1, keepdims=True) >= share).all():
            weights, columns = likely, at
    falling = -np.sort(-weights, axis=1)
    count = (falling.cumsum(axis=1) < share).sum(axis=1, keepdims=True)  # before the last one
    np.minimum(count, weights.shape[1] - 1, out=count)  # p near 1, where sums are rounded
    weights[weights < np.take_along_axis(falling, count, axis=1)] = 0
    return weights, columns


def largest(x: NDArray[Any], k: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The k largest of each row of x (n, size), and all that equal the smallest of these.

    Parameters
    ----------
    x : ndarray without NaN
    k : int
        From 1 to size.

    Returns
    -------
    values, columns : ndarray of shape (n, at least k)
        ``x[i, columns[i]]`` in the order of the columns. Where a row has fewer than another, and in
        some places between, the value is -inf and counts as absent.
    """
    n, size = x.shape
    if k == size:
        return x, np.broadcast_to(np.arange(size), x.shape)
    # k blocks of columns each have something as large as the k-th largest of the blocks' maxima:
    # a bound from below that few others reach.
    maxima = x
    while maxima.shape[1] >= CANDIDATES * k:
        half = maxima.shape[1] // 2
        maxima = np.maximum(maxima[:, :half], maxima[:, half : 2 * half])
    at = np.flatnonzero(x >= _kth(maxima, k))
    values, columns = x.ravel()[at], at % size
    if n == 1:
        values, columns = values[None], columns[None]
    elif len(at) == n * k:  # at least k of each row: so exactly k
        values, columns = values.reshape(n, k), columns.reshape(n, k)
    else:
        values, columns = _pack(values, columns, at // size, n)
    if values.shape[1] > k:
        values[values < _kth(values, k)] = -np.inf
    return values, columns


def _kth(x: NDArray[Any], k: int) -> NDArray[Any]:
    """The k-th largest of each row, (n, 1)."""
    at = x.shape[1] - k
    return np.partition(x, at, axis=1)[:, at : at + 1]


def _pack(
    values: NDArray[Any], columns: NDArray[np.int64], rows: NDArray[np.int64], n: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Rows of different lengths, one behind the other, as matrices with -inf and column 0 behind."""
    counts = np.bincount(rows, minlength=n)
    starts = counts.cumsum() - counts
    places = np.arange(len(rows)) - starts[rows]
    shape = (n, int(counts.max()))
    packed, numbers = np.full(shape, -np.inf, values.dtype), np.zeros(shape, np.int64)
    packed[rows, places], numbers[rows, places] = values, columns
    return packed, numbers
