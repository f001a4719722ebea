"""Stacks of Transformer blocks: encoder and decoder, from vectors to vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_count, check_generator
from .add_norm import AddNorm
from .backward_progress import current_listener
from .block import Block
from .linear import Seed
from .lowering import Builder
from .module import Module, Shapes
from .registry import prefixed, register
from .states import first_trained
from .transformer_block import DecoderBlock, EncoderBlock
from .walk import Lowering, Training, Walk, blocks_of

Array = NDArray[Any]

# Sanity limit, against typing errors and hostile files.
MOST_BLOCKS = 1024

# Options of blocks that a list may give for each block.
PER_BLOCK = ("rotary", "window", "attention_norm")


class Stack(Module):
    """Consecutive blocks and an optional final norm; see `TransformerEncoder`."""

    block: type[Block]
    fields: ClassVar = Block.fields | {"n_layers": int, "final_norm": bool}

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of the blocks and of the final norm."""
        n_layers = check_layers("n_layers", fields["n_layers"])
        own = options_of_blocks(n_layers, fields)
        parts = {str(i): cls.block.shapes({**fields, **own[i]}) for i in range(n_layers)}
        if fields["final_norm"]:
            kind = {"dim": fields["d_model"], "kind": fields["norm"]}
            parts["norm"] = AddNorm.shapes({**fields, **kind})
        return prefixed(parts)

    def __init__(
        self,
        n_layers: int,
        d_model: int,
        n_heads: int,
        d_ff: int,
        *,
        final_norm: bool | None = None,
        dropout: float = 0.0,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
        **options: Any,
    ) -> None:
        n_layers = check_layers("n_layers", n_layers)
        rng = check_generator("rng", rng)
        options |= {"dropout": dropout, "dtype": dtype, "rng": rng}
        own = options_of_blocks(n_layers, options)
        self.blocks = [self.block(d_model, n_heads, d_ff, **{**options, **how}) for how in own]
        self.norm = None
        if self.blocks[0].norm_first if final_norm is None else final_norm:
            like = self.blocks[0].norms[0]
            bias = like.bias is not None
            self.norm = AddNorm(
                d_model, dropout, like.eps, kind=like.kind, bias=bias, dtype=dtype, rng=rng
            )
        parts: dict[str, Module] = {str(i): block for i, block in enumerate(self.blocks)}
        super().__init__(parts if self.norm is None else {**parts, "norm": self.norm})

    def forward(self, x: Array, *memory: Array, **how: Any) -> tuple[Array, Any]:
        """Return the output (B, T, d_model) for x (B, T, d_model), and the context.

        Parameters
        ----------
        x : ndarray
        memory : ndarray (B, S, d_model)
            Decoder only.
        lengths : integers (B,) or (B, T), optional
            How many positions of x may be attended to, from the first.
        mask : ndarray, optional
            For the same attention, as in `MultiHeadAttention`.
        memory_lengths : integers (B,) or (B, T), optional
            Decoder only: how many positions of the memory count.
        """
        walk = Training()
        y = self.walk(walk, x, memory, how)
        *kept, last = walk.kept
        return y, (blocks_of(kept, len(self.blocks)), last)

    def backward(self, dy: Array, ctx: Any, need_dx: bool = True, *, release: bool = False) -> Any:
        """Add the parameters' gradients; return dx, or (dx, dmemory) in a decoder.

        With `release` the context is emptied block by block, so that the remaining blocks reuse its
        memory.
        """
        contexts, ctx_last = ctx
        last = self.blocks[-1].backward_sum if self.norm is None else self.norm.backward
        dterms = last(dy, ctx_last)
        dmemory: Array | None = None
        done = current_listener()
        if done is not None and self.norm is not None:
            done(self.norm)
        # a memory has gradients of every block
        first = 0 if self.block.has_memory else first_trained(self.blocks, need_dx)
        for i in reversed(range(first, len(self.blocks))):
            ctx_block = contexts.pop() if release else contexts[i]
            dterms, *more = self.blocks[i].backward_terms(dterms, ctx_block, need_dx or i > first)
            del ctx_block
            if done is not None:
                done(self.blocks[i])
            if more:
                dmemory = more[0] if dmemory is None else np.add(dmemory, more[0], out=dmemory)
        return dterms[1] if dmemory is None else (dterms[1], dmemory)

    def __call__(self, x: Array, *memory: Array, **how: Any) -> Array:
        """Return the output for x; keep nothing for backward."""
        y: Array = self.walk(Walk(), x, memory, how)
        return y

    def lower(self, b: Builder) -> None:
        """Walk the blocks with a builder's values in place of arrays."""
        memory = (None,) * self.block.has_memory
        b.value = self.walk(Lowering(b), b.value, memory, {})

    def walk(self, walk: Walk, x: Any, memory: tuple[Any, ...], how: dict[str, Any]) -> Any:
        """Return the output for x: the blocks in order, then the final norm or sum."""
        branch = None
        for block in self.blocks:
            branch, x = block.walk(walk, branch, x, memory, how)
        if self.norm is None:
            return walk.sum(self.blocks[-1], branch, x)
        return walk.add(self.norm, branch, x)

    def field_values(self) -> dict[str, Any]:
        """Return the fields of the blocks, their number, and whether there is a final norm."""
        values = [block.field_values() for block in self.blocks]
        n, per_block = len(values), {name: [of[name] for of in values] for name in PER_BLOCK}
        return {
            **values[0],
            **{name: found for name, found in per_block.items() if found != found[:1] * n},
            "n_layers": n,
            "final_norm": self.norm is not None,
        }

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)


