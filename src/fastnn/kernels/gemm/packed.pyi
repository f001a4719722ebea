from typing import Any

import numpy as np

from .._types import AnyArray

class PackedMatrix:
    nbytes: int
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def format(self) -> str: ...

def pack(b: AnyArray, format: str | None = None) -> PackedMatrix: ...
