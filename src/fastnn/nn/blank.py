"""Models whose weights are loaded at once: nothing is drawn, and memory is taken once, at the end.

A layer that is created takes memory for its parameters, which move whenever it becomes a part of a
larger one. Under `undrawn` weights are one zero, repeated, until `join` of the whole model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import GENERATOR
from ..parameters import Parameters


class Blank(np.random.Generator):
    """Stands for a generator where weights are not drawn; refuses more than `most` of them."""

    def __init__(self, most: int) -> None:
        super().__init__(np.random.PCG64(0))  # seeds of dropout are drawn
        self._left = most

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return one zero, repeated: it takes no memory."""
        self._left -= math.prod(shape)
        if self._left < 0:
            raise ValueError("the config describes more weights than the files hold")
        return np.broadcast_to(np.dtype(dtype).type(0), shape)


@contextmanager
def undrawn(most: int) -> Iterator[None]:
    """Let layers that are created in the block have blank weights, at most so many numbers.

    `join` the whole model before it is used.
    """
    token = GENERATOR.set(Blank(most))
    try:
        yield
    finally:
        GENERATOR.reset(token)


def join(module: Any) -> None:
    """Move the parameters of a module into new flat arrays, and set their names."""
    module._parameters = Parameters(module._named)
    module._named = dict(module._parameters.named())
    for part in module._modules.values():
        if part._named:
            part._parameters = None  # its flat view refers to the old buffer
