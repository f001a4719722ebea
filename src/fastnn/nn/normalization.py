"""Layers that normalize rows: layer norm and RMS norm."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_count, check_dtype, check_flag, check_number, to_array
from ..kernels.ground.memory import empty
from ..parameters import Parameter
from .contexts import check_gradient
from .lowering import Builder
from .module import Module, Shapes
from .registry import register


class _Norm(Module):
    """Base of the norms: eps, weight (initially one) and bias (initially zero)."""

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of weight and bias, if they exist."""
        has_weight = fields.get("affine", True)
        has_bias = has_weight and fields.get("bias", False) and fields.get("kind") != "rms"
        names = ["weight"] * has_weight + ["bias"] * has_bias
        return dict.fromkeys(names, ((fields["dim"],), fields["dtype"]))

    def __init__(self, dim: int, eps: float, weight: bool, bias: bool, dtype: DTypeLike) -> None:
        self.dim = check_count("dim", dim)
        self.affine = weight
        self.eps = check_number("eps", eps, above=0)
        self.dtype = check_dtype(dtype)
        self.weight = Parameter(np.ones(dim, self.dtype)) if weight else None
        self.bias = Parameter(np.zeros(dim, self.dtype)) if bias else None
        named = {"weight": self.weight, "bias": self.bias}
        super().__init__({name: part for name, part in named.items() if part is not None})

    def _data(self, parameter: Parameter | None) -> NDArray[Any] | None:
        return None if parameter is None else parameter.data

    def _grad(self, parameter: Parameter | None) -> NDArray[Any] | None:
        return None if parameter is None else parameter.to_add()

    def _check_input(self, name: str, x: NDArray[Any]) -> None:
        layer = type(self).__name__
        if not isinstance(x, np.ndarray):
            hint = to_array(x, name, self.dtype)
            raise TypeError(f"{layer}: {name} must be a NumPy array, got {type(x).__name__}{hint}")
        if x.dtype != self.dtype:
            hint = to_array(x, name, self.dtype)
            raise TypeError(f"{layer}: {name} is {x.dtype}, but the layer is {self.dtype}{hint}")
        if x.ndim == 0 or x.shape[-1] != self.dim:
            raise ValueError(f"{layer}: {name} must be (..., {self.dim}), got {x.shape}")

    def _new_stats(self, x: NDArray[Any]) -> NDArray[Any]:
        return empty((x.size // self.dim, 3), x.dtype)


@register("LayerNorm")
class LayerNorm(_Norm):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias, over the last axis of x (..., dim).

    Ba, Kiros and Hinton, "Layer normalization", 2016.

    Parameters
    ----------
    dim : int
        At least 1.
    eps : float
        Above 0.
    affine : bool
        True if there is a weight (dim,), initially one.
    bias : bool
        True if there is also a bias (dim,), initially zero; needs `affine`.
    dtype : float32 or float64

    Attributes
    ----------
    weight, bias : Parameter or None

    Examples
    --------
    >>> layer = nn.LayerNorm(3)
    >>> layer(np.float32([[1, 2, 3]])).round(3)
    array([[-1.225,  0.   ,  1.225]], dtype=float32)
    """

    fields: ClassVar = {
        "dim": int,
        "eps": (float, 1e-5),
        "affine": (bool, True),
        "bias": (bool, True),
        "dtype": (str, "float32"),
    }

    def __init__(
        self,
        dim: int,
        eps: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        affine, bias = check_flag("affine", affine), check_flag("bias", bias)
        super().__init__(dim, eps, affine, affine and bias, dtype)

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Return an output of the shape of x; the context is x and three numbers per row.

        Raises
        ------
        TypeError
            x is not an array of the layer's dtype.
        ValueError
            The last axis of x does not have dim elements.
        """
        self._check_input("x", x)
        stats = self._new_stats(x)
        w, b = self._data(self.weight), self._data(self.bias)
        return kernels.layer_norm(x, w, b, eps=self.eps, stats=stats), (x, stats)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the output for x; keep nothing for backward."""
        self._check_input("x", x)
        return kernels.layer_norm(x, self._data(self.weight), self._data(self.bias), eps=self.eps)

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """Return dx = (g - mean(g) - xhat mean(g xhat)) / deviation, with g = dy weight.

        xhat is the normalized x. dweight += sum over rows of dy xhat, dbias += sum over rows of dy.
        """
        x, stats = ctx
        check_gradient(self, dy, x.shape)
        w, dw, db = self._data(self.weight), self._grad(self.weight), self._grad(self.bias)
        dx = kernels.layer_norm_backward(dy, x, stats, w, dweight=dw, dbias=db)
        return dx if need_dx else None

    def lower(self, b: Builder) -> None:
        """Add one norm."""
        b.norm("layer", self.weight, self.bias, self.eps, dim=self.dim)


@register("RMSNorm")
class RMSNorm(_Norm):
    """y = x / sqrt(mean of x^2 + eps) * weight, over the last axis of x (..., dim).

    Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Parameters
    ----------
    dim : int
        At least 1.
    eps : float
        Above 0.
    affine : bool
        True if there is a weight (dim,), initially one.
    dtype : float32 or float64

    Attributes
    ----------
    weight : Parameter or None

    Examples
    --------
    >>> nn.RMSNorm(4)(np.float32([[3, 4, 0, 0]])).round(3)
    array([[1.2, 1.6, 0. , 0. ]], dtype=float32)
    """

    fields: ClassVar = {
        "dim": int,
        "eps": (float, 1e-6),
        "affine": (bool, True),
        "dtype": (str, "float32"),
    }

    def __init__(
        self, dim: int, eps: float = 1e-6, affine: bool = True, *, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__(dim, eps, check_flag("affine", affine), False, dtype)

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Return an output of the shape of x; context and errors are those of `LayerNorm`."""
        self._check_input("x", x)
        stats = self._new_stats(x)
        return kernels.rms_norm(x, self._data(self.weight), eps=self.eps, stats=stats), (x, stats)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the output for x; keep nothing for backward."""
        self._check_input("x", x)
        return kernels.rms_norm(x, self._data(self.weight), eps=self.eps)

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """Return dx = (g - xhat mean(g xhat)) / rms, with g = dy weight.

        dweight += sum over rows of dy xhat.
        """
        x, stats = ctx
        check_gradient(self, dy, x.shape)
        w, dw = self._data(self.weight), self._grad(self.weight)
        dx = kernels.rms_norm_backward(dy, x, stats, w, dweight=dw)
        return dx if need_dx else None

    def lower(self, b: Builder) -> None:
        """Add one norm."""
        b.norm("rms", self.weight, None, self.eps, dim=self.dim)
