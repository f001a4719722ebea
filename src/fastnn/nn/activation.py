"""Activations and softmax as layers without parameters, and the activations by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

from numpy.typing import NDArray

from .. import kernels
from ..checks import check_choice, check_number
from .contexts import check_gradient
from .lowering import Builder
from .module import Module
from .registry import register

__all__ = [
    "GELU",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]

Activation = str  # a name of FUNCTIONS
# The same for type checkers of programs that write the name out.
ActivationName = Literal["relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu", "softplus"]


class Function(NamedTuple):
    """An activation y = act(z) and its backward, which reads y if `saves_output`, else z."""

    forward: Callable[..., NDArray[Any]]
    backward: Callable[..., NDArray[Any]]
    saves_output: bool


FUNCTIONS: dict[Activation, Function] = {
    name: Function(*row) for name, row in kernels.ACTIVATIONS.items()
}


class _Function(Module):
    """A function without parameters as a layer, for arrays of any shape.

    After a `Linear`, prefer `Linear(..., activation=...)`, which saves passes over the array.
    """

    name: Activation
    flops_each = 1  # per element

    @property
    def function(self) -> Function:
        """The function and its backward."""
        return FUNCTIONS[self.name]

    def __init__(self) -> None:
        super().__init__({})

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Return an output of the shape of x; the context is what backward reads, y or x."""
        y = self.function.forward(x)
        return y, y if self.function.saves_output else x

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the output for x; keep nothing for backward."""
        return self.function.forward(x)

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """Return dx = dy act'(x), elementwise; over rows for softmax."""
        check_gradient(self, dy, ctx.shape)
        return self.function.backward(dy, ctx) if need_dx else None

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count `flops_each` operations per element."""
        return self.flops_each * math.prod(input_shape)

    def lower(self, b: Builder) -> None:
        """Add the activation."""
        b.activation(self.name)


@register("ReLU")
class ReLU(_Function):
    """y = max(x, 0); the derivative at 0 is taken as 0.

    Examples
    --------
    >>> nn.ReLU()(np.float32([-1, 0, 2]))
    array([0., 0., 2.], dtype=float32)
    """

    name: Activation = "relu"


@register("Tanh")
class Tanh(_Function):
    """y = tanh(x).

    Examples
    --------
    >>> nn.Tanh()(np.float32([-1, 0, 1])).round(3)
    array([-0.762,  0.   ,  0.762], dtype=float32)
    """

    name: Activation = "tanh"


@register("Sigmoid")
class Sigmoid(_Function):
    """y = 1 / (1 + exp(-x)).

    Examples
    --------
    >>> nn.Sigmoid()(np.float32([-1, 0, 1])).round(3)
    array([0.269, 0.5  , 0.731], dtype=float32)
    """

    name: Activation = "sigmoid"


@register("SiLU")
class SiLU(_Function):
    """y = x sigmoid(x), also called swish: Elfwing, Uchibe and Doya (2018).

    Examples
    --------
    >>> nn.SiLU()(np.float32([-1, 0, 1])).round(3)
    array([-0.269,  0.   ,  0.731], dtype=float32)
    """

    name: Activation = "silu"


@register("GELU")
class GELU(_Function):
    """y = x Phi(x), where Phi is the cumulative distribution function of the normal distribution.

    Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    Parameters
    ----------
    approximate : {None, "tanh"}
        None is exact; "tanh" is the approximation that GPT-2 uses, see `kernels.gelu`.

    Raises
    ------
    ValueError
        `approximate` is something else.

    Examples
    --------
    >>> nn.GELU()(np.float32([-1, 0, 1])).round(3)
    array([-0.159,  0.   ,  0.841], dtype=float32)
    """

    fields: ClassVar = {"approximate": (str | None, None)}

    def __init__(self, approximate: Literal["tanh"] | None = None) -> None:
        self.approximate = check_choice("approximate", approximate, (None, "tanh"))
        super().__init__()

    @property
    def name(self) -> Activation:  # type: ignore[override]
        """The activation that `approximate` selects."""
        return "gelu" if self.approximate is None else "gelu_tanh"


@register("Softplus")
class Softplus(_Function):
    """y = log(1 + exp(x)), a smooth ReLU: Dugas, Bengio, Bélisle, Nadeau and Garcia (2000).

    Examples
    --------
    >>> nn.Softplus()(np.float32([-1, 0, 1])).round(3)
    array([0.313, 0.693, 1.313], dtype=float32)
    """

    name: Activation = "softplus"


@register("LeakyReLU")
class LeakyReLU(_Function):
    """y = x where x > 0, else slope x: Maas, Hannun and Ng (2013).

    The slope is fixed; `PReLU` learns it.

    Parameters
    ----------
    slope : float
        Finite; also the derivative at 0.

    Raises
    ------
    TypeError, ValueError
        The slope is not a number, or not finite.

    Examples
    --------
    >>> nn.LeakyReLU(0.5)(np.float32([-2, 0, 2]))
    array([-1.,  0.,  2.], dtype=float32)
    """

    fields: ClassVar = {"slope": (float, 0.01)}

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = check_number("slope", slope)
        super().__init__()

    @property
    def function(self) -> Function:
        """Leaky ReLU of this slope."""
        return Function(
            partial(kernels.leaky_relu, slope=self.slope),
            partial(kernels.leaky_relu_backward, slope=self.slope),
            self.slope >= 0,  # with a negative slope y does not determine the sign of x
        )

    def lower(self, b: Builder) -> None:
        """Add leaky ReLU with one slope for all columns."""
        b.prelu(float(self.slope))


@register("Softmax")
class Softmax(_Function):
    """y_i = exp(x_i) / sum_j exp(x_j) over the last axis: each row becomes probabilities.

    Its backward is dx_i = y_i (dy_i - sum_j dy_j y_j). Train a classifier without it:
    `nn.cross_entropy` takes logits, which is faster and does not overflow.

    Examples
    --------
    >>> nn.Softmax()(np.float32([[0, 0, 0, 0]]))
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """

    function = Function(kernels.softmax, kernels.softmax_backward, True)
    flops_each = 5  # maximum, difference, exponential, sum and quotient

    def lower(self, b: Builder) -> None:
        """Add softmax over each row."""
        b.softmax()


@register("LogSoftmax")
class LogSoftmax(_Function):
    """y_i = x_i - log(sum_j exp(x_j)) over the last axis: each row becomes log-probabilities.

    They are finite where the probabilities of `Softmax` underflow to 0. Its backward is
    dx_i = dy_i - exp(y_i) sum_j dy_j. Train a classifier without it, as without `Softmax`.

    Examples
    --------
    >>> nn.LogSoftmax()(np.float32([[0, 0]])).round(3)
    array([[-0.693, -0.693]], dtype=float32)
    """

    function = Function(kernels.log_softmax, kernels.log_softmax_backward, True)
    flops_each = 5  # maximum, difference, exponential, sum and difference

    def lower(self, b: Builder) -> None:
        """Add log-softmax over each row."""
        b.softmax(log=True)
