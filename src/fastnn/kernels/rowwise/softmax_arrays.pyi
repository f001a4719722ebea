from numpy.typing import NDArray

from .._types import AnyArray, Real

def softmax(
    x: NDArray[Real], *, lengths: AnyArray | None = None, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
def softmax_backward(
    dy: NDArray[Real],
    y: NDArray[Real],
    *,
    lengths: AnyArray | None = None,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def log_softmax(x: NDArray[Real], *, out: NDArray[Real] | None = None) -> NDArray[Real]: ...
def log_softmax_backward(
    dy: NDArray[Real], y: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
