from numpy.typing import NDArray

from .._types import Activation, Real

def linear_backward(
    dy: NDArray[Real],
    x: NDArray[Real],
    w: NDArray[Real],
    *,
    dw: NDArray[Real] | None = None,
    db: NDArray[Real] | None = None,
    y: NDArray[Real] | None = None,
    preact: NDArray[Real] | None = None,
    activation: Activation = None,
    need_dx: bool = True,
    overwrite_dy: bool = False,
    store_dw: bool = False,
) -> NDArray[Real] | None: ...
