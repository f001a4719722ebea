"""Gradients shard by shard: those of this rank, added along the tree, then the sum of all ranks."""

from __future__ import annotations

import numpy as np

from .. import nn
from ..parameters import Parameters
from .communicator import (
    CHUNK,
    Array,
    Communicator,
    Span,
    Sums,
    middle,
    own_shards,
    subtrees,
)

# Steps of a shard's dropout count from its number times this, in each batch: no two shards drop
# the same elements, and which ones does not depend on the ranks.
PASSES = 1 << 40


class ShardedGradients:
    """Add gradients of shards along the tree: first those of this rank, then those of all.

    For each shard of `own`, in order, compute its gradient in `grad`, then call `add(shard)`.

    Parameters
    ----------
    parameters : Parameters
        Their `grad` holds the gradient of one shard at a time, and in the end the sum.
    comm : Communicator
    shards : int
        Those of the tree, at least one per rank.
    keep : bool
        True to add several batches shard by shard before the sum, with a buffer per shard.
    """

    def __init__(
        self, parameters: Parameters, comm: Communicator, shards: int, keep: bool = False
    ) -> None:
        self.grad, self.comm, self.shards = parameters.grad, comm, shards
        self.own = own_shards(comm.rank, comm.size, shards)
        tree = (0, shards)
        self.whole = {span for span in _nodes(tree) if subtrees(self.own, span) == [span]}
        self.stack: list[tuple[Span, Array]] = []  # subtrees that are complete, in order
        self.free: list[Array] = []
        self.kept: dict[int, Array] | None = {} if keep else None
        self.left: list[Array] = []  # to add to the left of the last gradient, in order
        self.sums: Sums | None = None
        self.todo = 0  # elements before this one are not sent yet

    def add(self, shard: int) -> None:
        """Take the gradient of a shard of this rank out of `grad`, which is then zero.

        The last one stays in `grad` for `sum`, unless further batches are to be added.
        """
        if self.kept is None:
            self._push(shard)
        elif shard in self.kept:
            _add_and_clear(self.kept[shard], self.grad)
        else:
            self.kept[shard] = self._buffer()
            _move(self.kept[shard], self.grad)

    def sum(self) -> None:
        """Set `grad` to the sum over all shards of all ranks."""
        if self.kept is not None:
            for shard in self.own:
                self.grad[:] = self.kept[shard]
                self.free.append(self.kept.pop(shard))
                self._push(shard)
        if self.sums is None:
            self.begin()
        self.send(0)
        assert self.sums is not None
        self.sums.finish()
        self.free += self.left + [array for _, array in self.stack]
        self.stack, self.left, self.sums = [], [], None

    def begin(self) -> None:
        """Prepare for `send`: only the gradient of the last shard is still to come."""
        last = self.own[-1]
        span = (last, last + 1)
        while self._completes(span):
            (first, _), array = self.stack.pop()
            self.left.append(array)
            span = (first, last + 1)
        self.sums, self.todo = self.comm.sums(self.shards), self.grad.size

    def send(self, start: int) -> None:
        """Begin the sum over all ranks of the elements from `start` that are not sent yet."""
        assert self.sums is not None
        if start >= self.todo:
            return
        part = slice(start, self.todo)
        grad = self.grad[part]
        for left in self.left:
            np.add(left[part], grad, out=grad)
        self.sums.start([*(array[part] for _, array in self.stack), grad], grad)
        self.todo = start

    def _push(self, shard: int) -> None:
        if shard == self.own[-1]:
            return
        span = (shard, shard + 1)
        if not self._completes(span):
            buffer = self._buffer()
            _move(buffer, self.grad)
        else:
            (first, _), buffer = self.stack.pop()
            _add_and_clear(buffer, self.grad)
            span = (first, span[1])
            while self._completes(span):
                (first, _), left = self.stack.pop()
                np.add(left, buffer, out=left)
                self.free.append(buffer)
                span, buffer = (first, span[1]), left
        self.stack.append((span, buffer))

    def _completes(self, span: Span) -> bool:
        """True if `span` is the right child of a node whose left child is on top of the stack."""
        if not self.stack:
            return False
        (first, stop), _ = self.stack[-1]
        node = (first, span[1])
        return stop == span[0] and node in self.whole and middle(node) == stop

    def _buffer(self) -> Array:
        return self.free.pop() if self.free else np.empty_like(self.grad)


class Streams:
    """The random streams of a model, set so that a shard drops the same elements on any rank."""

    def __init__(self, model: nn.Module) -> None:
        found = (getattr(module, "stream", None) for _, module in model.modules())
        self.streams = [stream for stream in found if isinstance(stream, nn.RandomStream)]
        self.begin()

    def begin(self) -> None:
        """Begin a batch."""
        self.first = [stream.calls for stream in self.streams]
        self.shard = self.passes = 0

    def enter(self, shard: int) -> None:
        """Begin a shard of the batch."""
        self.shard = shard
        for stream, first in zip(self.streams, self.first, strict=True):
            stream.set(stream.seed, first + shard * PASSES)

    def leave(self) -> int:
        """End a shard; return how many steps the shards of this batch took so far."""
        for stream, first in zip(self.streams, self.first, strict=True):
            self.passes = max(self.passes, stream.calls - first - self.shard * PASSES)
        return self.passes

    def end(self, passes: int) -> None:
        """End the batch, of which the longest shard of all ranks took this many steps."""
        for stream, first in zip(self.streams, self.first, strict=True):
            stream.set(stream.seed, first + passes)


def _nodes(span: Span) -> list[Span]:
    """Return all nodes of the tree below `span`."""
    if span[1] - span[0] < 2:
        return [span]
    split = middle(span)
    return [span, *_nodes((span[0], split)), *_nodes((split, span[1]))]


def _chunks(n: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]


def _add_and_clear(total: Array, grad: Array) -> None:
    """Add `grad` to `total` and set it to zero, chunk by chunk while it is in cache."""
    for some in _chunks(grad.size):
        np.add(total[some], grad[some], out=total[some])
        grad[some] = 0


def _move(to: Array, grad: Array) -> None:
    """Copy `grad` and set it to zero, chunk by chunk while it is in cache."""
    for some in _chunks(grad.size):
        to[some] = grad[some]
        grad[some] = 0
