from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._types import AnyArray

def narrow(x: NDArray[np.float32], format: str = "bf16") -> NDArray[Any]: ...
def widen(x: AnyArray) -> NDArray[np.float32]: ...
