from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from .._types import Real

def rotary(
    x: NDArray[Real],
    *,
    start: int | NDArray[np.integer[Any]] = 0,
    base: SupportsFloat = 10000.0,
    inverse: bool = False,
    out: NDArray[Real] | None = None,
    rates: NDArray[np.float64] | None = None,
    factor: SupportsFloat = 1.0,
) -> NDArray[Real]: ...
