"""The position-wise feed-forward network of a Transformer block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .attention import linear_shapes
from .dropout import Dropout
from .init import Initializer
from .linear import Linear, Seed
from .module import Module


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
        rng = np.random.default_rng(rng)
        self.up = Linear(d_model, d_ff, bias, activation, dtype=dtype, rng=rng, init=init)
        self.drop = Dropout(dropout, rng=rng)
        self.down = Linear(d_ff, d_model, bias, dtype=dtype, rng=rng, init=out_init or init)
        super().__init__({"up": self.up, "drop": self.drop, "down": self.down})

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """The output for x, keeping nothing."""
        return self.down(self.up(x))

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Output (..., d_model) for x (..., d_model); raises as `Linear`."""
        h, ctx_up = self.up.forward(x)
        ctx_drop = None
        if self.drop.p:
            h, ctx_drop = self.drop.forward(h)
        y, ctx_down = self.down.forward(h)
        return y, (ctx_up, ctx_drop, ctx_down)

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """The layers' backward passes in turn."""
        ctx_up, ctx_drop, ctx_down = ctx
        dh = self.down.backward(dy, ctx_down)
        assert dh is not None
        if ctx_drop is not None:
            dh = self.drop.backward(dh, ctx_drop)
            assert dh is not None
        return self.up.backward(dh, ctx_up, need_dx)

    def config(self) -> dict[str, Any]:
        """Sizes, activation, dropout, bias and dtype."""
        return {
            "type": "FeedForward",
            "d_model": self.up.in_features,
            "d_ff": self.up.out_features,
            "activation": self.up.activation,
            "dropout": self.drop.p,
            "bias": self.up.bias is not None,
            "dtype": self.up.weight.data.dtype.name,
        }


def feed_forward_shapes(fields: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (shape, dtype) of the parameters of a FeedForward with that config."""
    d, d_ff = fields["d_model"], fields["d_ff"]
    return linear_shapes({"up": (d, d_ff), "down": (d_ff, d)}, fields["bias"], fields["dtype"])
