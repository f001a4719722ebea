"""The embedding layer: a vector for each id."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_count, check_dtype, check_generator, check_number
from ..parameters import Parameter
from .contexts import check_gradient
from .init import initial, normal
from .linear import Seed
from .lowering import Builder
from .module import Module, Shapes
from .registry import register


@register("Embedding", rng=0)
class Embedding(Module):
    """y = scale * weight[ids]: a learned vector for each id.

    *Dive into Deep Learning*, section 15.1.

    Parameters
    ----------
    num, dim : int
        Number and length of the vectors; at least 1.
    scale : float, optional
        Such as sqrt(dim) in a Transformer; None does not scale.
    padding_idx : int, optional
        An id whose vector is initially zero and gets no gradient.
    std : float
        Standard deviation of the initial weights, which are normal with mean 0; at least 0.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
        Source of the initial weights. None takes entropy from the operating system.

    Attributes
    ----------
    weight : Parameter
        Shape (num, dim).

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range; the message names it.

    Examples
    --------
    >>> layer = nn.Embedding(10, 4, rng=0)
    >>> layer(np.array([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    fields: ClassVar = {
        "num": int,
        "dim": int,
        "scale": (float | None, None),
        "padding_idx": (int | None, None),
        "dtype": (str, "float32"),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shape of the table."""
        return {"weight": ((fields["num"], fields["dim"]), fields["dtype"])}

    def __init__(
        self,
        num: int,
        dim: int,
        *,
        scale: float | None = None,
        padding_idx: int | None = None,
        std: float = 1.0,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
    ) -> None:
        self.num, self.dim = check_count("num", num), check_count("dim", dim)
        self.scale = None if scale is None else check_number("scale", scale)
        self.padding_idx = (
            None if padding_idx is None else check_count("padding_idx", padding_idx, 0, num - 1)
        )
        std = check_number("std", std, least=0)
        draw = partial(normal, std=std)
        rng, dtype = check_generator("rng", rng), check_dtype(dtype)
        self.weight = Parameter(initial(draw, (num, dim), rng, dtype))
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0
        super().__init__({"weight": self.weight})

    def forward(self, ids: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Return vectors (..., dim) for integers of any shape; the context is ids.

        Raises
        ------
        TypeError
            ids is not an array of integers.
        IndexError
            An id is not from 0 to num - 1; the message says which.
        """
        return self(ids), ids

    def __call__(self, ids: NDArray[Any]) -> NDArray[Any]:
        """Return the output for ids; keep nothing for backward."""
        return kernels.embedding(ids, self.weight.data, scale=self._factor)

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> None:
        """Add dweight[k] += scale * sum of dy where ids == k; return None: ids have no gradient."""
        check_gradient(self, dy, (*ctx.shape, self.dim))
        dweight = self.weight.to_add()
        if dweight is not None:
            kernels.embedding_backward(
                ctx, dy, dweight=dweight, scale=self._factor, padding_idx=self.padding_idx
            )

    def lower(self, b: Builder) -> None:
        """Add the lookup of ids in the table."""
        b.embed(self.weight, self._factor)

    @property
    def _factor(self) -> float:
        return 1.0 if self.scale is None else self.scale
