from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from .._types import Real

@overload
def attention(
    q: NDArray[Real],
    k: NDArray[Real],
    v: NDArray[Real],
    *,
    causal: bool = False,
    lengths: Any = None,
    mask: NDArray[Real] | NDArray[np.bool_] | None = None,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int | None = None,
    step: int = 0,
    need_weights: Literal[False] = False,
    return_lse: Literal[False] = False,
    return_normalizer: Literal[False] = False,
    out: NDArray[Real] | None = None,
    window: int | None = None,
) -> NDArray[Real]: ...
@overload
def attention(
    q: NDArray[Real],
    k: NDArray[Real],
    v: NDArray[Real],
    *,
    causal: bool = False,
    lengths: Any = None,
    mask: NDArray[Real] | NDArray[np.bool_] | None = None,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int | None = None,
    step: int = 0,
    need_weights: bool = False,
    return_lse: bool = False,
    return_normalizer: bool = False,
    out: NDArray[Real] | None = None,
    window: int | None = None,
) -> Any: ...
def attention_backward(
    dout: NDArray[Real],
    q: NDArray[Real],
    k: NDArray[Real],
    v: NDArray[Real],
    out: NDArray[Real],
    lse: NDArray[Real],
    *,
    causal: bool = False,
    lengths: Any = None,
    mask: NDArray[Real] | NDArray[np.bool_] | None = None,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int | None = None,
    step: int = 0,
    dq: NDArray[Real] | None = None,
    dk: NDArray[Real] | None = None,
    dv: NDArray[Real] | None = None,
    window: int | None = None,
    dbias: NDArray[Real] | None = None,
) -> tuple[NDArray[Real], NDArray[Real], NDArray[Real]]: ...
