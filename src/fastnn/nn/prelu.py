"""ReLU whose slope below 0 is learnt."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_count, check_dtype, check_number
from ..parameters import Parameter
from .lowering import Builder
from .module import Module, Shapes, check_gradient
from .registry import register


@register("PReLU")
class PReLU(Module):
    """y = x where x > 0, else a x, with a learnt slope a for each column, or one for all.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.

    Parameters
    ----------
    num_parameters : int
        1, or the length of the last axis of x.
    init : float
        The slopes at first.
    dtype : float32 or float64

    Attributes
    ----------
    weight : Parameter
        a, of shape (num_parameters,).

    Raises
    ------
    TypeError, ValueError
        An argument is of another type or out of range; the message names it.
    """

    fields: ClassVar = {"num_parameters": (int, 1), "dtype": (str, "float32")}

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """The slopes."""
        return {"weight": ((fields["num_parameters"],), fields["dtype"])}

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: DTypeLike = np.float32
    ) -> None:
        self.num_parameters = check_count("num_parameters", num_parameters)
        slopes = np.full(num_parameters, check_number("init", init), check_dtype(dtype))
        self.weight = Parameter(slopes)
        super().__init__({"weight": self.weight})

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Output of the shape of x; the context is x.

        Raises
        ------
        TypeError
            x is no array of the dtype of the slopes.
        ValueError
            The last axis of x has not num_parameters elements, and that is not 1.
        """
        return self(x), x

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """The output for x, keeping nothing."""
        return kernels.prelu(x, self.weight.data)

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """da += sum of dy x where x <= 0, for each column or all; dx = dy where x > 0, else a dy."""
        check_gradient("PReLU", dy, ctx.shape)
        dx = kernels.prelu_backward(dy, ctx, self.weight.data, da=self.weight.grad)
        return dx if need_dx else None

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """One for each element."""
        return math.prod(input_shape)

    def lower(self, b: Builder) -> None:
        """A slope for each column, or one."""
        b.prelu(self.weight)
