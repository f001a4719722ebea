"""Choose the next token: the most likely one, or one drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_count, check_number

Draw = Callable[[], float]  # next number of a stream, uniform on [0, 1)

# `largest` takes maxima of halves while there are at least CANDIDATES * k columns
# (docs/tuning.md).
CANDIDATES = 32

# `top_p` first tries this many most likely tokens if there are CANDIDATES times as many
# (docs/tuning.md). If they reach p, as in nearly all text, no other token needs sorting.
NUCLEUS = 256


class Sampler:
    """Draw a token for each row of logits.

    The logits are divided by the temperature. Of their softmax the `top_k` most likely tokens are
    kept, and of these the smallest set with `top_p` of their probability. A token is drawn from the
    remaining ones, in float64. This is the order of Hugging Face's `generate`. Equally likely
    tokens are kept or dropped together, so the result does not depend on how a machine sorts ties.

    Parameters
    ----------
    temperature : float
        At least 0; 0 takes the most likely token, with ties going to the smallest id.
    top_k : int, optional
        At least 1; values above the vocabulary size keep all tokens.
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
        """Return tokens (B,) for logits (B, V); draw one number per row unless greedy.

        Raises
        ------
        ValueError
            The largest logit of a row is NaN or infinite; `rows` has the row numbers for the error.
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
        with np.errstate(over="ignore"):  # a tiny temperature gives -inf, of weight 0
            weights /= self.temperature
        np.exp(weights, out=weights)
        if self.top_p < 1:
            weights, columns = _nucleus(weights, columns, self.top_p)
        sums = np.cumsum(weights, axis=1, out=weights)
        # u < 1, so u * total rounds below total. A token of weight 0 is never drawn: its sum equals
        # that of the previous token.
        target = np.array([[draw()] for draw in draws]) * sums[:, -1:]
        drawn: NDArray[np.int64] = (sums > target).argmax(axis=1)
        return drawn if columns is None else columns[np.arange(len(drawn)), drawn]


def penalized(logits: NDArray[Any], texts: Sequence[Sequence[int]], penalty: float) -> NDArray[Any]:
    """Return logits (B, V) in which the tokens that a row has read are less likely.

    Positive logits are divided by `penalty`, others multiplied (Keskar et al., CTRL, 2019).
    """
    if penalty == 1:
        return logits
    logits = logits.copy()
    for row, text in zip(logits, texts, strict=True):
        seen = np.unique(np.asarray(text))
        row[seen] = np.where(row[seen] > 0, row[seen] / penalty, row[seen] * penalty)
    return logits


def _nucleus(
    weights: NDArray[np.float64], columns: NDArray[np.int64] | None, p: float
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Keep the smallest set of weights with p of each row's sum; set others to 0 or drop them."""
    share = p * weights.sum(axis=1, keepdims=True)
    if columns is None and weights.shape[1] >= CANDIDATES * NUCLEUS:
        likely, at = largest(weights, NUCLEUS)
        np.maximum(likely, 0, out=likely)
        if (likely.sum(axis=1, keepdims=True) >= share).all():
            weights, columns = likely, at
    falling = -np.sort(-weights, axis=1)
    count = (falling.cumsum(axis=1) < share).sum(axis=1, keepdims=True)  # without the last one
    np.minimum(count, weights.shape[1] - 1, out=count)  # for p near 1: sums are rounded
    weights[weights < np.take_along_axis(falling, count, axis=1)] = 0
    return weights, columns


def largest(x: NDArray[Any], k: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the k largest of each row of x (n, size), and all ties with the smallest of them.

    Parameters
    ----------
    x : ndarray without NaN
    k : int
        From 1 to size.

    Returns
    -------
    values, columns : ndarray of shape (n, at least k)
        ``x[i, columns[i]]`` in the order of the columns. A value of -inf marks an absent entry:
        rows with fewer entries are padded, and there may be gaps.
    """
    n, size = x.shape
    if k == size:
        return x, np.broadcast_to(np.arange(size), x.shape)
    # At least k columns reach the k-th largest of the block maxima, so it is a lower bound of the
    # k-th largest element, and few others reach it.
    maxima = x
    while maxima.shape[1] >= CANDIDATES * k:
        half = maxima.shape[1] // 2
        maxima = np.maximum(maxima[:, :half], maxima[:, half : 2 * half])
    at = np.flatnonzero(x >= _kth(maxima, k))
    values, columns = x.ravel()[at], at % size
    if n == 1:
        values, columns = values[None], columns[None]
    elif len(at) == n * k:  # at least k per row, so exactly k
        values, columns = values.reshape(n, k), columns.reshape(n, k)
    else:
        values, columns = _pack(values, columns, at // size, n)
    if values.shape[1] > k:
        values[values < _kth(values, k)] = -np.inf
    return values, columns


def _kth(x: NDArray[Any], k: int) -> NDArray[Any]:
    """Return the k-th largest of each row, (n, 1)."""
    at = x.shape[1] - k
    return np.partition(x, at, axis=1)[:, at : at + 1]


def _pack(
    values: NDArray[Any], columns: NDArray[np.int64], rows: NDArray[np.int64], n: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return concatenated rows of different lengths as matrices, padded with -inf and column 0."""
    counts = np.bincount(rows, minlength=n)
    starts = counts.cumsum() - counts
    places = np.arange(len(rows)) - starts[rows]
    shape = (n, int(counts.max()))
    packed, numbers = np.full(shape, -np.inf, values.dtype), np.zeros(shape, np.int64)
    packed[rows, places], numbers[rows, places] = values, columns
    return packed, numbers
