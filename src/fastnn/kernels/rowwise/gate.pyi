from numpy.typing import NDArray

from .._types import Activation, Real

def gate(
    x: NDArray[Real], activation: Activation = "silu", *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
def gate_backward(
    dy: NDArray[Real],
    x: NDArray[Real],
    activation: Activation = "silu",
    *,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
