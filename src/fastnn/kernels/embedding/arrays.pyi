from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from .._types import Real

def embedding(
    ids: NDArray[np.integer[Any]],
    weight: NDArray[Real],
    *,
    scale: SupportsFloat = 1.0,
    out: NDArray[Real] | None = None,
) -> NDArray[Real]: ...
def embedding_backward(
    ids: NDArray[np.integer[Any]],
    dy: NDArray[Real],
    *,
    dweight: NDArray[Real],
    scale: SupportsFloat = 1.0,
    padding_idx: int | None = None,
) -> None: ...
