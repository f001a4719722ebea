from numpy.typing import NDArray

from .._types import Real

def additive_scores(
    q: NDArray[Real], k: NDArray[Real], w: NDArray[Real], *, out: NDArray[Real] | None = None
) -> NDArray[Real]: ...
def additive_scores_backward(
    dscores: NDArray[Real], q: NDArray[Real], k: NDArray[Real], w: NDArray[Real]
) -> tuple[NDArray[Real], NDArray[Real], NDArray[Real]]: ...
