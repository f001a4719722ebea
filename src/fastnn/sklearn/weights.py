"""Check sample weights."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight


def check_weights(sample_weight: Any, X: Any) -> NDArray[Any] | None:
    """Return weights (n,) of the dtype of X; ValueError if one is negative or all are zero."""
    if sample_weight is None:
        return None
    weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
    if (weight < 0).any():
        raise ValueError("sample_weight must not be negative")
    check_not_all_zero(weight, "sample_weight")
    return weight


def check_not_all_zero(weight: NDArray[Any] | None, name: str) -> None:
    """Raise ValueError if all weights are zero."""
    if weight is not None and not weight.any():
        raise ValueError(f"{name} must not be zero for every sample")
