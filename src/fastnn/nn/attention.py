"""Multi-head attention as a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_count, check_dtype, check_generator, check_probability
from ..kernels import NotLowerable
from ..kernels.ground.memory import empty
from ..parameters import Parameter
from .dropout import new_stream
from .heads import check_heads, check_rotary, check_vectors, linear_shapes, split_heads
from .init import Initializer
from .linear import Linear, Seed
from .lowering import Builder
from .module import Module, Shapes
from .randomness import RandomStream, inference
from .registry import register

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
    rotary : bool
        Rotate queries and keys by their positions (Su et al., 2021); needs an even head_dim and no
        d_memory.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
        Source of the initial weights and the dropout seed.
    init, out_init : str or callable
        How initial weights are drawn, as in `Linear`; those of `out` by out_init if it is given.

    Attributes
    ----------
    qkv : Linear
        Self-attention: columns q | k | v, each with its heads side by side.
    q, kv : Linear
        Cross-attention.
    out : Linear

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
        "rotary": (bool, False),
        "dtype": (str, "float32"),
    }
    stream: RandomStream

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of its `Linear` layers."""
        d, n_heads, n_kv_heads = (
            check_count(name, fields[name]) for name in ("d_model", "n_heads", "n_kv_heads")
        )
        check_heads(d, n_heads, n_kv_heads)
        d_kv, d_memory = 2 * n_kv_heads * (d // n_heads), fields["d_memory"]
        sizes = (
            {"qkv": (d, d + d_kv)} if d_memory is None else {"q": (d, d), "kv": (d_memory, d_kv)}
        )
        return linear_shapes(sizes | {"out": (d, d)}, fields["bias"], fields["dtype"])

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        n_kv_heads: int | None = None,
        d_memory: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        rotary: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
        init: str | Initializer = "xavier_uniform",
        out_init: str | Initializer | None = None,
    ) -> None:
        self.d_model, self.n_heads = (
            check_count("d_model", d_model),
            check_count("n_heads", n_heads),
        )
        self.n_kv_heads = (
            self.n_heads if n_kv_heads is None else check_count("n_kv_heads", n_kv_heads)
        )
        self.d_memory = None if d_memory is None else check_count("d_memory", d_memory)
        check_heads(self.d_model, self.n_heads, self.n_kv_heads)
        self.head_dim = self.d_model // self.n_heads
        self.dropout = check_probability("dropout", dropout)
        self.rotary = check_rotary(rotary, self.head_dim, self.d_memory)
        dtype, rng = check_dtype(dtype), check_generator("rng", rng)
        options: dict[str, Any] = {"bias": bias, "dtype": dtype, "rng": rng}
        self.stream = new_stream(rng)
        d_kv = 2 * self.n_kv_heads * self.head_dim
        parts: dict[str, Parameter | Module]
        if self.d_memory is None:
            self.qkv = Linear(d_model, d_model + d_kv, init=init, **options)
            parts = {"qkv": self.qkv}
        else:
            self.q = Linear(d_model, d_model, init=init, **options)
            self.kv = Linear(self.d_memory, d_kv, init=init, **options)
            parts = {"q": self.q, "kv": self.kv}
        self.out = Linear(d_model, d_model, init=out_init or init, **options)
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
            self._turn(q, k)
        p, seed, step = self.stream.drop(self.dropout)
        how = {"causal": causal, "lengths": lengths, "mask": mask}
        how |= {"dropout_p": p, "seed": seed, "step": step}
        heads = empty(x.shape, x.dtype)
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
        return y, kernels.attention(*ctx[1][:3], need_weights=True, **how)[1]

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
        gradients = kernels.attention_backward(
            split_heads(dheads, self.n_heads),
            q,
            k,
            v,
            split_heads(heads, self.n_heads),
            normalizer,
            dq=split_heads(dq, self.n_heads),
            dk=split_heads(dk, self.n_kv_heads),
            dv=split_heads(dv, self.n_kv_heads),
            **how,
        )
        if self.rotary:
            self._turn(gradients[0], gradients[1], inverse=True)
        if self.d_memory is None:
            return self.qkv.backward(dqkv, saved[0], need_dx)
        dx = self.q.backward(dq, saved[0], need_dx)
        return dx, self.kv.backward(dkv, saved[1], need_dx)

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count 4 T S d_model operations per batch row: the scores, and the sums of values."""
        B, T, _ = input_shape
        S = others[0][1] if others else T
        return 4 * B * T * S * self.d_model

    def lower(self, b: Builder, causal: bool = False) -> None:
        """Add the projections, attention and the output projection."""
        if self.d_memory is None:
            b.lower(self.qkv)
            b.attention(self.n_heads, self.n_kv_heads, causal=causal, rotary=self.rotary)
        else:
            b.watch(self.kv)
            if self.kv.activation is not None:
                raise NotLowerable("keys and values with an activation cannot be part of a plan")
            b.lower(self.q)
            b.cross_attention(self.kv.weight, self.kv.bias, self.n_heads, self.n_kv_heads)
        b.lower(self.out)

    def field_values(self) -> dict[str, Any]:
        """Return the fields of the config."""
        return {
            "d_model": self.d_model,
            "n_heads": self.n_heads,
            "n_kv_heads": self.n_kv_heads,
            "d_memory": self.d_memory,
            "bias": self.out.bias is not None,
            "dropout": self.dropout,
            "rotary": self.rotary,
            "dtype": self.out.weight.data.dtype.name,
        }

    def _project(
        self, x: Array, memory: Array | None, recompute: Callable[[], Array] | None = None
    ) -> tuple[Array, Array, Array, Any]:
        """Return q, k and v by head, as views, and what backward needs."""
        if (memory is None) != (self.d_memory is None):
            has = "needs a memory" if memory is None else "is self-attention and takes no memory"
            raise ValueError(f"MultiHeadAttention: this layer {has}")
        check_vectors("x", x, self.d_model)
        d, d_kv = self.d_model, self.n_kv_heads * self.head_dim
        saved: tuple[Any, ...]
        if memory is None:
            qkv, ctx = self.qkv.forward(x, recompute=recompute)
            q, kv, saved = qkv[..., :d], qkv[..., d:], (ctx,)
        else:
            check_vectors("memory", memory, self.d_memory)
            if len(memory) != len(x):
                raise ValueError(
                    f"MultiHeadAttention: x {x.shape} and memory {memory.shape} differ in batch"
                )
            q, ctx = self.q.forward(x, recompute=recompute)
            kv, ctx_kv = self.kv.forward(memory)
            saved = ctx, ctx_kv
        return (
            split_heads(q, self.n_heads),
            split_heads(kv[..., :d_kv], self.n_kv_heads),
            split_heads(kv[..., d_kv:], self.n_kv_heads),
            saved,
        )

    def _turn(self, q: Array, k: Array, inverse: bool = False) -> None:
        """Rotate q and k in place, by their positions."""
        for x in (q, k):
            kernels.rotary(x, inverse=inverse, out=x)
