from numpy.typing import NDArray

from ._types import AnyArray, Real

def cross_entropy(
    logits: NDArray[Real], targets: AnyArray, *, dlogits: NDArray[Real] | None = None
) -> tuple[float, NDArray[Real]]: ...
def mse(
    pred: NDArray[Real], target: NDArray[Real], *, dpred: NDArray[Real] | None = None
) -> tuple[float, NDArray[Real]]: ...
