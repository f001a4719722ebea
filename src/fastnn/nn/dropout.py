"""Dropout as a layer."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..checks import check_generator, check_probability
from .contexts import check_gradient
from .linear import Seed
from .lowering import Builder
from .module import Module
from .randomness import SEEDS, RandomStream
from .registry import register


@register("Dropout")
class Dropout(Module):
    """In training, set each element to zero with probability p and scale the rest by 1 / (1 - p).

    In inference, `layer(x)` returns x itself. Srivastava, Hinton, Krizhevsky, Sutskever and
    Salakhutdinov, "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.

    Each call of `forward` drops different elements; backward recomputes the pattern from the ctx.
    To repeat a training run, call `model.seed(...)` before it.

    Parameters
    ----------
    p : float
        From 0 to 1.
    rng : None, int or numpy.random.Generator
        Source of the layer's seed, until `seed` of a model replaces it. None takes entropy from the
        operating system.

    Attributes
    ----------
    p : float
        May be changed between passes.
    stream : RandomStream
        The layer's seed, and the number of its training passes so far.

    Raises
    ------
    TypeError, ValueError
        p is not a number, or out of range.

    Examples
    --------
    >>> layer, x = nn.Dropout(0.5, rng=0), np.ones((1, 1000), np.float32)
    >>> y, ctx = layer.forward(x)  # training
    >>> np.unique(y), np.unique(layer(x))  # layer(x) is inference: nothing is dropped
    (array([0., 2.], dtype=float32), array([1.], dtype=float32))
    """

    fields: ClassVar = {"p": (float, 0.5)}
    stream: RandomStream

    def __init__(self, p: float = 0.5, *, rng: Seed = None) -> None:
        self.p = check_probability("p", p)
        self.stream = new_stream(rng)
        super().__init__({})

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Return x with elements dropped; the context has the shape, p, seed and step."""
        p, seed, step = self.stream.drop(self.p)
        y = kernels.dropout(x, p, seed=seed, step=step)
        return y, (x.shape, p, seed, step)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return x itself."""
        return x

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """Return dx = dy / (1 - p) where x was kept, else 0."""
        shape, p, seed, step = ctx
        check_gradient(self, dy, shape)
        return kernels.dropout_backward(dy, p, seed=seed, step=step) if need_dx else None

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count one operation per element, without the random numbers."""
        return math.prod(input_shape)

    def lower(self, b: Builder) -> None:
        """Add nothing: dropout is the identity in inference."""
        b.drop()


def new_stream(rng: Seed) -> RandomStream:
    """Return a stream with a seed drawn from rng, see `Dropout`."""
    if rng is None:
        return RandomStream()
    return RandomStream(
        int(check_generator("rng", rng).integers(SEEDS - 1, dtype=np.uint64, endpoint=True))
    )
