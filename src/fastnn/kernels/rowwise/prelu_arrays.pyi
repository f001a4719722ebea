from numpy.typing import NDArray

from .._types import Real

def leaky_relu(
    x: NDArray[Real], slope: float = 0.01, *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
def leaky_relu_backward(
    dy: NDArray[Real],
    y: NDArray[Real],
    slope: float = 0.01,
    *,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def prelu(
    x: NDArray[Real], a: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
def prelu_backward(
    dy: NDArray[Real],
    x: NDArray[Real],
    a: NDArray[Real],
    *,
    da: NDArray[Real] | None = None,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
