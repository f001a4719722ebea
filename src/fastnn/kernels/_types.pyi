"""Types shared by the stubs of the Cython modules."""

from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", np.float32, np.float64)
AnyArray: TypeAlias = NDArray[Any]
Activation: TypeAlias = str | None  # a name of kernels.ACTIVATIONS
