"""Dropout, residual sum and norm in one pass: add & norm."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import (
    check_choice,
    check_flag,
    check_probability,
)
from ..kernels import NotLowerable
from ..kernels.ground.memory import empty
from .contexts import check_gradient
from .dropout import new_stream
from .linear import Seed
from .lowering import Builder
from .normalization import _Norm
from .randomness import RandomStream
from .registry import register


@register("AddNorm")
class AddNorm(_Norm):
    """y = norm(h), h = dropout(x) + residual: the add & norm of a Transformer.

    Forward and backward take one pass over memory each. *Dive into Deep Learning*, section 11.7.3.

    Parameters
    ----------
    dim : int
        At least 1; x and residual are (..., dim).
    dropout : float
        Probability from 0 to 1, in training only.
    eps : float
        Above 0.
    kind : {"layer", "rms"}
        Layer norm with weight and bias, or RMS norm with a weight.
    with_sum : bool
        Return h with y, and take its gradient: in a pre-norm Transformer h is the next residual.
    bias : bool
        True if layer norm has a bias (dim,), initially zero.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
        Source of the dropout seed, as in `Dropout`.

    Attributes
    ----------
    weight : Parameter
    bias : Parameter or None
    dropout : float
    stream : RandomStream

    Examples
    --------
    >>> layer = nn.AddNorm(2)
    >>> layer(np.float32([[1, 2]]), np.float32([[0, 3]])).round(3)
    array([[-1.,  1.]], dtype=float32)
    """

    fields: ClassVar = {
        "dim": int,
        "dropout": (float, 0.0),
        "eps": (float, 1e-5),
        "kind": (str, "layer"),
        "with_sum": (bool, False),
        "bias": (bool, True),
        "dtype": (str, "float32"),
    }
    stream: RandomStream

    def __init__(
        self,
        dim: int,
        dropout: float = 0.0,
        eps: float = 1e-5,
        *,
        kind: Literal["layer", "rms"] = "layer",
        with_sum: bool = False,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
    ) -> None:
        self.kind: Literal["layer", "rms"] = check_choice("kind", kind, ("layer", "rms"))
        self.dropout = check_probability("dropout", dropout)
        self.with_sum = check_flag("with_sum", with_sum)
        self.stream = new_stream(rng)
        super().__init__(dim, eps, True, kind == "layer" and bias, dtype)

    def forward(  # type: ignore[override]
        self, x: NDArray[Any] | None, residual: NDArray[Any]
    ) -> tuple[Any, Any]:
        """Return (y, ctx), or ((y, h), ctx) if `with_sum`; y and h have the shape of residual.

        x may be None for zeros: h is then the residual, as at the start of a pre-norm Transformer.

        Raises
        ------
        TypeError
            An input is not an array of the layer's dtype.
        ValueError
            The inputs differ in shape, or their last axis does not have dim elements.
        """
        self._check_inputs(x, residual)
        stats = self._new_stats(residual)
        if x is None:
            y = self._normalize_alone(residual, stats=stats)
            return ((y, residual) if self.with_sum else y), (residual, stats, {})
        p, seed, step = self.stream.drop(self.dropout)
        drop = {"p": p, "seed": seed, "step": step}
        h = empty(x.shape, x.dtype)
        y = self._normalize(x, residual, h=h, stats=stats, **drop)
        return ((y, h) if self.with_sum else y), (h, stats, drop)

    def __call__(  # type: ignore[override]
        self, x: NDArray[Any] | None, residual: NDArray[Any]
    ) -> Any:
        """Return y, or (y, h) if `with_sum`, without dropout."""
        self._check_inputs(x, residual)
        if x is None:
            y = self._normalize_alone(residual)
            return (y, residual) if self.with_sum else y
        if not self.with_sum:
            return self._normalize(x, residual)
        h = empty(x.shape, x.dtype)
        return self._normalize(x, residual, h=h), h

    def backward(self, dy: Any, ctx: Any, need_dx: bool = True) -> Any:
        """Add the parameters' gradients; return (dx, dresidual). dy is (dy, dh) if `with_sum`.

        dresidual is the gradient of h, dx the same through dropout; without dropout they are one
        array. With `need_dx=False` None is returned.
        """
        h, stats, drop = ctx
        if self.with_sum and not (isinstance(dy, tuple) and len(dy) == 2):
            kind = type(dy).__name__
            raise TypeError(f"AddNorm: dy must be (dy, dh) for a layer with_sum, got {kind}")
        dy, dh = dy if self.with_sum else (dy, None)
        check_gradient(self, dy, h.shape)
        if dh is not None:
            check_gradient(self, dh, h.shape)
        w, dw, db = self._data(self.weight), self._grad(self.weight), self._grad(self.bias)
        gradients = kernels.add_norm_backward(
            dy, h, stats, w, kind=self.kind, dh=dh, dweight=dw, dbias=db, **drop
        )
        return gradients if need_dx else None

    def recompute(self, ctx: Any) -> NDArray[Any]:
        """Return y of the forward pass with this context again, so that y need not be kept."""
        return self._normalize_alone(ctx[0])

    def lower(  # type: ignore[override]
        self, b: Builder, x: int | None = None, residual: int | None = None
    ) -> int:
        """Add the norm of x + residual (values; x may be None), and return their sum."""
        if residual is None:
            raise NotLowerable("AddNorm has two inputs: what it is part of can be frozen")
        b.value = residual if x is None else x
        how: dict[str, Any] = {"dim": self.dim, "residual": None if x is None else residual}
        return b.norm(self.kind, self.weight, self.bias, self.eps, **how)

    def _check_inputs(self, x: NDArray[Any] | None, residual: NDArray[Any]) -> None:
        if x is not None:
            self._check_input("x", x)
        self._check_input("residual", residual)

    def _normalize_alone(self, h: NDArray[Any], **how: Any) -> NDArray[Any]:
        w, b = self._data(self.weight), self._data(self.bias)
        if self.kind == "rms":
            return kernels.rms_norm(h, w, eps=self.eps, **how)
        return kernels.layer_norm(h, w, b, eps=self.eps, **how)

    def _normalize(self, x: NDArray[Any], residual: NDArray[Any], **how: Any) -> NDArray[Any]:
        w, b = self._data(self.weight), self._data(self.bias)
        return kernels.add_norm(x, residual, w, b, kind=self.kind, eps=self.eps, **how)
