"""Attention of queries to keys and values in three axes (batch, length, size), without heads."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_count, check_dtype, check_generator, check_probability, to_array
from ..kernels import NotLowerable
from ..parameters import Parameter
from .contexts import check_gradient
from .dropout import new_stream
from .heads import linear_shapes
from .linear import Linear, Seed
from .lowering import Builder
from .module import Module, Shapes
from .randomness import RandomStream, inference
from .registry import register

Array = NDArray[Any]


def _check(layer: str, dtype: Any, **arrays: Array) -> None:
    """Raise TypeError or ValueError unless q, k and v have three axes and fit each other."""
    for name, x in arrays.items():
        if not isinstance(x, np.ndarray):
            hint = to_array(x, name, dtype or "float32")
            raise TypeError(f"{layer}: {name} must be a NumPy array, got {type(x).__name__}{hint}")
        if dtype is not None and x.dtype != dtype:
            raise TypeError(
                f"{layer}: {name} is {x.dtype}, but the layer is {dtype}{to_array(x, name, dtype)}"
            )
        if x.ndim != 3:
            raise ValueError(f"{layer}: {name} must be (batch, length, size), got {x.shape}")
    q, k, v = arrays.values()
    if not len(q) == len(k) == len(v) or k.shape[1] != v.shape[1]:
        raise ValueError(
            f"{layer}: queries, keys and values must be (B, n, d), (B, m, d) and (B, m, dv), got "
            f"{q.shape}, {k.shape} and {v.shape}"
        )


class _Pooling(Module):
    """Base of the layers that weigh values by scores of queries and keys."""

    stream: RandomStream
    dropout: float

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._lowered_as = cls.forward, cls.__call__

    def lower(self, b: Builder) -> None:
        """Raise NotLowerable: a program has one input, this layer three.

        Raises
        ------
        NotLowerable
            Always; the message says what to do.
        """
        raise NotLowerable(
            f"{type(self).__name__} cannot be frozen: a plan has one input, and this layer takes "
            "queries, keys and values. Call the layer itself, or freeze nn.MultiHeadAttention"
        )

    @abstractmethod
    def forward(  # type: ignore[override]
        self, queries: Array, keys: Array, values: Array, *, lengths: Any = None
    ) -> tuple[Array, Any]:
        """Return the output (B, n, dv), and the context."""

    def __call__(  # type: ignore[override]
        self,
        queries: Array,
        keys: Array,
        values: Array,
        *,
        lengths: Any = None,
        need_weights: bool = False,
    ) -> Any:
        """Return the output without dropout; with need_weights also the weights (B, n, m)."""
        with inference():
            y, ctx = self.forward(queries, keys, values, lengths=lengths)
        return (y, self._weights(ctx)) if need_weights else y

    @abstractmethod
    def _weights(self, ctx: Any) -> Array:
        """Return the weights of a forward pass without dropout."""

    @abstractmethod
    def _score_flops(self, d: int) -> int:
        """Count the operations of one score for queries of size d."""

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count the scores, and a multiply-add per score and column of the values."""
        B, n, d = input_shape
        m, dv = (others[0][1], others[1][2]) if len(others) > 1 else (n, d)
        return B * n * m * (self._score_flops(d) + 2 * dv)

    def example(
        self, input_shape: tuple[int, ...], dtype: DTypeLike | None = None
    ) -> tuple[Array, ...]:
        """Return zeros of this shape for queries, keys and values."""
        return (np.zeros(input_shape, np.float32 if dtype is None else dtype),) * 3


