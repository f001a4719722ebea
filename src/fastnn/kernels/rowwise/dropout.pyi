from typing import SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from .._types import Real

def dropout(
    x: NDArray[Real],
    p: SupportsFloat,
    *,
    seed: SupportsIndex,
    step: SupportsIndex,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def dropout_backward(
    dy: NDArray[Real],
    p: SupportsFloat,
    *,
    seed: SupportsIndex,
    step: SupportsIndex,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def philox(
    n: SupportsIndex, *, seed: SupportsIndex, step: SupportsIndex = 0, block: SupportsIndex = 0
) -> NDArray[np.uint32]: ...
