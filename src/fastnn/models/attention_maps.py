"""What the heads of a model look at."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..nn.attention import MultiHeadAttention
from ..nn.transformer import Stack

Array = NDArray[Any]


class Seq2SeqWeights(NamedTuple):
    """Attention weights, one array (B, n_heads, queries, keys) for each block; rows sum to 1.

    Attributes
    ----------
    encoder : list of ndarray (B, H, S, S)
    decoder : list of ndarray (B, H, T, T)
    cross : list of ndarray (B, H, T, S)
        Of the target's positions, to the source's.
    """

    encoder: list[Array]
    decoder: list[Array]
    cross: list[Array]


def run_stack(
    stack: Stack, x: Array, *memory: Array, **how: Any
) -> tuple[Array, list[list[Array]]]:
    """The output of a stack, and of each of its blocks the weights of each attention in turn."""
    branch: Array | None = None
    found = []
    for block in stack:
        weights = []
        for part, norm, options in block._parts(memory, how):
            y, x = norm(branch, x) if block.norm_first else (x, x)
            if isinstance(part, MultiHeadAttention):
                branch, seen = part(y, need_weights=True, **options)
                weights.append(seen)
            else:
                branch = part(y)
            if not block.norm_first:
                branch, x = None, norm(branch, x)
        found.append(weights)
    return stack._last(branch, x), found
