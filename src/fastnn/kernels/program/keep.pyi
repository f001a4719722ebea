from typing import Any

from numpy.typing import NDArray

from .._types import Real
from .builder import Builder

class Program:
    count: int
    trains: bool
    def __init__(self, builder: Builder) -> None: ...
    def infer(self, x: NDArray[Real]) -> NDArray[Real] | None: ...
    def forward(self, x: NDArray[Real]) -> tuple[NDArray[Real], tuple[Any, ...]] | None: ...
    def backward(
        self, dy: NDArray[Real], ctx: tuple[Any, ...], need_dx: bool = True
    ) -> NDArray[Real] | None: ...
