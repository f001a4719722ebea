from collections.abc import Callable
from typing import Any, Literal

from numpy.typing import NDArray

from .._types import Real

__all__ = [
    "gelu",
    "gelu_backward",
    "gelu_tanh",
    "gelu_tanh_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
]

ACTIVATIONS: dict[str, tuple[Callable[..., NDArray[Any]], Callable[..., NDArray[Any]], bool]]

def relu(x: NDArray[Real], *, out: NDArray[Real] | None = None) -> NDArray[Real]: ...
def relu_backward(
    dy: NDArray[Real], y: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
def sigmoid(x: NDArray[Real], *, out: NDArray[Real] | None = None) -> NDArray[Real]: ...
def sigmoid_backward(
    dy: NDArray[Real], y: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
def tanh(x: NDArray[Real], *, out: NDArray[Real] | None = None) -> NDArray[Real]: ...
def tanh_backward(
    dy: NDArray[Real], y: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
def silu(x: NDArray[Real], *, out: NDArray[Real] | None = None) -> NDArray[Real]: ...
def silu_backward(
    dy: NDArray[Real], x: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
def gelu(
    x: NDArray[Real],
    *,
    approximate: Literal["tanh"] | None = None,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def gelu_backward(
    dy: NDArray[Real],
    x: NDArray[Real],
    *,
    approximate: Literal["tanh"] | None = None,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def gelu_tanh(x: NDArray[Real], *, out: NDArray[Real] | None = None) -> NDArray[Real]: ...
def gelu_tanh_backward(
    dy: NDArray[Real], x: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
def softplus(x: NDArray[Real], *, out: NDArray[Real] | None = None) -> NDArray[Real]: ...
def softplus_backward(
    dy: NDArray[Real], y: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
