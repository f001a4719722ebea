from collections.abc import Sequence

from .._types import AnyArray

def l1_norm(x: AnyArray | Sequence[AnyArray]) -> float: ...
