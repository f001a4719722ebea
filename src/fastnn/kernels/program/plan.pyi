from typing import Any

import numpy as np
from numpy.typing import NDArray

from .builder import Builder
from .state import PlanState

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]

class Plan:
    batch_max: int
    source: object
    def __init__(self, builder: Builder, batch_max: int = 1024, source: object = None) -> None: ...
    @property
    def n_in(self) -> int: ...
    @property
    def n_out(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def max_len(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def row_nbytes(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def address(self) -> int: ...
    @property
    def capsule(self) -> Any: ...
    def new_state(
        self,
        batch: int = 1,
        max_len: int | None = None,
        *,
        memory: Array | None = None,
        memory_lengths: Any = None,
        dtype: str | None = None,
    ) -> PlanState: ...
    def new_cache(
        self, batch: int, max_len: int | None = None, *, dtype: str | None = None
    ) -> PlanState: ...
    def step(
        self, ids: Ids, state: PlanState, lengths: Any = None, *, out: Array | None = None
    ) -> Array: ...
    def __call__(
        self,
        x: Array,
        memory: Array | None = None,
        *,
        lengths: Any = None,
        memory_lengths: Any = None,
        out: Array | None = None,
    ) -> Array: ...