@register("DotProductAttention")
class DotProductAttention(_Pooling):
    """softmax(q k^T / sqrt(d)) v for queries (B, n, d), keys (B, m, d) and values (B, m, dv).

    *Dive into Deep Learning*, section 11.3.3.

    Parameters
    ----------
    dropout : float
        Probability with which a weight is dropped, in training only.
    rng : None, int or numpy.random.Generator
        Source of the dropout seed.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range; the message names it.

    Examples
    --------
    >>> q, k, v = np.ones((2, 1, 2)), np.ones((2, 10, 2)), np.ones((2, 10, 4))
    >>> y, weights = nn.DotProductAttention()(q, k, v, lengths=[2, 6], need_weights=True)
    >>> y.shape, weights.shape
    ((2, 1, 4), (2, 1, 10))
    """

    fields: ClassVar = {"dropout": (float, 0.0)}

    def __init__(self, dropout: float = 0.0, *, rng: Seed = None) -> None:
        self.dropout = check_probability("dropout", dropout)
        self.stream = new_stream(rng)
        super().__init__({})

    def forward(  # type: ignore[override]
        self, queries: Array, keys: Array, values: Array, *, lengths: Any = None
    ) -> tuple[Array, Any]:
        """Return the output (B, n, dv), and the context.

        lengths, integers (B,) or (B, n), says how many keys count, from the first.

        Raises
        ------
        TypeError, ValueError
            An argument has the wrong type, or shapes do not fit.
        """
        _check("DotProductAttention", None, queries=queries, keys=keys, values=values)
        p, seed, step = self.stream.drop(self.dropout)
        how = {"lengths": _as_lengths(lengths), "dropout_p": p, "seed": seed, "step": step}
        q, k, v = queries[:, None], keys[:, None], values[:, None]
        y, normalizer = kernels.attention(q, k, v, return_normalizer=True, **how)
        return y[:, 0], (q, k, v, y, normalizer, how)

    def backward(self, dy: Array, ctx: Any, need_dx: bool = True) -> Any:
        """Return the gradients of queries, keys and values, or None."""
        q, k, v, y, normalizer, how = ctx
        check_gradient(self, dy, y[:, 0].shape, y.dtype)
        if not need_dx:
            return None
        gradients = kernels.attention_backward(dy[:, None], q, k, v, y, normalizer, **how)
        return tuple(gradient[:, 0] for gradient in gradients)

    def _weights(self, ctx: Any) -> Array:
        q, k, v, _, _, how = ctx
        weights: Array = kernels.attention(q, k, v, need_weights=True, lengths=how["lengths"])[1]
        return weights[:, 0]

    def _score_flops(self, d: int) -> int:
        return 2 * d


