"""Multi-head attention as a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import (
    check_choice,
    check_count,
    check_dtype,
    check_generator,
    check_number,
    check_probability,
)
from ..kernels import NotLowerable
from ..kernels.ground.memory import empty
from ..parameters import Parameter
from .dropout import new_stream
from .heads import (
    attention_shapes,
    by_head,
    check_heads,
    check_vectors,
    norm_heads_backward,
    split_heads,
)
from .init import Initializer
from .linear import Linear, Seed
from .lowering import Builder
from .module import Module, Shapes
from .normalization import RMSNorm
from .randomness import RandomStream, inference
from .registry import register
from .rotary import check_rotary, turn_of

Array = NDArray[Any]


@register("MultiHeadAttention", rng=0)
class MultiHeadAttention(Module):
    """Attention with n_heads heads between two linear layers.

    Head i computes q = x Wq_i, k = m Wk_i, v = m Wv_i and softmax(q k^T / sqrt(head_dim)) v; the
    concatenated heads go through `out`. Self-attention has m = x and computes q, k and v in one
    product. Vaswani et al., "Attention is all you need", NeurIPS 2017; *Dive into Deep Learning*,
    section 11.5.

    Parameters
    ----------
    d_model : int
        Width of input and output; a multiple of n_heads.
    n_heads : int
    n_kv_heads : int, optional
        Key/value heads, each shared by n_heads / n_kv_heads query heads (Ainslie et al., 2023);
        n_heads by default.
    d_memory : int, optional
        Width of the memory that keys and values are computed from. If given, the layer is
        cross-attention.
    bias : bool
        True if the linear layers have biases.
    dropout : float
        Probability with which an attention weight is dropped, in training only.
    rotary : bool or mapping
        Rotate queries and keys by their positions (Su et al., 2021); needs an even head_dim and no
        d_memory. A mapping has the settings "base", "dims" (columns of a head that rotate), and
        "scaling" with its numbers: "linear", "llama3" or "yarn" (docs/transformers.md).
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
        Source of the initial weights and the dropout seed.
    init, out_init : str or callable
        How initial weights are drawn, as in `Linear`; those of `out` by out_init if it is given.
    head_dim : int, optional
        Size of a head; d_model / n_heads by default.
    qkv_bias : bool, optional
        True if queries, keys and values have biases; by default `bias`.
    qk_norm : {"head", "all"}, optional
        RMS norm of queries and keys before they rotate: of each head, with weights that heads
        share (Qwen3), or of all heads together (OLMo 2), with eps. Self-attention only.
    eps : float
    window : int, optional
        A position attends only to those less than this many positions away.

    Attributes
    ----------
    qkv : Linear
        Self-attention: columns q | k | v, each with its heads side by side.
    q, kv : Linear
        Cross-attention.
    out : Linear
    norms : tuple of RMSNorm, of queries and of keys

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range; the message names it.

    Examples
    --------
    >>> layer = nn.MultiHeadAttention(16, 4, rng=0)
    >>> x = np.ones((2, 5, 16), np.float32)
    >>> layer(x, causal=True).shape  # self-attention
    (2, 5, 16)
    """

    fields: ClassVar = {
        "d_model": int,
        "n_heads": int,
        "n_kv_heads": int,
        "d_memory": (int | None, None),
        "bias": (bool, True),
        "dropout": (float, 0.0),
        "rotary": (bool | dict, False),
        "head_dim": (int | None, None),
        "qkv_bias": (bool | None, None),
        "qk_norm": (str | None, None),
        "eps": (float, 1e-6),
        "window": (int | None, None),
        "dtype": (str, "float32"),
    }
    stream: RandomStream
    norms: tuple[()] | tuple[RMSNorm, RMSNorm]

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of its layers."""
        return attention_shapes(fields)

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        n_kv_heads: int | None = None,
        d_memory: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        rotary: bool | Mapping[str, Any] = False,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
        init: str | Initializer = "xavier_uniform",
        out_init: str | Initializer | None = None,
        head_dim: int | None = None,
        qkv_bias: bool | None = None,
        qk_norm: Literal["head", "all"] | None = None,
        eps: float = 1e-6,
        window: int | None = None,
    ) -> None:
        self.d_model = check_count("d_model", d_model)
        self.n_heads = check_count("n_heads", n_heads)
        n_kv_heads = self.n_heads if n_kv_heads is None else n_kv_heads
        self.n_kv_heads = check_count("n_kv_heads", n_kv_heads)
        self.d_memory = None if d_memory is None else check_count("d_memory", d_memory)
        self.head_dim = check_heads(self.d_model, self.n_heads, self.n_kv_heads, head_dim)
        self.dropout = check_probability("dropout", dropout)
        self.rotary = check_rotary(rotary, self.head_dim, self.d_memory)
        self.window = None if window is None else check_count("window", window)
        self.qk_norm = check_choice("qk_norm", qk_norm, (None, "head", "all"))
        if self.d_memory is not None and (qk_norm or window):
            raise ValueError("qk_norm and window are for self-attention, but d_memory is given")
        dtype, rng = check_dtype(dtype), check_generator("rng", rng)
        self.stream = new_stream(rng)
        given: dict[str, Any] = {"dtype": dtype, "rng": rng, "init": init}
        given["bias"] = bias if qkv_bias is None else qkv_bias
        d_q, d_kv = self.n_heads * self.head_dim, 2 * self.n_kv_heads * self.head_dim
        parts: dict[str, Parameter | Module]
        if self.d_memory is None:
            self.qkv = Linear(d_model, d_q + d_kv, **given)
            parts = {"qkv": self.qkv}
        else:
            self.q = Linear(d_model, d_q, **given)
            self.kv = Linear(self.d_memory, d_kv, **given)
            parts = {"q": self.q, "kv": self.kv}
        self.bias, self.qkv_bias = bias, qkv_bias
        self.eps, self.norms = check_number("eps", eps, above=0), ()
        if qk_norm is not None:
            sizes = (d_q, d_kv // 2) if qk_norm == "all" else (self.head_dim, self.head_dim)
            q_norm, k_norm = (RMSNorm(n, eps, dtype=dtype) for n in sizes)
            self.norms = q_norm, k_norm
            parts |= {"q_norm": q_norm, "k_norm": k_norm}
        self.out = Linear(d_q, d_model, bias, dtype=dtype, rng=rng, init=out_init or init)
        super().__init__({**parts, "out": self.out})

    def forward(
        self,
        x: Array,
        memory: Array | None = None,
        *,
        causal: bool = False,
        lengths: Any = None,
        mask: Array | None = None,
        recompute: Callable[[], Array] | None = None,
    ) -> tuple[Array, Any]:
        """Return the output (B, T, d_model) for x (B, T, d_model), and the context.

        Parameters
        ----------
        x : ndarray
        memory : ndarray (B, S, d_memory)
            What cross-attention attends to; None in self-attention.
        causal : bool
            True if no position attends to a later one.
        lengths : integers (B,) or (B, T), optional
            How many keys count, from the first.
        mask : ndarray, optional
            Broadcasts to (B, n_heads, T, S): bool, True where a position may attend, or of the
            layer's dtype and added to the scores.
        recompute : callable, optional
            Returns x again, as in `Linear.forward`.

        Raises
        ------
        TypeError, ValueError
            An argument is missing or unexpected, or its type or shape does not fit.
        """
        q, k, v, saved = self._project(x, memory, recompute)
        if self.rotary:
            self.turn(q, k)
        p, seed, step = self.stream.drop(self.dropout)
        how = {"causal": causal, "lengths": lengths, "mask": mask}
        how |= {"dropout_p": p, "seed": seed, "step": step, "window": self.window}
        heads = empty((*x.shape[:2], self.n_heads * self.head_dim), x.dtype)
        _, normalizer = kernels.attention(
            q, k, v, return_normalizer=True, out=split_heads(heads, self.n_heads), **how
        )
        y, ctx_out = self.out.forward(heads)
        return y, (saved, (q, k, v, heads, normalizer, how), ctx_out)

    def __call__(
        self,
        x: Array,
        memory: Array | None = None,
        *,
        causal: bool = False,
        lengths: Any = None,
        mask: Array | None = None,
        need_weights: bool = False,
    ) -> Any:
        """Return the output for x; with need_weights, also the weights (B, n_heads, T, S)."""
        how = {"causal": causal, "lengths": lengths, "mask": mask}
        with inference():
            y, ctx = self.forward(x, memory, **how)
        if not need_weights:
            return y
        *qkv, _, _, how = ctx[1]
        return y, kernels.attention(*qkv, need_weights=True, **how)[1]

    def backward(self, dy: Array, ctx: Any, need_dx: bool = True) -> Any:
        """Add the parameters' gradients; return dx, or (dx, dmemory) in cross-attention."""
        saved, (q, k, v, heads, normalizer, how), ctx_out = ctx
        dheads = self.out.backward(dy, ctx_out)
        assert dheads is not None
        B, T, d = heads.shape
        S, d_kv = k.shape[2], self.n_kv_heads * self.head_dim
        if self.d_memory is None:
            dqkv = empty((B, T, d + 2 * d_kv), heads.dtype)
            dq, dkv = dqkv[..., :d], dqkv[..., d:]
        else:
            dq, dkv = empty((B, T, d), heads.dtype), empty((B, S, 2 * d_kv), heads.dtype)
        dk, dv = dkv[..., :d_kv], dkv[..., d_kv:]
        to = [empty(x.shape, x.dtype) for x in (dq, dk)] if self.norms else [dq, dk]
        gradients = kernels.attention_backward(
            split_heads(dheads, self.n_heads),
            q,
            k,
            v,
            split_heads(heads, self.n_heads),
            normalizer,
            dq=split_heads(to[0], self.n_heads),
            dk=split_heads(to[1], self.n_kv_heads),
            dv=split_heads(dv, self.n_kv_heads),
            dbias=getattr(how["mask"], "gradient", None),  # of a `RelativeBias`
            **how,
        )
        if self.rotary:
            self.turn(gradients[0], gradients[1], inverse=True)
        for norm, dy, ctx_norm, into in zip(self.norms, to, saved[-1], (dq, dk), strict=False):
            into[...] = norm_heads_backward(norm, dy, ctx_norm)
        if self.d_memory is None:
            return self.qkv.backward(dqkv, saved[0], need_dx)
        dx = self.q.backward(dq, saved[0], need_dx)
        return dx, self.kv.backward(dkv, saved[1], need_dx)

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count 4 T S operations per row and column of heads: scores and sums of values."""
        B, T, _ = input_shape
        S = others[0][1] if others else T
        S = S if self.window is None else min(S, 2 * self.window - 1)
        return 4 * B * T * S * self.n_heads * self.head_dim

    def lower(self, b: Builder, causal: bool = False) -> None:
        """Add the projections, attention and the output projection."""
        if self.d_memory is None:
            b.lower(self.qkv)
            if self.norms:
                first, second = self.norms
                for norm in self.norms:
                    b.watch(norm)
                if first.eps != second.eps:
                    raise NotLowerable("the norms of queries and keys differ in eps")
                heads = self.n_heads, self.n_kv_heads
                b.norm_heads(*heads, first.weight, second.weight, first.eps)
            turn = turn_of(self.rotary, self.head_dim)._asdict()
            how: dict[str, Any] = {"rotary": bool(self.rotary), "window": self.window, **turn}
            b.attention(self.n_heads, self.n_kv_heads, causal=causal, **how)
        else:
            b.watch(self.kv)
            if self.kv.activation is not None:
                raise NotLowerable("keys and values with an activation cannot be part of a plan")
            b.lower(self.q)
            b.cross_attention(self.kv.weight, self.kv.bias, self.n_heads, self.n_kv_heads)
        b.lower(self.out)

    def _project(
        self, x: Array, memory: Array | None, recompute: Callable[[], Array] | None = None
    ) -> tuple[Array, Array, Array, Any]:
        """Return q, k and v by head, as views, and what backward needs."""
        if (memory is None) != (self.d_memory is None):
            has = "needs a memory" if memory is None else "is self-attention and takes no memory"
            raise ValueError(f"MultiHeadAttention: this layer {has}")
        check_vectors("x", x, self.d_model)
        d = self.n_heads * self.head_dim
        if memory is None:
            qkv, ctx = self.qkv.forward(x, recompute=recompute)
            q, kv, saved = qkv[..., :d], qkv[..., d:], [ctx]
        else:
            check_vectors("memory", memory, self.d_memory)
            if len(memory) != len(x):
                raise ValueError(
                    f"MultiHeadAttention: x {x.shape} and memory {memory.shape} differ in batch"
                )
            q, ctx = self.q.forward(x, recompute=recompute)
            kv, ctx_kv = self.kv.forward(memory)
            saved = [ctx, ctx_kv]
        q, k, v, contexts = by_head(q, kv, self.n_heads, self.n_kv_heads, self.norms)
        return q, k, v, saved + contexts

    def turn(self, q: Array, k: Array, inverse: bool = False) -> None:
        """Rotate q and k in place, by their positions."""
        for x in (q, k):
            turn = turn_of(self.rotary, self.head_dim)
            kernels.rotary(x, inverse=inverse, out=x, rates=turn.rates, factor=turn.factor)
