"""Positional encodings: vectors that say where in a sequence an element is."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import (
    check_choice,
    check_count,
    check_dtype,
    check_generator,
    check_probability,
    to_array,
)
from ..kernels.ground.memory import empty
from ..parameters import Parameter
from .contexts import check_gradient
from .dropout import new_stream
from .heads import check_vectors
from .init import initial, normal
from .linear import Seed
from .lowering import Builder
from .module import Module, Shapes
from .randomness import RandomStream
from .registry import register

Array = NDArray[Any]

# Sanity limit, against typing errors and hostile files: caches and tables have this many rows.
MOST_POSITIONS = 1 << 20
# Initial rows of the table of sinusoids, which doubles on demand: most inputs are short.
FIRST_POSITIONS = 256


@register("PositionalEncoding", rng=0)
class PositionalEncoding(Module):
    """y = dropout(x + P[position]).

    P is sinusoidal, P[i, 2j] = sin(i / 10000^(2j/d)) and P[i, 2j+1] = cos(i / 10000^(2j/d)), as in
    *Dive into Deep Learning*, section 11.6.3; or learned, as in GPT-2.

    Parameters
    ----------
    d_model : int
    max_len : int
        Number of positions; at most 2^20.
    kind : {"sinusoidal", "learned"}
    dropout : float
        Probability from 0 to 1, in training only.
    std : float
        Standard deviation of the initial learned positions, which are normal with mean 0.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    weight : Parameter or None
        Learned positions, of shape (max_len, d_model).

    Examples
    --------
    >>> layer = nn.PositionalEncoding(4)
    >>> layer(np.zeros((1, 2, 4), np.float32)).round(3)
    array([[[0.   , 1.   , 0.   , 1.   ],
            [0.841, 0.54 , 0.01 , 1.   ]]], dtype=float32)
    """

    fields: ClassVar = {
        "d_model": int,
        "max_len": (int, 1000),
        "kind": (str, "sinusoidal"),
        "dropout": (float, 0.0),
        "dtype": (str, "float32"),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shape of the table if it is learned."""
        shape = check_max_len(fields["max_len"]), check_count("d_model", fields["d_model"])
        return {"weight": (shape, fields["dtype"])} if fields["kind"] == "learned" else {}

    stream: RandomStream

    def __init__(
        self,
        d_model: int,
        max_len: int = 1000,
        *,
        kind: Literal["sinusoidal", "learned"] = "sinusoidal",
        dropout: float = 0.0,
        std: float = 0.02,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
    ) -> None:
        self.d_model, self.max_len = check_count("d_model", d_model), check_max_len(max_len)
        self.kind = check_choice("kind", kind, ("sinusoidal", "learned"))
        self.dropout = check_probability("dropout", dropout)
        self.dtype = check_dtype(dtype)
        rng = check_generator("rng", rng)
        self.stream = new_stream(rng)
        self.weight = None
        if kind == "learned":
            draw = partial(normal, std=std)
            self.weight = Parameter(initial(draw, (max_len, d_model), rng, self.dtype))
        else:
            self._table = np.empty((0, self.d_model), self.dtype)
        super().__init__({} if self.weight is None else {"weight": self.weight})

    @property
    def table(self) -> Array:
        """P, of shape (max_len, d_model)."""
        return self.rows(self.max_len)

    def rows(self, n: int) -> Array:
        """Return the first n <= max_len rows of the table; compute sinusoids on demand."""
        if self.weight is not None:
            return self.weight.data[:n]
        table = self._table
        while len(table) < n:
            # piece sizes do not depend on n, so results have the same bits for any n
            stop = min(max(FIRST_POSITIONS, 2 * len(table)), self.max_len)
            more = sinusoids(len(table), stop, self.d_model).astype(self.dtype)
            table = np.concatenate([table, more])
            object.__setattr__(self, "_table", table)  # no change of the layer
        return table[:n]

    def forward(self, x: Array) -> tuple[Array, Any]:
        """Return an output of the shape of x (B, T, d_model), for positions from 0 on.

        Raises
        ------
        TypeError, ValueError
            x is not such an array, or is longer than max_len.
        """
        y = self(x)
        if not self.dropout:
            return y, (x.shape, {})
        p, seed, step = self.stream.drop(self.dropout)
        drop: dict[str, Any] = {"p": p, "seed": seed, "step": step}
        return kernels.dropout(y, out=y, **drop), (x.shape, drop)

    def __call__(self, x: Array) -> Array:
        """Return the output for x; keep nothing for backward."""
        check_vectors("PositionalEncoding: x", x, self.d_model)
        if x.dtype != self.dtype:
            hint = to_array(x, "x", self.dtype)
            raise TypeError(
                f"PositionalEncoding: x is {x.dtype}, but the layer is {self.dtype}{hint}"
            )
        n = x.shape[1]
        if n > self.max_len:
            raise ValueError(f"PositionalEncoding: {n} positions, but max_len is {self.max_len}")
        return np.add(x, self.rows(n), out=empty(x.shape, x.dtype))

    def backward(self, dy: Array, ctx: Any, need_dx: bool = True) -> Array | None:
        """Add dweight[i] += sum over the batch of dx at position i; return dx."""
        shape, drop = ctx
        check_gradient(self, dy, shape, self.dtype)
        dx = kernels.dropout_backward(dy, **drop) if drop else dy
        grad = None if self.weight is None else self.weight.to_add()
        if grad is not None:
            rows = grad[: shape[1]]
            np.add(rows, dx.sum(axis=0), out=rows)
        return dx if need_dx else None

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count one operation per element."""
        return math.prod(input_shape)

    def lower(self, b: Builder) -> None:
        """Add the rows of the table that a sequence can use."""
        if (width := b.width()) not in (None, self.d_model):  # before the table is made
            raise ValueError(f"positions: {self.d_model} columns for {width}")
        b.positions(self.rows(min(self.max_len, b.max_len)))


def check_max_len(max_len: int) -> int:
    """Return `max_len` as an int from 1 to MOST_POSITIONS; raise TypeError or ValueError if not."""
    return check_count("max_len", max_len, high=MOST_POSITIONS)


def sinusoids(start: int, stop: int, d_model: int) -> NDArray[np.float64]:
    """Return the sinusoidal positions from start to stop, (stop - start, d_model)."""
    rate = 10000.0 ** (-np.arange(0, d_model, 2) / d_model)
    angles = np.arange(start, stop)[:, None] * rate
    table = np.empty((stop - start, d_model))
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles)[:, : d_model // 2]
    return table
