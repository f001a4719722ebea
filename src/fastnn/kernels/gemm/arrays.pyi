from numpy.typing import NDArray

from .._types import Activation, Real
from .packed import PackedMatrix

def matmul(
    a: NDArray[Real],
    b: NDArray[Real] | PackedMatrix,
    *,
    bias: NDArray[Real] | None = None,
    activation: Activation = None,
    out: NDArray[Real] | None = None,
    preact: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def gemm(
    a: NDArray[Real],
    b: NDArray[Real],
    c: NDArray[Real] | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 0.0,
    trans_a: bool = False,
    trans_b: bool = False,
) -> NDArray[Real]: ...