@register("AdditiveAttention", rng=0)
class AdditiveAttention(_Pooling):
    """softmax(w^T tanh(Wq q + Wk k)) v: queries and keys may have different sizes.

    Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and
    translate", ICLR 2015; *Dive into Deep Learning*, section 11.3.4.

    Parameters
    ----------
    d_query, d_key : int
        Sizes of queries and keys.
    num_hiddens : int
    dropout : float
        Probability with which a weight is dropped, in training only.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
        Source of the initial weights and the dropout seed.

    Attributes
    ----------
    q, k : Linear
        Projections to num_hiddens, without biases.
    w : Parameter
        Shape (num_hiddens,).

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range; the message names it.

    Examples
    --------
    >>> attention = nn.AdditiveAttention(20, 2, 8, dtype=float, rng=0)
    >>> q, k, v = np.ones((2, 1, 20)), np.ones((2, 10, 2)), np.ones((2, 10, 4))
    >>> attention(q, k, v, lengths=[2, 6]).shape
    (2, 1, 4)
    """

    fields: ClassVar = {
        "d_query": int,
        "d_key": int,
        "num_hiddens": int,
        "dropout": (float, 0.0),
        "dtype": (str, "float32"),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of the projections and of w."""
        d_query, d_key, n = (
            check_count(name, fields[name]) for name in ("d_query", "d_key", "num_hiddens")
        )
        shapes = linear_shapes({"q": (d_query, n), "k": (d_key, n)}, False, fields["dtype"])
        return shapes | {"w": ((n,), fields["dtype"])}

    def __init__(
        self,
        d_query: int,
        d_key: int,
        num_hiddens: int,
        dropout: float = 0.0,
        *,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
    ) -> None:
        self.d_query, self.d_key = check_count("d_query", d_query), check_count("d_key", d_key)
        self.num_hiddens = check_count("num_hiddens", num_hiddens)
        self.dropout = check_probability("dropout", dropout)
        self.dtype, rng = check_dtype(dtype), check_generator("rng", rng)
        options: dict[str, Any] = {"bias": False, "dtype": self.dtype, "rng": rng}
        self.q = Linear(d_query, num_hiddens, **options)
        self.k = Linear(d_key, num_hiddens, **options)
        bound = num_hiddens**-0.5
        self.w = Parameter(rng.uniform(-bound, bound, num_hiddens).astype(self.dtype))
        self.stream = new_stream(rng)
        super().__init__({"q": self.q, "k": self.k, "w": self.w})

    def forward(  # type: ignore[override]
        self, queries: Array, keys: Array, values: Array, *, lengths: Any = None
    ) -> tuple[Array, Any]:
        """Return the output (B, n, dv) for (B, n, d_query), (B, m, d_key) and (B, m, dv).

        lengths, integers (B,) or (B, n), says how many keys count, from the first.

        Raises
        ------
        TypeError, ValueError
            An argument has the wrong type, or shapes do not fit.
        """
        _check("AdditiveAttention", self.dtype, queries=queries, keys=keys, values=values)
        for name, x, size in (("queries", queries, self.d_query), ("keys", keys, self.d_key)):
            if x.shape[2] != size:
                raise ValueError(f"AdditiveAttention: {name} must be (B, n, {size}), got {x.shape}")
        lengths = _as_lengths(lengths)
        drop = self.stream.drop(self.dropout)
        q, ctx_q = self.q.forward(queries)
        k, ctx_k = self.k.forward(keys)
        scores = kernels.additive_scores(q, k, self.w.data)
        weights = kernels.softmax(scores, lengths=lengths, out=scores)
        kept = _dropped(weights, drop)
        y = kernels.matmul(kept, values)
        return y, ((ctx_q, q), (ctx_k, k), weights, kept, values, lengths, drop)

    def backward(self, dy: Array, ctx: Any, need_dx: bool = True) -> Any:
        """Add the parameters' gradients; return those of queries, keys and values, or None."""
        (ctx_q, q), (ctx_k, k), weights, kept, values, lengths, (p, seed, step) = ctx
        check_gradient(self, dy, (*kept.shape[:2], values.shape[2]), self.dtype)
        dweights = kernels.matmul(dy, values.swapaxes(1, 2))
        if p:
            kernels.dropout_backward(dweights, p, seed=seed, step=step, out=dweights)
        dscores = kernels.softmax_backward(dweights, weights, lengths=lengths)
        dq, dk, dw = kernels.additive_scores_backward(dscores, q, k, self.w.data)
        if self.w.requires_grad:
            self.w.grad += dw
        dqueries = self.q.backward(dq, ctx_q, need_dx)
        dkeys = self.k.backward(dk, ctx_k, need_dx)
        if not need_dx:
            return None
        return dqueries, dkeys, kernels.matmul(kept.swapaxes(1, 2), dy)

    def _weights(self, ctx: Any) -> Array:
        weights: Array = ctx[2]
        return weights

    def _score_flops(self, d: int) -> int:
        return 4 * self.num_hiddens  # an addition, a tanh and a multiply-add each


def _as_lengths(lengths: Any) -> Any:
    """Return lengths as an array: lists are accepted."""
    return None if lengths is None else np.asarray(lengths)


def _dropped(weights: Array, drop: tuple[float, int, int]) -> Array:
    p, seed, step = drop
    return kernels.dropout(weights, p, seed=seed, step=step) if p else weights
