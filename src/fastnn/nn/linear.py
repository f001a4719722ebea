"""The dense layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import (
    check_choice,
    check_count,
    check_dtype,
    check_flag,
    check_generator,
    to_array,
)
from ..kernels.ground.memory import empty
from ..keywords import explained
from ..parameters import Parameter
from .activation import FUNCTIONS, Activation
from .contexts import check_gradient
from .init import Initializer, initial
from .lowering import Builder
from .module import Module, Shapes
from .precision import backward_bf16, is_bf16, packed, rounded
from .registry import register

Seed = int | np.random.Generator | None
ACTIVATIONS: tuple[Activation | None, ...] = (None, *FUNCTIONS)


def affine(
    x: NDArray[Any], w: NDArray[Any], b: NDArray[Any] | None, activation: Activation | None
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Return y = act(x w + b), and what `kernels.linear_backward` needs: y, preact or nothing."""
    weight: Any = w
    if is_bf16(x):
        x, weight = rounded(x), packed(w)
    if activation is None or FUNCTIONS[activation].saves_output:
        y = kernels.matmul(x, weight, bias=b, activation=activation)
        return y, {} if activation is None else {"y": y}
    z = empty((len(x), w.shape[1]), x.dtype)
    return kernels.matmul(x, weight, bias=b, activation=activation, preact=z), {"preact": z}


