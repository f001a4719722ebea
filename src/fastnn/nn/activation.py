"""Layers without parameters: ReLU and softmax."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import kernels
from .module import Module, check_gradient


class ReLU(Module):
    """y = max(x, 0), element by element, for an array of any shape.

    The derivative at 0 is taken as 0. After a `Linear`, prefer `Linear(..., activation="relu")`,
    which does the same without another pass over the array.
    """

    def __init__(self) -> None:
        super().__init__({})

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Output of the shape of x; the context is the output, positive where x was."""
        y = kernels.relu(x)
        return y, y

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """dx = dy where y > 0, else 0."""
        check_gradient("ReLU", dy, ctx.shape)
        return kernels.relu_backward(dy, ctx) if need_dx else None

    def config(self) -> dict[str, Any]:
        """Nothing but the type."""
        return {"type": "ReLU"}


class Softmax(Module):
    """y_i = exp(x_i) / sum_j exp(x_j) over the last axis: each row becomes probabilities.

    A classifier is trained without it: `nn.cross_entropy` takes logits, which is faster and exact
    for large ones.
    """

    def __init__(self) -> None:
        super().__init__({})

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Output of the shape of x; the context is the output."""
        y = kernels.softmax(x)
        return y, y

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """dx_i = y_i (dy_i - sum_j dy_j y_j), row by row."""
        check_gradient("Softmax", dy, ctx.shape)
        return kernels.softmax_backward(dy, ctx) if need_dx else None

    def config(self) -> dict[str, Any]:
        """Nothing but the type."""
        return {"type": "Softmax"}
