from typing import Literal, SupportsFloat, SupportsIndex

from numpy.typing import NDArray

from .._types import Real

def add_norm(
    x: NDArray[Real],
    residual: NDArray[Real],
    weight: NDArray[Real] | None = None,
    bias: NDArray[Real] | None = None,
    *,
    kind: Literal["layer", "rms"] = "layer",
    eps: SupportsFloat = 1e-5,
    p: SupportsFloat = 0.0,
    seed: SupportsIndex = 0,
    step: SupportsIndex = 0,
    h: NDArray[Real] | None = None,
    stats: NDArray[Real] | None = None,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def add_norm_backward(
    dy: NDArray[Real],
    h: NDArray[Real],
    stats: NDArray[Real],
    weight: NDArray[Real] | None = None,
    *,
    kind: Literal["layer", "rms"] = "layer",
    dh: NDArray[Real] | None = None,
    p: SupportsFloat = 0.0,
    seed: SupportsIndex = 0,
    step: SupportsIndex = 0,
    dweight: NDArray[Real] | None = None,
    dbias: NDArray[Real] | None = None,
) -> tuple[NDArray[Real], NDArray[Real]]: ...
