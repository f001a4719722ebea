"""The position-wise feed-forward network of a Transformer block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_count
from .activation import FUNCTIONS
from .dropout import Dropout
from .heads import linear_shapes
from .init import Initializer
from .linear import Linear, Seed
from .lowering import Builder
from .module import Module, Shapes
from .registry import register


@register("FeedForward", rng=0)
class FeedForward(Module):
    """y = act(x W1 + b1) W2 + b2 for every position alone: *Dive into Deep Learning*, section 11.7.2.

    Parameters
    ----------
    d_model : int
        Size of the vectors that come in and go out.
    d_ff : int
        Units between the two layers.
    activation : str
        As for `Linear`.
    dropout : float
        Probability with which a unit is dropped, in training alone.
    bias : bool
        Of both layers.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
    init, out_init : str or callable
        How first weights are drawn, as for `Linear`; those of `down` by out_init, if it is given.

    Attributes
    ----------
    up, down : Linear
    drop : Dropout
    """

    fields: ClassVar = {
        "d_model": int,
        "d_ff": int,
        "activation": (str | None, "relu"),
        "dropout": (float, 0.0),
        "bias": (bool, True),
        "dtype": (str, "float32"),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Those of the `Linear` layers in it."""
        d, d_ff = (check_count(name, fields[name]) for name in ("d_model", "d_ff"))
        return linear_shapes({"up": (d, d_ff), "down": (d_ff, d)}, fields["bias"], fields["dtype"])

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        activation: str = "relu",
        *,
        dropout: float = 0.0,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
        init: str | Initializer = "xavier_uniform",
        out_init: str | Initializer | None = None,
    ) -> None:
        d_model, d_ff = check_count("d_model", d_model), check_count("d_ff", d_ff)
        rng = np.random.default_rng(rng)
        self.up = Linear(d_model, d_ff, bias, activation, dtype=dtype, rng=rng, init=init)
        self.drop = Dropout(dropout, rng=rng)
        self.down = Linear(d_ff, d_model, bias, dtype=dtype, rng=rng, init=out_init or init)
        super().__init__({"up": self.up, "drop": self.drop, "down": self.down})

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """The output for x, keeping nothing."""
        return self.down(self.up(x))

    def forward(
        self, x: NDArray[Any], *, recompute: Callable[[], NDArray[Any]] | None = None
    ) -> tuple[NDArray[Any], Any]:
        """Output (..., d_model) for x (..., d_model); arguments and errors are those of `Linear`.

        The context has what the activation's derivative is read off; units that are others (GELU's,
        or after dropout) `backward` makes anew, which saves a quarter of a block's memory.
        """
        h, ctx_up = self.up.forward(x, recompute=recompute)
        kept = h if self.up.activation is None else None
        ctx_drop = None
        if self.drop.p:
            h, ctx_drop = self.drop.forward(h)
        y, _ = self.down.forward(h)  # by `forward`, which a summary watches
        return y, (ctx_up, kept, ctx_drop)

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """The layers' backward passes in turn."""
        ctx_up, _, ctx_drop = ctx
        shape = (*ctx_up[0][:-1], self.up.out_features)
        dh = self.down.backward(dy, (shape, self._units(*ctx), {}))
        assert dh is not None
        if ctx_drop is not None:
            dh = self.drop.backward(dh, ctx_drop)
            assert dh is not None
        return self.up.backward(dh, ctx_up, need_dx, overwrite_dy=True)

    def _units(self, ctx_up: Any, kept: NDArray[Any] | None, ctx_drop: Any) -> NDArray[Any]:
        """The rows that went into `down` in the forward pass of this context."""
        saved = ctx_up[2]
        if self.up.activation is None:
            assert kept is not None
            h = kept.reshape(-1, self.up.out_features)
        elif "y" in saved:
            h = saved["y"]
        else:
            h = FUNCTIONS[self.up.activation].forward(saved["preact"])
        if ctx_drop is None:
            return h
        _, p, seed, step = ctx_drop
        return kernels.dropout(h, p, seed=seed, step=step)

    def lower(self, b: Builder) -> None:
        """The layers in turn."""
        for layer in (self.up, self.drop, self.down):
            b.lower(layer)

    def field_values(self) -> dict[str, Any]:
        """Sizes, activation, dropout, bias and dtype."""
        return {
            "d_model": self.up.in_features,
            "d_ff": self.up.out_features,
            "activation": self.up.activation,
            "dropout": self.drop.p,
            "bias": self.up.bias is not None,
            "dtype": self.up.weight.data.dtype.name,
        }
