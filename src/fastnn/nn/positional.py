"""Where a vector stands in its sequence: positional encodings."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_choice, check_count, check_dtype, check_probability
from ..kernels.ground.memory import empty
from ..parameters import Parameter
from .dropout import new_stream
from .heads import check_vectors
from .hints import cast
from .linear import Seed
from .lowering import Builder
from .module import Module, Shapes, check_gradient
from .randomness import RandomStream
from .registry import register

Array = NDArray[Any]

# More is a slip of the keyboard, or a hostile file: caches and tables of plans have as many rows.
MOST_POSITIONS = 1 << 20
# The table of sinusoids begins with so many positions and doubles: most inputs are short.
FIRST_POSITIONS = 256


@register("PositionalEncoding", rng=0)
class PositionalEncoding(Module):
    """y = dropout(x + P[position]).

    Sinusoidal, P[i, 2j] = sin(i / 10000^(2j/d)) and P[i, 2j+1] = cos(i / 10000^(2j/d)), as in *Dive
    into Deep Learning*, section 11.6.3; or learnt, as in GPT-2.

    Parameters
    ----------
    d_model : int
    max_len : int
        Positions that there are; at most 2^20.
    kind : {"sinusoidal", "learned"}
    dropout : float
        Probability from 0 to 1, in training alone.
    std : float
        Learnt positions start normal with mean 0 and this standard deviation.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    weight : Parameter or None
        Shape (max_len, d_model), of learnt positions.
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
        """The table where it is learned."""
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
        rng = np.random.default_rng(rng)
        self.stream = new_stream(rng)
        self.weight = None
        if kind == "learned":
            table = rng.normal(0.0, std, (max_len, d_model)).astype(self.dtype)
            self.weight = Parameter(table)
        else:
            self._table = np.empty((0, self.d_model), self.dtype)
        super().__init__({} if self.weight is None else {"weight": self.weight})

    @property
    def table(self) -> Array:
        """P, of shape (max_len, d_model)."""
        return self.rows(self.max_len)

    def rows(self, n: int) -> Array:
        """The first n rows of the table, n at most max_len: sinusoids are made as they are needed."""
        if self.weight is not None:
            return self.weight.data[:n]
        table = self._table
        while len(table) < n:
            # in pieces that are the same whatever n is, and so are their bits
            stop = min(max(FIRST_POSITIONS, 2 * len(table)), self.max_len)
            more = sinusoids(len(table), stop, self.d_model).astype(self.dtype)
            self._table = table = np.concatenate([table, more])
        return table[:n]

    def forward(self, x: Array) -> tuple[Array, Any]:
        """Output of the shape of x (B, T, d_model), at the positions from 0 on.

        Raises
        ------
        TypeError, ValueError
            x is no such array, or longer than max_len.
        """
        y = self(x)
        if not self.dropout:
            return y, (x.shape, {})
        p, seed, step = self.stream.drop(self.dropout)
        drop: dict[str, Any] = {"p": p, "seed": seed, "step": step}
        return kernels.dropout(y, out=y, **drop), (x.shape, drop)

    def __call__(
        self,
        x: Array,
        start: int | NDArray[np.integer[Any]] = 0,
        lengths: NDArray[np.integer[Any]] | None = None,
    ) -> Array:
        """The output for x at the positions from `start` on, one for all or one for each row.

        Of row b the first lengths[b] vectors count, or all; the others' outputs mean nothing.
        """
        check_vectors("PositionalEncoding: x", x, self.d_model)
        if x.dtype != self.dtype:
            hint = cast("x", x, self.dtype)
            raise TypeError(
                f"PositionalEncoding: x is {x.dtype}, but the layer is {self.dtype}{hint}"
            )
        y = empty(x.shape, x.dtype)
        np.add(x, self._from(start, x.shape[1], lengths), out=y)
        return y

    def _from(self, start: Any, n: int, lengths: Any) -> Array:
        stop = start + (n if lengths is None else lengths)
        last = stop if isinstance(stop, int) else int(np.max(stop, initial=0))
        if last > self.max_len:
            raise ValueError(f"PositionalEncoding: {last} positions, but max_len is {self.max_len}")
        if isinstance(stop, int):
            return self.rows(last)[start:]
        at = np.reshape(start, (-1, 1)) + np.arange(n)
        return self.rows(last)[np.minimum(at, last - 1)]  # what does not count may stand beyond

    def backward(self, dy: Array, ctx: Any, need_dx: bool = True) -> Array | None:
        """dx = dy through the dropout; dweight[i] += sum of dx over the batch at position i."""
        shape, drop = ctx
        check_gradient("PositionalEncoding", dy, shape, self.dtype)
        dx = kernels.dropout_backward(dy, **drop) if drop else dy
        if self.weight is not None:
            rows = self.weight.grad[: shape[1]]
            np.add(rows, dx.sum(axis=0), out=rows)
        return dx if need_dx else None

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """One for each element."""
        return math.prod(input_shape)

    def lower(self, b: Builder) -> None:
        """As many rows of the table as a sequence can have."""
        b.positions(self.rows(min(self.max_len, b.max_len)))


def check_max_len(max_len: int) -> int:
    """`max_len` as an int from 1 to MOST_POSITIONS; TypeError or ValueError otherwise."""
    return check_count("max_len", max_len, high=MOST_POSITIONS)


def sinusoids(start: int, stop: int, d_model: int) -> NDArray[np.float64]:
    """The table of sinusoidal positions from start to stop, (stop - start, d_model)."""
    rate = 10000.0 ** (-np.arange(0, d_model, 2) / d_model)
    angles = np.arange(start, stop)[:, None] * rate
    table = np.empty((stop - start, d_model))
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles)[:, : d_model // 2]
    return table
