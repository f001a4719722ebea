"""Check hand-written backward passes against central differences."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_generator, check_number
from ..keywords import explained
from .module import Module

Array = NDArray[Any]
Loss = Callable[..., tuple[Any, Any]]

# A central difference has a truncation error of about eps^2 f'''/6 and a rounding error of about
# 1e-16 f/eps: both near 1e-11 at this eps if f and its arguments are of order 1.
EPS = 1e-5

# Smallest divisor of an error, so that two zeros agree even if atol = 0.
_TINY = float(np.finfo(np.float64).tiny)

# Value of the gradients before a backward pass, which must add to them.
_BEFORE = 1.0


class GradientError(AssertionError):
    """A backward pass and central differences disagree.

    Attributes
    ----------
    name : str
        "x" or "x[1]" (an argument), or the name of a parameter.
    index : tuple of int
        The element with the largest relative error.
    found, expected : float
        The result of backward there, and the central difference.

    Examples
    --------
    >>> class Wrong(nn.Tanh):
    ...     def backward(self, dy, ctx, need_dx=True):
    ...         return dy
    >>> try:
    ...     nn.gradcheck(Wrong(), np.ones((1, 1)))
    ... except nn.GradientError as error:
    ...     print(error.name, error.index)
    x (0, 0)
    """

    def __init__(self, name: str, index: tuple[int, ...], found: float, expected: float) -> None:
        self.name, self.index, self.found, self.expected = name, index, found, expected
        super().__init__(name, index, found, expected)  # the arguments, so that it can be pickled

    def __str__(self) -> str:
        return (
            f"gradient of {self.name} at {list(self.index)}: backward gives {self.found:.12g}, "
            f"central differences {self.expected:.12g}"
        )


@dataclass(frozen=True)
class GradientReport:
    """The result of `gradcheck`.

    Attributes
    ----------
    errors : dict of str to float
        The largest relative error of every argument and parameter.

    Examples
    --------
    >>> report = nn.gradcheck(nn.Linear(3, 2, dtype=np.float64, rng=0), np.ones((4, 3)))
    >>> sorted(report.errors), report.worst < 1e-6
    (['bias', 'weight', 'x'], True)
    """

    errors: dict[str, float]

    @property
    def worst(self) -> float:
        """The largest of the errors."""
        return max(self.errors.values(), default=0.0)

    def __str__(self) -> str:
        width = max(map(len, self.errors), default=0)
        return "\n".join(f"{name:{width}}  {error:.1e}" for name, error in self.errors.items())


@explained
def gradcheck(
    layer_or_loss: Module | Loss,
    *inputs: Array,
    eps: float | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    samples: int | None = None,
    seed: int = 0,
) -> GradientReport:
    """Compare a backward pass with central differences in float64.

    A layer's output is contracted with a random dy, and the derivative of sum(y dy) is compared for
    every element of every floating-point input and every parameter. A loss is differentiated with
    respect to its first argument, or its first k if its gradient is a tuple of k. Parameters,
    gradients and the state of random layers are left unchanged.

    Parameters
    ----------
    layer_or_loss : Module, or callable
        A layer with float64 parameters, or a loss (pred, targets, ...) -> (loss, dpred). A layer
        may take several inputs; its backward then returns one gradient per input, None for inputs
        without one, or None for all. A layer with dropout uses the same mask in every evaluation.
    *inputs : ndarray
        Integers, which have no gradient, or real numbers, which are converted to float64. Keep
        them small: there are two evaluations for each element of inputs and parameters.
    eps : float, optional
        Half the distance between the two evaluations; by default 1e-5.
    rtol, atol : float
        An element passes within atol, or within rtol of the larger of the two values. rtol must
        be above 0.
    samples : int, optional
        Compare at most this many elements of each array, chosen at random.
    seed : int
        Seed of dy and of that choice.

    Returns
    -------
    GradientReport
        The largest relative error by name. Errors are relative to the larger of the two values, or
        to atol / rtol if both are smaller, so all are at most rtol.

    Raises
    ------
    GradientError
        An element does not pass, or is NaN. It is an AssertionError that names the array, the
        element and both values.
    TypeError
        The parameters are not float64.
    ValueError
        rtol or eps is not above 0, or the shape of a gradient differs from that of its array.

    Notes
    -----
    If a kink lies between x - eps and x + eps (ReLU near 0, the absolute value of a small residual,
    a maximum of nearly equal numbers), the difference is between the two slopes. Choose inputs away
    from kinks.

    Examples
    --------
    >>> layer = nn.Linear(3, 2, activation="tanh", dtype=np.float64, rng=0)
    >>> nn.gradcheck(layer, np.random.default_rng(0).normal(size=(4, 3))).worst < 1e-6
    True
    """
    eps = EPS if eps is None else check_number("eps", eps, above=0)
    rtol = check_number("rtol", rtol, above=0)
    rng = check_generator("seed", seed)
    arrays = [_as_input(x) for x in inputs]
    if isinstance(layer_or_loss, Module):
        gradients, difference = _of_layer(layer_or_loss, arrays, rng)
    else:
        gradients, difference = _of_loss(layer_or_loss, arrays)
    errors = {}
    for name, array, gradient in gradients:
        if gradient.shape != array.shape:
            raise ValueError(
                f"the gradient of {name} has shape {gradient.shape}, but {name} has {array.shape}"
            )
        error, index, found, expected = _worst(
            array, gradient, difference, eps, max(atol / rtol, _TINY), samples, rng
        )
        if not error <= rtol:  # NaN too
            raise GradientError(name, index, found, expected)
        errors[name] = error
    return GradientReport(errors)


# (name, array to perturb, its gradient by backward) for each array that has a gradient
_Gradients = list[tuple[str, Array, Array]]
# (array, index, eps) -> central difference
_Difference = Callable[[Array, tuple[int, ...], float], float]


def _of_layer(
    layer: Module, inputs: list[Array], rng: np.random.Generator
) -> tuple[_Gradients, _Difference]:
    layer = copy.deepcopy(layer)  # the caller's layer stays unchanged, even after an error
    parameters = layer.parameters()
    if len(parameters) and parameters.dtype != np.float64:
        raise TypeError(f"gradcheck needs parameters of float64, these are {parameters.dtype}")
    parameters.grad.fill(_BEFORE)
    state = layer.random_state()

    def forward() -> tuple[Array, Any]:
        layer.load_random_state(state)  # the same dropout each time
        y, ctx = layer.forward(*inputs)
        return y, ctx

    y, ctx = forward()
    dy = rng.normal(size=y.shape)
    given = dy.copy()
    dx = layer.backward(given, ctx)
    if not np.array_equal(given, dy):
        raise AssertionError("backward changed dy, which belongs to its caller")
    gradients = _named("x", inputs, dx)
    trained = [(name, p) for name, p in parameters.named() if p.requires_grad]
    gradients += [(name, p.data, p.grad - _BEFORE) for name, p in trained]
    return gradients, _differences(lambda: forward()[0], dy)


def _of_loss(loss: Loss, inputs: list[Array]) -> tuple[_Gradients, _Difference]:
    gradient = loss(*inputs)[1]
    dpreds = gradient if isinstance(gradient, tuple) else (gradient,)
    # a loss per row comes with the gradient of the sum, which `difference` forms
    differences = _differences(lambda: loss(*inputs)[0], np.float64(1.0))
    return _named("x", inputs[: len(dpreds)], dpreds), differences


def _differences(function: Callable[[], Any], weight: Any) -> _Difference:
    """Return a function that computes central differences of sum(function() * weight)."""

    def difference(array: Array, index: tuple[int, ...], eps: float) -> float:
        value = array[index]
        high, low = value + eps, value - eps
        try:
            array[index] = high
            above = np.array(function())  # a copy: it may be a view of `array`
            array[index] = low
            # subtract before summing, so that terms independent of the element cancel exactly
            change = np.sum((above - function()) * weight)
        finally:
            array[index] = value
        return float(change / (high - low))

    return difference


def _as_input(x: Array) -> Array:
    """Return real numbers as a float64 copy, which is perturbed; anything else unchanged."""
    x = np.asarray(x)
    return x.astype(np.float64, order="C") if np.issubdtype(x.dtype, np.floating) else x


def _named(name: str, inputs: list[Array], gradients: Any) -> _Gradients:
    if gradients is None:  # no input has a gradient
        gradients = (None,) * len(inputs)
    elif not isinstance(gradients, tuple):
        gradients = (gradients,)
    if len(gradients) != len(inputs):
        raise ValueError(f"{len(gradients)} gradients came back for {len(inputs)} inputs")
    names = [name] if len(inputs) == 1 else [f"{name}[{i}]" for i in range(len(inputs))]
    return [
        (name, x, dx)
        for name, x, dx in zip(names, inputs, gradients, strict=True)
        if dx is not None and np.issubdtype(x.dtype, np.floating)
    ]


def _worst(
    array: Array,
    gradient: Array,
    difference: _Difference,
    eps: float,
    least: float,
    samples: int | None,
    rng: np.random.Generator,
) -> tuple[float, tuple[int, ...], float, float]:
    """Return the largest error, relative to at least `least`, its index and both values there."""
    size = array.size
    few = samples is not None and samples < size
    worst: tuple[float, tuple[int, ...], float, float] = (0.0, (), 0.0, 0.0)
    for i in rng.choice(size, samples, replace=False) if few else range(size):
        index = tuple(map(int, np.unravel_index(i, array.shape)))
        found, expected = float(gradient[index]), difference(array, index, eps)
        error = abs(found - expected) / max(abs(found), abs(expected), least)
        if not error <= worst[0]:
            worst = error, index, found, expected
        if math.isnan(error):
            break
    return worst
