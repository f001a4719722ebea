from typing import Any

from numpy.typing import NDArray

from .._types import Real

def mse(
    pred: NDArray[Real],
    target: NDArray[Real],
    *,
    sample_weight: NDArray[Real] | None = None,
    reduction: str = "mean",
    dpred: NDArray[Real] | None = None,
) -> tuple[Any, NDArray[Real]]: ...
def l1(
    pred: NDArray[Real],
    target: NDArray[Real],
    *,
    sample_weight: NDArray[Real] | None = None,
    reduction: str = "mean",
    dpred: NDArray[Real] | None = None,
) -> tuple[Any, NDArray[Real]]: ...
def huber(
    pred: NDArray[Real],
    target: NDArray[Real],
    *,
    delta: float = 1.0,
    sample_weight: NDArray[Real] | None = None,
    reduction: str = "mean",
    dpred: NDArray[Real] | None = None,
) -> tuple[Any, NDArray[Real]]: ...
def bce_with_logits(
    logits: NDArray[Real],
    targets: NDArray[Real],
    *,
    pos_weight: float | NDArray[Real] | None = None,
    sample_weight: NDArray[Real] | None = None,
    reduction: str = "mean",
    dlogits: NDArray[Real] | None = None,
) -> tuple[Any, NDArray[Real]]: ...
