from typing import Literal

from numpy.typing import NDArray

from ._types import Real

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
