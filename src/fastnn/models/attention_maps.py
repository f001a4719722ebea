"""Attention weights of a model: what each head attends to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..nn.attention import MultiHeadAttention
from ..nn.transformer import Stack
from ..nn.walk import Walk, blocks_of

Array = NDArray[Any]


class Seq2SeqWeights(NamedTuple):
    """Attention weights, one array (B, n_heads, queries, keys) per block; rows sum to 1.

    Attributes
    ----------
    encoder : list of ndarray (B, H, S, S)
    decoder : list of ndarray (B, H, T, T)
    cross : list of ndarray (B, H, T, S)
        From positions of the target to those of the source.

    Examples
    --------
    >>> model = fastnn.models.Seq2SeqTransformer(50, d_model=16, n_layers=1, max_len=8, rng=0)
    >>> weights = model.attention_weights(np.array([[4, 5, 6]]), np.array([[1, 7]]))
    >>> weights.cross[0].shape  # of the only block: 4 heads, 2 queries, 3 keys
    (1, 4, 2, 3)
    """

    encoder: list[Array]
    decoder: list[Array]
    cross: list[Array]


class Maps(Walk):
    """Inference that keeps the weights of every attention, in order."""

    def __init__(self) -> None:
        self.weights: list[Array] = []

    def run(self, part: Any, y: Any, options: dict[str, Any]) -> Any:
        """Return the output for y; keep the weights of attention."""
        if not isinstance(part, MultiHeadAttention):
            return part(y, **options)
        y, weights = part(y, need_weights=True, **options)
        self.weights.append(weights)
        return y


def run_stack(
    stack: Stack, x: Array, *memory: Array, **how: Any
) -> tuple[Array, list[Sequence[Array]]]:
    """Return the output of a stack, and for each block the weights of its attentions, in order."""
    maps = Maps()
    y = stack.walk(maps, x, memory, how)
    return y, blocks_of(maps.weights, len(stack))