@register("TransformerEncoder", rng=0)
class TransformerEncoder(Stack):
    """A stack of encoder blocks: *Dive into Deep Learning*, section 11.7.4.

    Parameters
    ----------
    n_layers : int
        Number of blocks.
    d_model, n_heads, d_ff, ...
        As in `EncoderBlock`; with ``causal=True`` it is the body of a decoder-only language model.
        rotary, window and attention_norm may be lists, with an element for each block.
    final_norm : bool, optional
        True if a norm follows the last block; by default only if norm_first.

    Attributes
    ----------
    blocks : list of EncoderBlock
    norm : AddNorm or None

    Examples
    --------
    >>> encoder = nn.TransformerEncoder(2, 16, 4, 32, rng=0)
    >>> encoder(np.ones((2, 5, 16), np.float32), lengths=np.array([5, 3])).shape
    (2, 5, 16)
    """

    block = EncoderBlock

    def freeze(self, max_len: int = 1024, *, weights: str | None = None) -> kernels.Plan:
        """Return a plan of the encoder for inputs of at most max_len positions: see `nn.freeze`."""
        return super().freeze(max_len=max_len, weights=weights)


@register("TransformerDecoder", rng=0)
class TransformerDecoder(Stack):
    """A stack of decoder blocks: *Dive into Deep Learning*, section 11.7.5.

    The parameters are those of `TransformerEncoder`; each call takes the memory after x.

    Attributes
    ----------
    blocks : list of DecoderBlock
    norm : AddNorm or None

    Examples
    --------
    >>> decoder = nn.TransformerDecoder(2, 16, 4, 32, rng=0)
    >>> x, memory = np.ones((2, 5, 16), np.float32), np.ones((2, 7, 16), np.float32)
    >>> decoder(x, memory).shape
    (2, 5, 16)
    """

    block = DecoderBlock


def check_layers(name: str, value: int) -> int:
    """Return `value` as an int from 1 to MOST_BLOCKS; raise TypeError or ValueError if not."""
    return check_count(name, value, high=MOST_BLOCKS)


def options_of_blocks(n_layers: int, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each block what lists in `options` give it; ValueError for other lengths."""
    found: list[dict[str, Any]] = [{} for _ in range(n_layers)]
    for name in PER_BLOCK:
        values = options.get(name)
        if isinstance(values, (list, tuple)):
            if len(values) != n_layers:
                raise ValueError(f"{name} has {len(values)} values for {n_layers} blocks")
            for own, value in zip(found, values, strict=True):
                own[name] = value
    return found
