"""ReLU with a learned slope below 0."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_count, check_dtype, check_number
from ..parameters import Parameter
from .contexts import check_gradient
from .lowering import Builder
from .module import Module, Shapes
from .registry import register


@register("PReLU")
class PReLU(Module):
    """y = x where x > 0, else a x, with a learned slope a per column or one for all.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.

    Parameters
    ----------
    num_parameters : int
        1, or the length of the last axis of x.
    init : float
        Initial value of the slopes.
    dtype : float32 or float64

    Attributes
    ----------
    weight : Parameter
        The slopes a, of shape (num_parameters,).

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range; the message names it.

    Examples
    --------
    >>> nn.PReLU(init=0.25)(np.float32([[-4, 4]]))
    array([[-1.,  4.]], dtype=float32)
    """

    fields: ClassVar = {"num_parameters": (int, 1), "dtype": (str, "float32")}

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shape of the slopes."""
        return {"weight": ((fields["num_parameters"],), fields["dtype"])}

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: DTypeLike = np.float32
    ) -> None:
        self.num_parameters = check_count("num_parameters", num_parameters)
        slopes = np.full(num_parameters, check_number("init", init), check_dtype(dtype))
        self.weight = Parameter(slopes)
        super().__init__({"weight": self.weight})

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Return an output of the shape of x; the context is x.

        Raises
        ------
        TypeError
            x is not an array of the dtype of the slopes.
        ValueError
            num_parameters is not 1, and the last axis of x does not have num_parameters elements.
        """
        return self(x), x

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the output for x; keep nothing for backward."""
        return kernels.prelu(x, self.weight.data)

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """Return dx = dy where x > 0, else a dy; add da += sum of dy x where x <= 0."""
        check_gradient(self, dy, ctx.shape)
        dx = kernels.prelu_backward(dy, ctx, self.weight.data, da=self.weight.to_add())
        return dx if need_dx else None

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count one operation per element."""
        return math.prod(input_shape)

    def lower(self, b: Builder) -> None:
        """Add leaky ReLU with the learned slopes."""
        b.prelu(self.weight)
