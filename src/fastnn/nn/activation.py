"""Layers without parameters: activations and softmax; and the activations by name, for `Linear`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from .. import kernels
from .module import Module, check_gradient

Activation = Literal["relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu"]


class Function(NamedTuple):
    """An activation y = act(z) and its backward, which reads y or z: `saves_output` says which."""

    forward: Callable[..., NDArray[Any]]
    backward: Callable[..., NDArray[Any]]
    saves_output: bool


FUNCTIONS: dict[Activation, Function] = {
    "relu": Function(kernels.relu, kernels.relu_backward, True),
    "gelu": Function(kernels.gelu, kernels.gelu_backward, False),
    "gelu_tanh": Function(
        partial(kernels.gelu, approximate="tanh"),
        partial(kernels.gelu_backward, approximate="tanh"),
        False,
    ),
    "tanh": Function(kernels.tanh, kernels.tanh_backward, True),
    "sigmoid": Function(kernels.sigmoid, kernels.sigmoid_backward, True),
    "silu": Function(kernels.silu, kernels.silu_backward, False),
}


class _Elementwise(Module):
    """An activation as a layer of its own, for an array of any shape.

    After a `Linear`, prefer `Linear(..., activation=...)`, which saves passes over the array.
    """

    function: Function

    def __init__(self) -> None:
        super().__init__({})

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Output of the shape of x; the context is what the derivative is read off, y or x."""
        y = self.function.forward(x)
        return y, y if self.function.saves_output else x

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """dx = dy act'(x), element by element."""
        check_gradient(type(self).__name__, dy, ctx.shape)
        return self.function.backward(dy, ctx) if need_dx else None

    def flops(self, input_shape: tuple[int, ...]) -> int:
        """One for each element."""
        return math.prod(input_shape)

    def config(self) -> dict[str, Any]:
        """Nothing but the type."""
        return {"type": type(self).__name__}


class ReLU(_Elementwise):
    """y = max(x, 0); the derivative at 0 is taken as 0."""

    function = FUNCTIONS["relu"]


class Tanh(_Elementwise):
    """y = tanh(x)."""

    function = FUNCTIONS["tanh"]


class Sigmoid(_Elementwise):
    """y = 1 / (1 + exp(-x))."""

    function = FUNCTIONS["sigmoid"]


class SiLU(_Elementwise):
    """y = x sigmoid(x), also called swish: Elfwing, Uchibe and Doya (2018)."""

    function = FUNCTIONS["silu"]


class GELU(_Elementwise):
    """y = x Phi(x), Phi the distribution function of the normal distribution.

    Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    Parameters
    ----------
    approximate : {None, "tanh"}
        None is exact; "tanh" is the approximation that GPT-2 uses, see `kernels.gelu`.

    Raises
    ------
    ValueError
        `approximate` is something else.
    """

    def __init__(self, approximate: Literal["tanh"] | None = None) -> None:
        if approximate not in (None, "tanh"):
            raise ValueError(f"approximate must be None or 'tanh', got {approximate!r}")
        self.approximate = approximate
        self.function = FUNCTIONS["gelu" if approximate is None else "gelu_tanh"]
        super().__init__()

    def config(self) -> dict[str, Any]:
        """The type, and which form."""
        return {"type": "GELU", "approximate": self.approximate}


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

    def flops(self, input_shape: tuple[int, ...]) -> int:
        """Maximum, difference, exponential, sum and quotient of each element."""
        return 5 * math.prod(input_shape)

    def config(self) -> dict[str, Any]:
        """Nothing but the type."""
        return {"type": "Softmax"}
