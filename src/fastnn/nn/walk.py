"""Visitors of a Transformer block: inference, training and lowering.

`Block.walk` and `Stack.walk` define the order of norms, parts and sums once; a `Walk` defines what
happens at each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.ground.memory import empty
from .lowering import Builder

Array = NDArray[Any]


class Walk:
    """Inference: nothing is dropped and nothing is kept."""

    def add(self, norm: Any, branch: Any, x: Any) -> Any:
        """Return y = norm(branch + x), or (y, sum) if it is `with_sum`; branch may be None."""
        return norm(branch, x)

    def run(self, part: Any, y: Any, options: dict[str, Any]) -> Any:
        """Return the output of attention or the feed-forward network for y."""
        return part(y, **options)

    def sum(self, block: Any, branch: Any, x: Any) -> Any:
        """Return branch + x, if no norm follows."""
        return sum_of(branch, x)

    def join(self, a: Any, b: Any) -> Any:
        """Return a + b, the outputs of parallel parts."""
        return sum_of(a, b)


class Training(Walk):
    """A training pass: keeps the contexts of parts, norms and sums, in order.

    Backward takes them from the end.
    """

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self._again: Any = None

    def add(self, norm: Any, branch: Any, x: Any) -> Any:
        """Return norm(dropout(branch) + x) as in inference; keep the context."""
        y, ctx = norm.forward(branch, x)
        self.kept.append(ctx)
        self._again = partial(norm.recompute, ctx) if norm.with_sum else None
        return y

    def run(self, part: Any, y: Any, options: dict[str, Any]) -> Any:
        """Return the output for y; backward recomputes y after a norm, to save memory."""
        y, ctx = part.forward(y, recompute=self._again, **options)
        self.kept.append(ctx)
        return y

    def sum(self, block: Any, branch: Any, x: Any) -> Any:
        """Return dropout(branch) + x; keep the context."""
        y, ctx = block.forward_sum(branch, x)
        self.kept.append(ctx)
        self._again = None
        return y


class Lowering(Walk):
    """Lowering: a builder's values take the place of arrays."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    def add(self, norm: Any, branch: Any, x: Any) -> Any:
        """Add one operation; the sum it normalizes is its second result."""
        total = self._builder.lower(norm, branch, x)
        y = self._builder.value
        return (y, total) if norm.with_sum else y

    def run(self, part: Any, y: Any, options: dict[str, Any]) -> Any:
        """Add the operations of the part."""
        self._builder.value = y
        how = {"causal": True} if options.get("causal") else {}
        self._builder.lower(part, **how)
        return self._builder.value

    def sum(self, block: Any, branch: Any, x: Any) -> Any:
        """Add the sum, unless branch is None."""
        b = self._builder
        b.value = x
        if branch is not None:
            b.value = branch
            b.add(x)
        return b.value

    def join(self, a: Any, b: Any) -> Any:
        """Add a + b."""
        self._builder.value = a
        self._builder.add(b)
        return self._builder.value


def sum_of(branch: Array | None, x: Array) -> Array:
    """Return branch + x in a new array; x itself if branch is None."""
    return x if branch is None else np.add(branch, x, out=empty(x.shape, x.dtype))


def blocks_of(pairs: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """Split `pairs` into `count` equal parts."""
    each = len(pairs) // count
    return [pairs[i : i + each] for i in range(0, len(pairs), each)]