@register("Linear", rng=0)
class Linear(Module):
    """y = act(x W + b), the dense (fully connected) layer.

    Parameters
    ----------
    in_features, out_features : int
        At least 1.
    bias : bool
        True if there is a b, initially zero.
    activation : str or None
        A name in `kernels.ACTIVATIONS`, such as "relu" or "gelu".
        "gelu" is the exact form, "gelu_tanh" the approximation of GPT-2.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
        Source of the initial weights. None takes entropy from the operating system.
    init : str or callable
        How the initial weights are drawn: the name of a function of `nn.init`, or any function
        (shape, rng, dtype) -> array.

    Attributes
    ----------
    weight : Parameter
        Shape (in_features, out_features).
    bias : Parameter or None
        Shape (out_features,).

    Examples
    --------
    >>> layer = nn.Linear(3, 2, activation="relu", rng=0)
    >>> x = np.ones((5, 3), np.float32)
    >>> y, ctx = layer.forward(x)
    >>> dx = layer.backward(np.ones_like(y), ctx)  # adds to layer.weight.grad and layer.bias.grad
    >>> y.shape, dx.shape
    ((5, 2), (5, 3))
    """

    fields: ClassVar = {
        "in_features": int,
        "out_features": int,
        "bias": (bool, True),
        "activation": (str | None, None),
        "dtype": (str, "float32"),
    }

    adapter: Any = None  # a branch of a `LoRA` beside the weight

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of the weight, and of the bias if there is one."""
        n, m, dtype = fields["in_features"], fields["out_features"], fields["dtype"]
        bias: Shapes = {"bias": ((m,), dtype)} if fields["bias"] else {}
        return {"weight": ((n, m), dtype), **bias}

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation: str | None = None,
        *,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
        init: str | Initializer = "xavier_uniform",
    ) -> None:
        self.in_features = check_count("in_features", in_features)
        self.out_features = check_count("out_features", out_features)
        self.activation = check_activation(activation)
        dtype = check_dtype(dtype)
        shape = self.in_features, self.out_features
        self.weight = Parameter(initial(init, shape, check_generator("rng", rng), dtype))
        self.bias = Parameter(np.zeros(out_features, dtype)) if check_flag("bias", bias) else None
        parts: dict[str, Parameter | Module] = {"weight": self.weight}
        if self.bias is not None:
            parts["bias"] = self.bias
        super().__init__(parts)

    def forward(
        self, x: NDArray[Any], *, recompute: Callable[[], NDArray[Any]] | None = None
    ) -> tuple[NDArray[Any], Any]:
        """Return the output (..., out_features) for x (..., in_features), and the context.

        Parameters
        ----------
        x : ndarray
            Kept for backward, which needs it for the gradient of the weights.
        recompute : callable, optional
            Returns x again: backward calls it, and x is not kept.

        Raises
        ------
        TypeError
            x is not an array of the dtype of the weights.
        ValueError
            The last axis of x does not have in_features elements.
        """
        self._check_input(x)
        rows = x.reshape(-1, self.in_features)
        b = None if self.bias is None else self.bias.data
        product = affine if self.adapter is None else self.adapter.affine
        y, saved = product(rows, self.weight.data, b, self.activation)
        ctx = (x.shape, rows if recompute is None else recompute, saved)
        return y.reshape(*x.shape[:-1], self.out_features), ctx

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the output for x; keep nothing for backward."""
        if self.adapter is not None:
            return super().__call__(x)
        self._check_input(x)
        b = None if self.bias is None else self.bias.data
        rows = x if x.ndim == 2 else x.reshape(-1, self.in_features)
        y = kernels.matmul(rows, self.weight.data, bias=b, activation=self.activation)
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_features)

    def backward(
        self, dy: NDArray[Any], ctx: Any, need_dx: bool = True, *, overwrite_dy: bool = False
    ) -> NDArray[Any] | None:
        """Add dW += x^T dz and db += sum over rows of dz; return dx = dz W^T.

        dz = dy * act'. With `overwrite_dy`, dz may overwrite dy, which saves an array of that size.
        """
        shape, rows, saved = ctx
        check_gradient(self, dy, (*shape[:-1], self.out_features))
        is_matrix = len(shape) == 2
        if callable(rows):
            rows = rows().reshape(-1, self.in_features)
        dw, stores = self.weight.to_store()
        dz = dy if is_matrix else dy.reshape(-1, self.out_features)
        activation = self.activation
        if self.adapter is not None:
            if activation is not None:
                function = FUNCTIONS[activation]
                dz = function.backward(dz, saved["y" if function.saves_output else "preact"])
            branch, saved, activation = saved["branch"], {}, None
        backward = backward_bf16 if is_bf16(dy) else kernels.linear_backward
        dx = backward(
            dz,
            rows,
            self.weight.data,
            dw=dw,
            store_dw=stores,
            db=None if self.bias is None else self.bias.to_add(),
            activation=activation,
            need_dx=need_dx,
            overwrite_dy=overwrite_dy,
            **saved,
        )
        if stores:
            self.weight.stored()
        if self.adapter is not None:
            self.adapter.backward(dz, rows, branch, dx)
        return dx if dx is None or is_matrix else dx.reshape(shape)

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count 2 in_features + bias + activation operations for each output."""
        each = 2 * self.in_features + (self.bias is not None) + (self.activation is not None)
        sizes = self.in_features + self.out_features
        branch = 0 if self.adapter is None else 2 * sizes * self.adapter.a.data.shape[1]
        return math.prod(input_shape[:-1]) * (self.out_features * each + branch)

    def lower(self, b: Builder) -> None:
        """Add one dense operation."""
        b.dense(self.weight, self.bias, self.activation)

    def _check_input(self, x: NDArray[Any]) -> None:
        if not isinstance(x, np.ndarray):
            hint = to_array(x, "x", self.weight.data.dtype)
            raise TypeError(f"Linear: x must be a NumPy array, got {type(x).__name__}{hint}")
        if x.dtype != self.weight.data.dtype:
            dtype = self.weight.data.dtype
            raise TypeError(
                f"Linear: x is {x.dtype}, but the weights are {dtype}{to_array(x, 'x', dtype)}"
            )
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            is_flat = x.ndim > 2 and math.prod(x.shape[1:]) == self.in_features
            raise ValueError(
                f"Linear: x has shape {x.shape}, but {self.weight.name or 'weight'} "
                f"{self.weight.data.shape} needs (..., {self.in_features})"
                + "; give x.reshape(len(x), -1)"
                * is_flat
            )


def check_activation(activation: str | None) -> Activation | None:
    """Return `activation`; raise a ValueError with the known names if it is unknown."""
    return check_choice("activation", activation, ACTIVATIONS)


@explained
def collapse(first: Linear, second: Linear) -> Linear:
    """Merge two consecutive layers into one: W = W1 W2, b = b1 W2 + b2.

    Affine layers without an activation between them are equivalent to a single one: *Dive into Deep
    Learning*, section 5.1.1.2.

    Parameters
    ----------
    first, second : Linear
        `first` without an activation; that of `second` is kept.

    Returns
    -------
    Linear
        A new layer; neither argument is changed. It has a bias if either has one.

    Raises
    ------
    TypeError
        An argument is not a Linear layer, or the dtypes differ.
    ValueError
        `first` has an activation, or the sizes do not fit.

    Examples
    --------
    >>> first, second = nn.Linear(3, 4, rng=0), nn.Linear(4, 2, rng=1)
    >>> x = np.ones((1, 3), np.float32)
    >>> one = nn.collapse(first, second)
    >>> np.allclose(one(x), second(first(x)), atol=1e-6)
    True
    """
    for layer in (first, second):
        if not isinstance(layer, Linear) or layer.adapter is not None:
            with_branch = " with a LoRA branch" * isinstance(layer, Linear)
            kind = type(layer).__name__ + with_branch
            raise TypeError(f"only Linear layers collapse into one, not {kind}")
    if first.activation is not None:
        raise ValueError(f"the first layer has an activation, {first.activation!r}")
    if first.out_features != second.in_features:
        raise ValueError(
            f"the first layer has {first.out_features} outputs, the second "
            f"{second.in_features} inputs"
        )
    w1, w2 = first.weight.data, second.weight.data
    has_bias = first.bias is not None or second.bias is not None
    both = Linear(
        first.in_features,
        second.out_features,
        has_bias,
        second.activation,
        dtype=w1.dtype,
        init=lambda shape, rng, dtype: kernels.matmul(w1, w2),
    )
    if both.bias is not None:
        if first.bias is not None:
            both.bias.data[...] = kernels.matmul(first.bias.data, w2)
        if second.bias is not None:
            both.bias.data[...] += second.bias.data
    return both
