"""The blocks of a Transformer: *Dive into Deep Learning*, section 11.7.

Each part adds its result to its input, x + part(x), and a norm follows the sum as in the book
(post-norm) or precedes the part (pre-norm: Xiong et al., 2020, GPT-2). A pre-norm block passes on
its last sum as two terms, branch and x: the next norm adds them in its own pass over memory.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_flag, check_generator, check_probability
from .add_norm import AddNorm
from .attention import MultiHeadAttention
from .dropout import new_stream
from .feed_forward import FeedForward
from .init import Initializer
from .linear import Seed
from .lowering import Builder
from .module import Module, Shapes
from .randomness import RandomStream
from .registry import prefixed, register
from .walk import Lowering, Training, Walk, sum_of

Array = NDArray[Any]
Terms = tuple[Array | None, Array]  # (branch, x), which stand for their sum; branch None: zeros


class Block(Module):
    """Base of encoder and decoder blocks; see `EncoderBlock` for the parameters."""

    stream: RandomStream
    has_memory = False

    fields: ClassVar = {
        "d_model": int,
        "n_heads": int,
        "d_ff": int,
        "n_kv_heads": int,
        "activation": (str | None, "relu"),
        "dropout": (float, 0.0),
        "attention_dropout": (float, 0.0),
        "norm_first": (bool, False),
        "norm": (str, "layer"),
        "eps": (float, 1e-5),
        "bias": (bool, True),
        "rotary": (bool, False),
        "causal": bool,
        "dtype": (str, "float32"),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of its parts."""
        norm = AddNorm.shapes({**fields, "dim": fields["d_model"], "kind": fields["norm"]})
        attention = MultiHeadAttention.shapes({**fields, "d_memory": None})
        parts = {"attention": attention, "norm1": norm}
        if cls.has_memory:
            cross = MultiHeadAttention.shapes({**fields, "d_memory": fields["d_model"]})
            parts |= {"cross_attention": cross, "norm2": norm}
        feed_forward = FeedForward.shapes(fields)
        return prefixed(parts | {"feed_forward": feed_forward, f"norm{2 + cls.has_memory}": norm})

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        *,
        n_kv_heads: int | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        norm_first: bool = False,
        norm: Literal["layer", "rms"] = "layer",
        eps: float = 1e-5,
        bias: bool = True,
        rotary: bool = False,
        causal: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
        init: str | Initializer = "xavier_uniform",
        out_init: str | Initializer | None = None,
    ) -> None:
        rng = check_generator("rng", rng)
        self.norm_first = check_flag("norm_first", norm_first)
        self.causal = check_flag("causal", causal)
        self.dropout = check_probability("dropout", dropout)
        self.stream = new_stream(rng)
        drawn: dict[str, Any] = {"bias": bias, "dtype": dtype, "rng": rng}
        drawn |= {"init": init, "out_init": out_init}
        heads: dict[str, Any] = {"n_kv_heads": n_kv_heads, "dropout": attention_dropout, **drawn}

        def new_norm() -> AddNorm:
            return AddNorm(
                d_model,
                dropout,
                eps,
                kind=norm,
                with_sum=self.norm_first,
                bias=bias,
                dtype=dtype,
                rng=rng,
            )

        self.attention = MultiHeadAttention(d_model, n_heads, rotary=rotary, **heads)
        parts: dict[str, Any] = {"attention": self.attention}
        self.norms = [new_norm() for _ in range(3 if self.has_memory else 2)]
        parts["norm1"] = self.norms[0]
        if self.has_memory:
            self.cross_attention = MultiHeadAttention(d_model, n_heads, d_memory=d_model, **heads)
            parts |= {"cross_attention": self.cross_attention, "norm2": self.norms[1]}
        self.feed_forward = FeedForward(d_model, d_ff, activation, dropout=0.0, **drawn)
        parts |= {"feed_forward": self.feed_forward, f"norm{len(self.norms)}": self.norms[-1]}
        super().__init__(parts)

    def forward(self, x: Array, *memory: Array, **how: Any) -> tuple[Array, Any]:
        """Return the output (B, T, d_model) for x (B, T, d_model), and the context.

        Parameters
        ----------
        x, memory : ndarray
        lengths, mask
            For the attention to the block's own input, as in `MultiHeadAttention`; a decoder block
            also takes `memory_lengths`.
        """
        walk = Training()
        y = walk.sum(self, *self.walk(walk, None, x, memory, how))
        *norms, drop = walk.norms
        return y, (list(zip(walk.parts, norms, strict=True)), drop)

    def backward(self, dy: Array, ctx: Any, need_dx: bool = True) -> Any:
        """Add the parameters' gradients; return dx, or (dx, dmemory) in a decoder block."""
        (_, dx), *dmemory = self.backward_terms(self.backward_sum(dy, ctx[1]), ctx[0], need_dx)
        return (dx, *dmemory) if dmemory else dx

    def __call__(self, x: Array, *memory: Array, **how: Any) -> Array:
        """Return the output for x; keep nothing for backward."""
        return sum_of(*self.walk(Walk(), None, x, memory, how))

    def lower(self, b: Builder) -> None:
        """Walk the block with a builder's values in place of arrays."""
        walk = Lowering(b)
        walk.sum(self, *self.walk(walk, None, b.value, (None,) * self.has_memory, {}))

    def walk(
        self, walk: Walk, branch: Any, x: Any, memory: tuple[Any, ...], how: dict[str, Any]
    ) -> tuple[Any, Any]:
        """Return the output as terms (branch, x); the order of parts is defined here only."""
        for part, norm, options in self._parts(memory, how):
            if self.norm_first:
                y, x = walk.add(norm, branch, x)
                branch = walk.run(part, y, options)
            else:
                x = walk.add(norm, walk.run(part, x, options), x)
                branch = None
        return branch, x

    def forward_sum(self, branch: Array | None, x: Array) -> tuple[Array, Any]:
        """Return dropout(branch) + x, if no norm follows, and what `backward_sum` needs."""
        if branch is None:
            return x, None
        p, seed, step = self.stream.drop(self.dropout)
        drop: dict[str, Any] = {"p": p, "seed": seed, "step": step}
        return sum_of(kernels.dropout(branch, **drop), x), drop

    def backward_sum(self, dy: Array, drop: Any) -> Terms:
        """Return the gradients of the terms of `forward_sum`."""
        return None if drop is None else kernels.dropout_backward(dy, **drop), dy

    def backward_terms(self, dterms: Terms, ctx: Any, need_dx: bool = True) -> tuple[Any, ...]:
        """Return ((dbranch, dx), dmemory...) for the gradients of the output's terms."""
        dbranch: Array | None
        dx: Any
        dbranch, dx = dterms
        dmemory: list[Array] = []
        parts = list(self._parts((None,) * self.has_memory, {}))
        for i in reversed(range(len(parts))):
            part, norm, _ = parts[i]
            ctx_part, ctx_norm = ctx[i]
            need = need_dx or i > 0
            if self.norm_first:
                dy = part.backward(dbranch, ctx_part)
                if isinstance(dy, tuple):
                    dy, *dmemory = dy
                dbranch, dx = norm.backward((dy, dx), ctx_norm)
            else:
                dbranch, dx = norm.backward(dx, ctx_norm)
                dy = part.backward(dbranch, ctx_part, need)
                if isinstance(dy, tuple):
                    dy, *dmemory = dy
                dbranch, dx = None, np.add(dy, dx, out=dy) if need else None
        return ((dbranch, dx), *dmemory)

    def _parts(self, memory: tuple[Any, ...], how: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Return (layer, its norm, its options) in order."""
        known = ("lengths", "mask", "memory_lengths")[: 2 + self.has_memory]
        if unknown := [name for name in how if name not in known]:
            raise TypeError(f"{type(self).__name__} takes no {unknown[0]!r}, only {known}")
        if len(memory) != self.has_memory:
            takes = "x and memory" if self.has_memory else "x alone"
            raise TypeError(
                f"{type(self).__name__} takes {takes} by position, got {1 + len(memory)} arrays"
            )
        own = {"causal": self.causal, "lengths": how.get("lengths"), "mask": how.get("mask")}
        parts: list[tuple[Any, ...]] = [(self.attention, self.norms[0], own)]
        if self.has_memory:
            options = {"memory": memory[0], "lengths": how.get("memory_lengths")}
            parts.append((self.cross_attention, self.norms[1], options))
        parts.append((self.feed_forward, self.norms[-1], {}))
        return parts

    def field_values(self) -> dict[str, Any]:
        """Return the fields of the config."""
        attention, norm = self.attention, self.norms[0]
        return {
            "d_model": attention.d_model,
            "n_heads": attention.n_heads,
            "d_ff": self.feed_forward.up.out_features,
            "n_kv_heads": attention.n_kv_heads,
            "activation": self.feed_forward.up.activation,
            "dropout": self.dropout,
            "attention_dropout": attention.dropout,
            "norm_first": self.norm_first,
            "norm": norm.kind,
            "eps": norm.eps,
            "bias": attention.out.bias is not None,
            "rotary": attention.rotary,
            "causal": self.causal,
            "dtype": norm.dtype.name,
        }


@register("EncoderBlock", rng=0)
class EncoderBlock(Block):
    """Self-attention and a feed-forward network, each with a residual connection and a norm.

    With `causal` it is the block of a decoder-only language model.

    Parameters
    ----------
    d_model, n_heads, n_kv_heads, rotary
        As in `MultiHeadAttention`.
    d_ff, activation
        As in `FeedForward`.
    dropout : float
        Dropout of what each part adds to its input, in training only.
    attention_dropout : float
        Dropout of attention weights.
    norm_first : bool
        True for pre-norm, False for post-norm.
    norm : {"layer", "rms"}
    eps : float
        Epsilon of the norms.
    bias : bool
        True if linear layers and layer norms have biases.
    causal : bool
        True if no position attends to a later one.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
    init, out_init : str or callable
        How weights are drawn, as in `Linear`; out_init for the last layer of each part.

    Attributes
    ----------
    attention : MultiHeadAttention
    feed_forward : FeedForward
    norms : list of AddNorm

    Examples
    --------
    >>> block = nn.EncoderBlock(16, 2, 32, rng=0)
    >>> block(np.ones((2, 5, 16), np.float32), lengths=np.array([5, 3])).shape
    (2, 5, 16)
    """


@register("DecoderBlock", rng=0)
class DecoderBlock(Block):
    """Causal self-attention, attention to a memory (B, S, d_model), and a feed-forward network.

    The parameters are those of `EncoderBlock`.

    Attributes
    ----------
    attention, cross_attention : MultiHeadAttention
    feed_forward : FeedForward
    norms : list of AddNorm

    Examples
    --------
    >>> block = nn.DecoderBlock(16, 2, 32, rng=0)
    >>> x, memory = np.ones((2, 5, 16), np.float32), np.ones((2, 7, 16), np.float32)
    >>> block(x, memory).shape
    (2, 5, 16)
    """

    has_memory = True

    def __init__(self, *args: Any, causal: bool = True, **options: Any) -> None:
        super().__init__(*args, causal=causal, **options)
