"""Inference over sequences one after the other, without padding between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..kernels.ground.memory import empty
from .attention import MultiHeadAttention
from .heads import by_head, split_heads
from .walk import Walk

Array = NDArray[Any]


class Packed(Walk):
    """Every part runs over all rows (R, d_model) at once, but attention over its sequences.

    Sequences of equal length that stand side by side are one call of attention.

    Parameters
    ----------
    lengths : integers (n,)
        Rows of each sequence.
    bias : callable, optional
        Returns the mask of attention within so many positions.
    """

    def __init__(
        self,
        lengths: NDArray[np.integer[Any]],
        bias: Callable[[int], Array | None] = lambda length: None,
    ) -> None:
        self._bias = bias
        self._runs = [(int(n), len(list(run))) for n, run in groupby(lengths)]

    def run(self, part: Any, y: Any, options: dict[str, Any]) -> Any:
        """Return the output of the feed-forward network or of attention for rows y."""
        return self._attend(part, y) if isinstance(part, MultiHeadAttention) else part(y)

    def _attend(self, part: MultiHeadAttention, y: Array) -> Array:
        qkv, d = part.qkv(y), part.n_heads * part.head_dim
        heads = empty((len(y), d), y.dtype)
        for rows, T in self._rows():
            some = qkv[rows].reshape(-1, T, qkv.shape[1])
            layout = part.n_heads, part.n_kv_heads, part.norms
            q, k, v, _ = by_head(some[..., :d], some[..., d:], *layout)
            if part.rotary:
                part.turn(q, k)
            out = split_heads(heads[rows].reshape(-1, T, d), part.n_heads)
            kernels.attention(q, k, v, mask=self._bias(T), window=part.window, out=out)
        return part.out(heads)

    def _rows(self) -> Iterator[tuple[slice, int]]:
        """Yield the rows of sequences of equal length, and that length."""
        start = 0
        for T, n in self._runs:
            yield slice(start, start + n * T), T
            start += n * T
