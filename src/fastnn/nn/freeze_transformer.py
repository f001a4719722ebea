"""From a Transformer to a plan of its own kind."""

from __future__ import annotations

from typing import Any

from .. import kernels
from ..checks import check_count
from .linear import Linear
from .transformer import TransformerEncoder
from .transformer_block import EncoderBlock


def freeze_transformer(
    encoder: TransformerEncoder, max_len: int = 1024, **tokens: Any
) -> kernels.TransformerPlan:
    """A plan that computes what a `TransformerEncoder` computes now.

    Parameters
    ----------
    encoder : TransformerEncoder
        Of a language model where there are tokens.
    max_len : int
        Positions at most.
    **tokens
        embedding, scale, positions and head, as for `kernels.TransformerPlan`.

    Raises
    ------
    TypeError
        The encoder, or a block, is of a subclass, which may do something else.
    """
    if type(encoder) is not TransformerEncoder:
        raise TypeError(f"freeze: {type(encoder).__name__} has no place in a plan")
    for block in encoder.blocks:
        if type(block) is not EncoderBlock:
            raise TypeError(f"freeze: {type(block).__name__} has no place in a plan")
    first = encoder.blocks[0]
    attention, norm = first.attention, first.norms[0]
    return kernels.TransformerPlan(
        [_weights(block) for block in encoder.blocks],
        n_heads=attention.n_heads,
        n_kv_heads=attention.n_kv_heads,
        activation=first.feed_forward.up.activation,
        norm_first=first.norm_first,
        rms=norm.kind == "rms",
        causal=first.causal,
        rotary=attention.rotary,
        eps=norm.eps,
        max_len=check_count("max_len", max_len),
        last=None if encoder.norm is None else _pair(encoder.norm),
        **tokens,
    )


def _weights(block: Any) -> dict[str, tuple[Any, Any]]:
    parts = {
        "norm1": block.norms[0],
        "qkv": block.attention.qkv,
        "out": block.attention.out,
        "norm2": block.norms[1],
        "up": block.feed_forward.up,
        "down": block.feed_forward.down,
    }
    return {name: _pair(part) for name, part in parts.items()}


def _pair(part: Linear | Any) -> tuple[Any, Any]:
    return tuple(None if p is None else p.data for p in (part.weight, part.bias))  # type: ignore[return-value]
