from numpy.typing import NDArray

from ._types import Real

def softmax(x: NDArray[Real], *, out: NDArray[Real] | None = None) -> NDArray[Real]: ...
def softmax_backward(
    dy: NDArray[Real], y: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
