"""Names that the stubs of the Cython modules share."""

from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", np.float32, np.float64)
AnyArray: TypeAlias = NDArray[Any]
Activation: TypeAlias = (
    Literal["relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu", "softplus"] | None
)
