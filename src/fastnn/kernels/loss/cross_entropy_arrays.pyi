from typing import Any

from numpy.typing import NDArray

from .._types import AnyArray, Real

def cross_entropy(
    logits: NDArray[Real],
    targets: AnyArray,
    *,
    ignore_index: int = -100,
    weight: NDArray[Real] | None = None,
    sample_weight: NDArray[Real] | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    dlogits: NDArray[Real] | None = None,
) -> tuple[Any, NDArray[Real]]: ...
