from numpy.typing import NDArray

from ._types import Real

def relu(x: NDArray[Real], *, out: NDArray[Real] | None = None) -> NDArray[Real]: ...
def relu_backward(
    dy: NDArray[Real], y: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
