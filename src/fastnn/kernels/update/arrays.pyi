import numpy as np
from numpy.typing import NDArray

from .._types import Real

def sgd_update(
    p: NDArray[Real],
    g: NDArray[Real],
    m: NDArray[Real] | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None: ...
def adam_update(
    p: NDArray[Real],
    g: NDArray[Real],
    m: NDArray[Real],
    v: NDArray[Real],
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None: ...
def adamw_update(
    p: NDArray[Real],
    g: NDArray[Real],
    m: NDArray[Real],
    v: NDArray[Real],
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    grad_scale: float = 1.0,
    decay_stops: NDArray[np.int64] | None = None,
) -> None: ...
def rmsprop_update(
    p: NDArray[Real],
    g: NDArray[Real],
    v: NDArray[Real],
    m: NDArray[Real] | None = None,
    c: NDArray[Real] | None = None,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None: ...
def adagrad_update(
    p: NDArray[Real],
    g: NDArray[Real],
    v: NDArray[Real],
    *,
    step: int,
    lr: float,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None: ...
def ema_update(average: NDArray[Real], p: NDArray[Real], decay: float) -> None: ...
def scale(x: NDArray[Real], factor: float) -> None: ...
