"""Initializers: functions (shape, rng, dtype) -> initial values of an array of parameters.

Weights are (fan_in, fan_out). Numbers are drawn in float64 for every dtype, so a float32 model and
its float64 twin start from the same weights.

>>> nn.Linear(784, 256, activation="relu", init="he_normal", rng=0)
>>> nn.Linear(784, 256, init=functools.partial(nn.init.normal, std=0.01), rng=0)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import check_choice, given
from ..keywords import explained
from .blank import Blank

Shape = tuple[int, ...]
Initializer = Callable[..., NDArray[np.floating]]


def _fans(shape: Shape) -> tuple[int, int]:
    """Return (fan_in, fan_out) of weights."""
    if len(shape) != 2:
        raise ValueError(f"the fans of an array are those of weights (in, out), not of {shape}")
    return shape


@explained
def constant(
    shape: Shape, rng: np.random.Generator, dtype: DTypeLike, *, value: float = 0.0
) -> NDArray[np.floating]:
    """Return an array filled with `value`; draw nothing.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> nn.init.constant((1, 2), rng, np.float32, value=0.5)
    array([[0.5, 0.5]], dtype=float32)
    """
    return np.full(shape, value, dtype)


@explained
def normal(
    shape: Shape,
    rng: np.random.Generator,
    dtype: DTypeLike,
    *,
    mean: float = 0.0,
    std: float = 0.01,
) -> NDArray[np.floating]:
    """Draw normal numbers. The default is that of *Dive into Deep Learning*, section 5.2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> nn.init.normal((1000, 10), rng, np.float64, std=0.1).std().round(2).item()
    0.1
    """
    return rng.normal(mean, std, shape).astype(dtype)


@explained
def uniform(
    shape: Shape,
    rng: np.random.Generator,
    dtype: DTypeLike,
    *,
    low: float = -0.05,
    high: float = 0.05,
) -> NDArray[np.floating]:
    """Draw uniform numbers from [low, high).

    Examples
    --------
    >>> w = nn.init.uniform((1000, 10), np.random.default_rng(0), np.float64, low=-1, high=1)
    >>> bool(abs(w).max() <= 1)
    True
    """
    return rng.uniform(low, high, shape).astype(dtype)


@explained
def truncated_normal(
    shape: Shape,
    rng: np.random.Generator,
    dtype: DTypeLike,
    *,
    mean: float = 0.0,
    std: float = 0.02,
) -> NDArray[np.floating]:
    """Draw normal numbers, redrawing those outside mean +- 2 std, as in BERT.

    `std` is that of the normal distribution before truncation; the result has 0.88 of it.

    Examples
    --------
    >>> w = nn.init.truncated_normal((1000, 10), np.random.default_rng(0), np.float64, std=1)
    >>> bool(abs(w).max() <= 2)
    True
    """
    x = rng.standard_normal(shape)
    while (beyond := np.abs(x) > 2).any():
        x[beyond] = rng.standard_normal(np.count_nonzero(beyond))
    return (mean + std * x).astype(dtype)


@explained
def xavier_uniform(
    shape: Shape, rng: np.random.Generator, dtype: DTypeLike
) -> NDArray[np.floating]:
    """Draw weights uniformly from +-sqrt(6 / (fan_in + fan_out)).

    This keeps the variance of activations and gradients similar across layers: Glorot and Bengio,
    "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    eq. 16.

    Examples
    --------
    >>> w = nn.init.xavier_uniform((300, 300), np.random.default_rng(0), np.float64)
    >>> abs(w).max().round(2).item()  # sqrt(6 / 600)
    0.1
    """
    limit = float(np.sqrt(6.0 / sum(_fans(shape))))
    return uniform(shape, rng, dtype, low=-limit, high=limit)


@explained
def xavier_normal(shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> NDArray[np.floating]:
    """Draw normal weights of variance 2 / (fan_in + fan_out): Glorot and Bengio (2010), eq. 12.

    Examples
    --------
    >>> w = nn.init.xavier_normal((100, 100), np.random.default_rng(0), np.float64)
    >>> w.std().round(2).item()  # sqrt(2 / 200)
    0.1
    """
    return normal(shape, rng, dtype, std=float(np.sqrt(2.0 / sum(_fans(shape)))))


@explained
def he_uniform(shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> NDArray[np.floating]:
    """Draw weights uniformly from +-sqrt(6 / fan_in), with the variance of `he_normal`.

    Examples
    --------
    >>> w = nn.init.he_uniform((600, 100), np.random.default_rng(0), np.float64)
    >>> abs(w).max().round(2).item()  # sqrt(6 / 600)
    0.1
    """
    limit = float(np.sqrt(6.0 / _fans(shape)[0]))
    return uniform(shape, rng, dtype, low=-limit, high=limit)


@explained
def he_normal(shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> NDArray[np.floating]:
    """Draw normal weights of variance 2 / fan_in, for layers with ReLU.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers: surpassing human-level performance on
    ImageNet classification", ICCV 2015, eq. 10.

    Examples
    --------
    >>> w = nn.init.he_normal((200, 100), np.random.default_rng(0), np.float64)
    >>> w.std().round(2).item()  # sqrt(2 / 200)
    0.1
    """
    return normal(shape, rng, dtype, std=float(np.sqrt(2.0 / _fans(shape)[0])))


@explained
def lecun_uniform(shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> NDArray[np.floating]:
    """Draw weights uniformly from +-sqrt(3 / fan_in), with the variance of `lecun_normal`.

    Examples
    --------
    >>> w = nn.init.lecun_uniform((300, 100), np.random.default_rng(0), np.float64)
    >>> abs(w).max().round(2).item()  # sqrt(3 / 300)
    0.1
    """
    limit = float(np.sqrt(3.0 / _fans(shape)[0]))
    return uniform(shape, rng, dtype, low=-limit, high=limit)


@explained
def lecun_normal(shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> NDArray[np.floating]:
    """Draw normal weights of variance 1 / fan_in.

    LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998, eq. 16.

    Examples
    --------
    >>> w = nn.init.lecun_normal((100, 100), np.random.default_rng(0), np.float64)
    >>> w.std().round(2).item()  # sqrt(1 / 100)
    0.1
    """
    return normal(shape, rng, dtype, std=float(np.sqrt(1.0 / _fans(shape)[0])))


@explained
def orthogonal(
    shape: Shape, rng: np.random.Generator, dtype: DTypeLike, *, gain: float = 1.0
) -> NDArray[np.floating]:
    """Draw `gain` times a matrix with orthonormal rows or columns, whichever are fewer.

    The matrix is uniformly distributed: Q of the QR decomposition of normal numbers, with signs
    that make the diagonal of R positive. Saxe, McClelland and Ganguli, "Exact solutions to the
    nonlinear dynamics of learning in deep linear neural networks", ICLR 2014.

    Examples
    --------
    >>> w = nn.init.orthogonal((5, 3), np.random.default_rng(0), np.float64)
    >>> np.allclose(w.T @ w, np.eye(3))
    True
    """
    fan_in, fan_out = _fans(shape)
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q *= gain * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return np.ascontiguousarray(q if fan_in >= fan_out else q.T, dtype=dtype)


INITIALIZERS: dict[str, Initializer] = {
    function.__name__: function
    for function in (
        constant,
        normal,
        uniform,
        truncated_normal,
        xavier_uniform,
        xavier_normal,
        he_uniform,
        he_normal,
        lecun_uniform,
        lecun_normal,
        orthogonal,
    )
}


@explained
def initial(
    init: str | Initializer, shape: Shape, rng: np.random.Generator, dtype: DTypeLike
) -> NDArray[np.floating]:
    """Return the values that an initializer, or the one with that name, draws.

    Raises
    ------
    ValueError
        The name is unknown, or the result has the wrong shape.
    TypeError
        `init` is neither a name nor callable, or the result has the wrong dtype.

    Examples
    --------
    >>> nn.init.initial("constant", (1, 2), np.random.default_rng(0), np.float32)
    array([[0., 0.]], dtype=float32)
    """
    if isinstance(rng, Blank):
        return rng.zeros(shape, dtype)
    if isinstance(init, str):
        init = INITIALIZERS[check_choice("init", init, INITIALIZERS)]
    if not callable(init):
        raise TypeError(f"init must be a name or a function (shape, rng, dtype), got {given(init)}")
    values = np.asarray(init(shape, rng, dtype))
    if values.shape != shape:
        raise ValueError(f"init gave the shape {values.shape}, but the weights are {shape}")
    if values.dtype != dtype:
        raise TypeError(f"init gave {values.dtype}, but the weights are {np.dtype(dtype)}")
    return values
