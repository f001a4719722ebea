from typing import Any

import numpy as np
from numpy.typing import NDArray

from .plan import Plan

class PlanState:
    plan: Plan
    def __init__(
        self,
        plan: Plan,
        batch: int,
        max_len: int | None = None,
        memory: NDArray[Any] | None = None,
        memory_lengths: Any = None,
        dtype: str | None = None,
    ) -> None: ...
    @property
    def lengths(self) -> NDArray[np.int64]: ...
    @property
    def max_len(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def address(self) -> int: ...
    def __len__(self) -> int: ...
    def truncate(self, length: int = 0) -> None: ...
    def select(self, rows: Any) -> None: ...
