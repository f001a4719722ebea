from typing import SupportsFloat

from numpy.typing import NDArray

from .._types import Real

def layer_norm(
    x: NDArray[Real],
    weight: NDArray[Real] | None = None,
    bias: NDArray[Real] | None = None,
    *,
    eps: SupportsFloat = 1e-5,
    stats: NDArray[Real] | None = None,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def layer_norm_backward(
    dy: NDArray[Real],
    x: NDArray[Real],
    stats: NDArray[Real],
    weight: NDArray[Real] | None = None,
    *,
    dweight: NDArray[Real] | None = None,
    dbias: NDArray[Real] | None = None,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def rms_norm(
    x: NDArray[Real],
    weight: NDArray[Real] | None = None,
    *,
    eps: SupportsFloat = 1e-6,
    stats: NDArray[Real] | None = None,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def rms_norm_backward(
    dy: NDArray[Real],
    x: NDArray[Real],
    stats: NDArray[Real],
    weight: NDArray[Real] | None = None,
    *,
    dweight: NDArray[Real] | None = None,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
