"""The position-wise feed-forward network of a Transformer block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels
from ..checks import check_count, check_flag, check_generator
from .activation import FUNCTIONS
from .dropout import Dropout
from .heads import linear_shapes
from .init import Initializer
from .linear import Linear, Seed, check_activation
from .lowering import Builder
from .module import Module, Shapes
from .registry import register


@register("FeedForward", rng=0)
class FeedForward(Module):
    """y = act(x W1 + b1) W2 + b2 for each position separately, or with a gate.

    *Dive into Deep Learning*, section 11.7.2. With `gated`, (act(x Wg + bg) * (x Wu + bu)) W2 + b2,
    whose Wg | Wu is one matrix: SwiGLU with "silu", GeGLU with "gelu" (Shazeer, 2020).

    Parameters
    ----------
    d_model : int
        Width of input and output.
    d_ff : int
        Hidden units.
    activation : str
        As for `Linear`.
    dropout : float
        Probability with which a unit is dropped, in training only.
    bias : bool
        True if both layers have biases.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
    init, out_init : str or callable
        How initial weights are drawn, as in `Linear`; those of `down` by out_init if it is given.
    gated : bool
        True for a gated unit: `up` then has 2 d_ff columns, first those of the gate.

    Attributes
    ----------
    up, down : Linear
    drop : Dropout

    Examples
    --------
    >>> layer = nn.FeedForward(16, 64, "gelu", rng=0)
    >>> layer(np.ones((2, 5, 16), np.float32)).shape
    (2, 5, 16)
    """

    fields: ClassVar = {
        "d_model": int,
        "d_ff": int,
        "activation": (str | None, "relu"),
        "dropout": (float, 0.0),
        "bias": (bool, True),
        "gated": (bool, False),
        "dtype": (str, "float32"),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of its `Linear` layers."""
        d, d_ff = (check_count(name, fields[name]) for name in ("d_model", "d_ff"))
        sizes = {"up": (d, d_ff * (1 + fields.get("gated", False))), "down": (d_ff, d)}
        return linear_shapes(sizes, fields["bias"], fields["dtype"])

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
        gated: bool = False,
    ) -> None:
        d_model, self.d_ff = check_count("d_model", d_model), check_count("d_ff", d_ff)
        rng, self.gated = check_generator("rng", rng), check_flag("gated", gated)
        self.gate = check_activation(activation) if gated else None
        columns, own = (2 * d_ff, None) if gated else (d_ff, activation)
        self.up = Linear(d_model, columns, bias, own, dtype=dtype, rng=rng, init=init)
        self.drop = Dropout(dropout, rng=rng)
        self.down = Linear(d_ff, d_model, bias, dtype=dtype, rng=rng, init=out_init or init)
        super().__init__({"up": self.up, "drop": self.drop, "down": self.down})

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the output for x; keep nothing for backward."""
        h = self.up(x)
        return self.down(kernels.gate(h, self.gate) if self.gated else h)

    def forward(
        self, x: NDArray[Any], *, recompute: Callable[[], NDArray[Any]] | None = None
    ) -> tuple[NDArray[Any], Any]:
        """Return the output (..., d_model) for x (..., d_model), and the context.

        Arguments and errors are those of `Linear.forward`. The context has what the activation's
        backward reads. `backward` recomputes hidden units that differ from it (GELU's, gated ones,
        or those after dropout), which saves memory.
        """
        h, ctx_up = self.up.forward(x, recompute=recompute)
        kept = h if self.up.activation is None else None
        if self.gated:
            h = kernels.gate(h, self.gate)
        ctx_drop = None
        if self.drop.p:
            h, ctx_drop = self.drop.forward(h)
        y, (_, _, saved) = self.down.forward(h)  # not __call__: a summary wraps `forward`
        return y, (ctx_up, kept, ctx_drop, saved)

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """Run the layers' backward passes in reverse order."""
        ctx_up, kept, ctx_drop, saved = ctx
        shape = (*ctx_up[0][:-1], self.d_ff)
        dh = self.down.backward(dy, (shape, self._units(ctx_up, kept, ctx_drop), saved))
        assert dh is not None
        if ctx_drop is not None:
            dh = self.drop.backward(dh, ctx_drop)
            assert dh is not None
        if self.gated:
            dh = kernels.gate_backward(dh, kept, self.gate)
        return self.up.backward(dh, ctx_up, need_dx, overwrite_dy=True)

    def _units(self, ctx_up: Any, kept: NDArray[Any] | None, ctx_drop: Any) -> NDArray[Any]:
        """Return the rows that were the input of `down` in the forward pass of this context."""
        saved = ctx_up[2]
        if self.gated:
            assert kept is not None
            h = kernels.gate(kept.reshape(-1, self.up.out_features), self.gate)
        elif self.up.activation is None:
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
        """Add the operations of the layers in order."""
        b.lower(self.up)
        if self.gated:
            b.gate(self.gate)
        b.lower(self.drop)
        b.lower(self.down)

    @property
    def activation(self) -> str | None:
        """Name of the activation: of `up`, or of the gate."""
        return self.gate if self.gated else self.up.activation

    def field_values(self) -> dict[str, Any]:
        """Return the fields of the config."""
        return {
            "d_model": self.up.in_features,
            "d_ff": self.d_ff,
            "activation": self.activation,
            "dropout": self.drop.p,
            "bias": self.up.bias is not None,
            "gated": self.gated,
            "dtype": self.up.weight.data.dtype.name,
        }
