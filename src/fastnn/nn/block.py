"""What blocks of a Transformer share: parts, residual sums and the places of norms.

Each part adds its result to its input, and norms have several places:

    post        x = norm(x + part(x))                       the book, BERT
    pre         x = x + part(norm(x))                       Xiong et al., 2020; GPT-2, Llama
    branch      x = x + norm(part(x))                       OLMo 2
    sandwich    x = x + after(part(norm(x)))                Gemma 2 and 3
    parallel    x = x + attention(norm1(x)) + feed_forward(norm2(x))        GPT-NeoX

But for post-norm a block passes on its last sum as two terms, branch and x: the next norm adds them
in its own pass over memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_choice, check_flag, check_generator, check_probability
from .add_norm import AddNorm
from .attention import MultiHeadAttention
from .dropout import new_stream
from .feed_forward import FeedForward
from .init import Initializer
from .linear import Seed
from .lowering import Builder
from .module import Module, Shapes
from .randomness import RandomStream
from .registry import prefixed
from .walk import Lowering, Training, Walk, sum_of

Array = NDArray[Any]
Terms = tuple[Array | None, Array]  # (branch, x), which stand for their sum; branch None: zeros
Placement = Literal["post", "pre", "branch", "sandwich", "parallel"]
PLACEMENTS: tuple[Placement, ...] = ("post", "pre", "branch", "sandwich", "parallel")

# Fields that cross-attention does not share.
_OF_SELF_ATTENTION = ("head_dim", "qkv_bias", "qk_norm", "window")


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
        "rotary": (bool | dict | list, False),
        "causal": bool,
        "placement": (str | None, None),
        "gated": (bool, False),
        "head_dim": (int | None, None),
        "qkv_bias": (bool | None, None),
        "qk_norm": (str | None, None),
        "window": (int | list | None, None),
        "attention_norm": (bool | list, True),
        "dtype": (str, "float32"),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of its parts."""
        norm = AddNorm.shapes({**fields, "dim": fields["d_model"], "kind": fields["norm"]})
        parts = {"attention": MultiHeadAttention.shapes({**fields, "d_memory": None})}
        if cls.has_memory:
            plain = {"d_memory": fields["d_model"]} | dict.fromkeys(_OF_SELF_ATTENTION)
            parts["cross_attention"] = MultiHeadAttention.shapes({**fields, **plain})
        parts["feed_forward"] = FeedForward.shapes(fields)
        found = {}
        for i, (name, shapes) in enumerate(parts.items(), 1):
            found[name] = shapes
            if i > 1 or fields.get("attention_norm", True):
                found[f"norm{i}"] = norm
            if fields.get("placement") == "sandwich":
                found[f"after{i}"] = norm
        return prefixed(found)

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
        rotary: bool | Mapping[str, Any] = False,
        causal: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
        init: str | Initializer = "xavier_uniform",
        out_init: str | Initializer | None = None,
        placement: Placement | None = None,
        gated: bool = False,
        head_dim: int | None = None,
        qkv_bias: bool | None = None,
        qk_norm: Literal["head", "all"] | None = None,
        window: int | None = None,
        attention_norm: bool = True,
    ) -> None:
        rng = check_generator("rng", rng)
        self._set_placement(norm_first, placement, attention_norm)
        self.causal = check_flag("causal", causal)
        self.dropout = check_probability("dropout", dropout)
        self.stream = new_stream(rng)
        drawn: dict[str, Any] = {"bias": bias, "dtype": dtype, "rng": rng}
        drawn |= {"init": init, "out_init": out_init}
        heads: dict[str, Any] = {"n_kv_heads": n_kv_heads, "dropout": attention_dropout, **drawn}
        own: dict[str, Any] = {"head_dim": head_dim, "qkv_bias": qkv_bias, "window": window}
        own |= {"rotary": rotary, "qk_norm": qk_norm, "eps": eps, **heads}
        self.attention = MultiHeadAttention(d_model, n_heads, **own)
        layers: dict[str, Any] = {"attention": self.attention}
        kind: dict[str, Any] = {"kind": norm, "bias": bias, "dtype": dtype, "rng": rng}
        norms = [self._new_norms(i, d_model, eps, **kind) for i in range(2 + self.has_memory)]
        if self.has_memory:
            self.cross_attention = MultiHeadAttention(d_model, n_heads, d_memory=d_model, **heads)
            layers["cross_attention"] = self.cross_attention
        self.feed_forward = FeedForward(d_model, d_ff, activation, gated=gated, **drawn)
        layers["feed_forward"] = self.feed_forward
        parts: dict[str, Any] = {}
        self._places: list[tuple[Any, AddNorm | None, AddNorm | None]] = []
        for i, ((name, layer), (one, two)) in enumerate(zip(layers.items(), norms, strict=True), 1):
            found = {name: layer, f"norm{i}": one, f"after{i}": two}
            parts |= {key: part for key, part in found.items() if part is not None}
            is_after = self.placement in ("post", "branch")
            self._places.append((layer, None, one) if is_after else (layer, one, two))
        self.norms: list[AddNorm] = [one for pair in norms for one in pair if one is not None]
        super().__init__(parts)

    def _set_placement(
        self, norm_first: bool, placement: Placement | None, attention_norm: bool
    ) -> None:
        self.norm_first = check_flag("norm_first", norm_first)
        self.placement: Placement = "pre" if norm_first else "post"
        if placement is not None:
            self.placement = check_choice("placement", placement, PLACEMENTS)
            self.norm_first = placement != "post"
        self.attention_norm = check_flag("attention_norm", attention_norm)
        if not attention_norm and self.placement != "pre":
            raise ValueError(f"attention_norm is needed with the placement {self.placement!r}")
        if self.has_memory and self.placement == "parallel":
            raise ValueError("the placement 'parallel' is for blocks without a memory")

    def _new_norms(
        self, i: int, d_model: int, eps: float, **kind: Any
    ) -> tuple[AddNorm | None, AddNorm | None]:
        """Return the norm of part i, and in a sandwich a second one after it, or None."""
        has_sum = self.placement in ("pre", "sandwich", "parallel")
        has = i > 0 or self.attention_norm
        one = AddNorm(d_model, self.dropout, eps, with_sum=has_sum, **kind) if has else None
        has = self.placement == "sandwich"
        return one, AddNorm(d_model, self.dropout, eps, **kind) if has else None

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
        *kept, drop = walk.kept
        return y, (kept, drop)

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
        options = self._options(memory, how)
        if self.placement == "parallel":
            (attention, norm1, _), (feed_forward, norm2, _) = self._places
            y, x = walk.add(norm1, branch, x)
            first = walk.run(attention, y, options[0])
            y, x = walk.add(norm2, None, x)
            return walk.join(first, walk.run(feed_forward, y, options[1])), x
        for (part, before, after), how_part in zip(self._places, options, strict=True):
            if self.placement == "post":
                x = walk.add(after, walk.run(part, x, how_part), x)
                branch = None
                continue
            if before is None:
                y = x = walk.sum(self, branch, x)
            else:
                y, x = walk.add(before, branch, x)
            branch = walk.run(part, y, how_part)
            if after is not None:
                branch = walk.add(after, None, branch)
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
        kept = list(ctx)
        if self.placement == "parallel":
            return (self._backward_parallel(dbranch, dx, kept),)
        for i in reversed(range(len(self._places))):
            part, before, after = self._places[i]
            need = need_dx or i > 0 or self.placement != "post"
            if after is not None:
                dbranch, dx_sum = after.backward(dbranch if self.norm_first else dx, kept.pop())
                dx = dx if self.norm_first else dx_sum
            dy = part.backward(dbranch, kept.pop(), need)
            if isinstance(dy, tuple):
                dy, *dmemory = dy
            if before is not None:
                dbranch, dx = before.backward((dy, dx), kept.pop())
                continue
            dx = np.add(dy, dx, out=dy) if need else None
            dbranch = None
            if self.norm_first:
                dbranch, dx = self.backward_sum(dx, kept.pop())
        return ((dbranch, dx), *dmemory)

    def _backward_parallel(self, dbranch: Array | None, dx: Any, kept: list[Any]) -> Terms:
        """Return the gradients of the terms that went into parallel parts."""
        (attention, norm1, _), (feed_forward, norm2, _) = self._places
        assert norm1 is not None and norm2 is not None
        dy = feed_forward.backward(dbranch, kept.pop())
        dx = norm2.backward((dy, dx), kept.pop())[1]
        dy = attention.backward(dbranch, kept.pop())
        terms: Terms = norm1.backward((dy, dx), kept.pop())
        return terms

    def _options(self, memory: tuple[Any, ...], how: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the options of each part, in order."""
        known = ("lengths", "mask", "memory_lengths")[: 2 + self.has_memory]
        if unknown := [name for name in how if name not in known]:
            raise TypeError(f"{type(self).__name__} takes no {unknown[0]!r}, only {known}")
        if len(memory) != self.has_memory:
            takes = "x and memory" if self.has_memory else "x alone"
            raise TypeError(
                f"{type(self).__name__} takes {takes} by position, got {1 + len(memory)} arrays"
            )
        own = {"causal": self.causal, "lengths": how.get("lengths"), "mask": how.get("mask")}
        if not self.has_memory:
            return [own, {}]
        return [own, {"memory": memory[0], "lengths": how.get("memory_lengths")}, {}]

    def field_values(self) -> dict[str, Any]:
        """Return the fields of the config."""
        attention, norm, feed_forward = self.attention, self.norms[0], self.feed_forward
        return {
            **{name: getattr(attention, name) for name in ("d_model", "n_heads", "n_kv_heads")},
            "d_ff": feed_forward.d_ff,
            "activation": feed_forward.activation,
            "dropout": self.dropout,
            "attention_dropout": attention.dropout,
            "norm_first": self.norm_first,
            "norm": norm.kind,
            "eps": norm.eps,
            "bias": attention.out.bias is not None,
            "rotary": attention.rotary,
            "causal": self.causal,
            "placement": None if self.placement in ("post", "pre") else self.placement,
            "gated": feed_forward.gated,
            **{name: getattr(attention, name) for name in _OF_SELF_ATTENTION},
            "attention_norm": self.attention_norm,
            "dtype": norm.dtype.name,
        }
