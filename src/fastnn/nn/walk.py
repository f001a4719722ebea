"""What is done at each place of a Transformer block: inference, training, steps and lowering.

`Block.walk` and `Stack.walk` say once in which order norms, parts and sums follow one another; what
happens there is a `Walk`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.ground.memory import empty
from .attention import MultiHeadAttention
from .kv_cache import KVCache
from .lowering import Builder

Array = NDArray[Any]


class Walk:
    """Inference: nothing is dropped, nothing kept."""

    def add(self, norm: Any, branch: Any, x: Any) -> Any:
        """y = norm(branch + x), or (y, the sum) where the norm gives it; branch may be None."""
        return norm(branch, x)

    def run(self, part: Any, y: Any, options: dict[str, Any]) -> Any:
        """What attention or the feed-forward network makes of y."""
        return part(y, **options)

    def sum(self, block: Any, branch: Any, x: Any) -> Any:
        """The sum branch + x where no norm comes next."""
        return sum_of(branch, x)


class Training(Walk):
    """A training pass: keeps the contexts of the parts and of the norms, in turn."""

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.norms: list[Any] = []
        self._again: Any = None

    def add(self, norm: Any, branch: Any, x: Any) -> Any:
        """As in inference, with dropout of branch."""
        y, ctx = norm.forward(branch, x)
        self.norms.append(ctx)
        self._again = partial(norm.recompute, ctx) if norm.with_sum else None
        return y

    def run(self, part: Any, y: Any, options: dict[str, Any]) -> Any:
        """As in inference; y after a norm is computed again in backward: a sixth of the memory."""
        y, ctx = part.forward(y, recompute=self._again, **options)
        self.parts.append(ctx)
        return y

    def sum(self, block: Any, branch: Any, x: Any) -> Any:
        """As in inference, with dropout of branch."""
        y, ctx = block.forward_sum(branch, x)
        self.norms.append(ctx)
        return y


class Step(Walk):
    """The next positions, whose keys and values join the caches of the blocks in turn."""

    def __init__(
        self,
        caches: Iterable[KVCache],
        lengths: Array | None = None,
        memory: Iterable[tuple[Array, Array, Any]] | None = None,
    ) -> None:
        self._caches, self._lengths = iter(caches), lengths
        self._memory = iter(memory or ())

    def run(self, part: Any, y: Any, options: dict[str, Any]) -> Any:
        """Attention attends to what is kept."""
        if not isinstance(part, MultiHeadAttention):
            return part(y)
        if part.d_memory is None:
            return part.step(y, next(self._caches), self._lengths)
        return part.attend(y, *next(self._memory))


class Lowering(Walk):
    """Values of a builder in the place of arrays."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    def add(self, norm: Any, branch: Any, x: Any) -> Any:
        """One operation; what it normalizes is its second result."""
        total = self._builder.lower(norm, branch, x)
        y = self._builder.value
        return (y, total) if norm.with_sum else y

    def run(self, part: Any, y: Any, options: dict[str, Any]) -> Any:
        """The part's own operations."""
        self._builder.value = y
        how = {"causal": True} if options.get("causal") else {}
        self._builder.lower(part, **how)
        return self._builder.value

    def sum(self, block: Any, branch: Any, x: Any) -> Any:
        """One operation, or none."""
        b = self._builder
        b.value = x
        if branch is not None:
            b.value = branch
            b.add(x)
        return b.value


def sum_of(branch: Array | None, x: Array) -> Array:
    """branch + x, in a new array; x itself where branch is None."""
    return x if branch is None else np.add(branch, x, out=empty(x.shape, x.dtype))


def blocks_of(pairs: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """`pairs` cut into `count` equal parts."""
    each = len(pairs) // count
    return [pairs[i : i + each] for i in range(0, len(pairs), each)]
