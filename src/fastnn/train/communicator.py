"""What `fit` needs of the processes that train one model together, and the tree of their sums.

The rows of a batch are cut into shards, whose number does not depend on the number of processes
(ranks). Gradients of shards are added along one fixed binary tree, so the bits of the sum do not
depend on which rank computed which shard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks import given

Array = NDArray[Any]
Span = tuple[int, int]  # shards from the first number up to, not including, the second

# Elements of an addition at a time: both operands stay in the L2 cache.
CHUNK = 1 << 15

_CALLS = ("rank", "size", "shards", "sums", "gather", "broadcast", "barrier")


class Sums(Protocol):
    """Sums over all ranks that are in progress."""

    def start(self, nodes: Sequence[Array], out: Array) -> None:
        """Begin to add the nodes of all ranks along the tree into `out`, elements in order.

        nodes are flat arrays of equal size, one per subtree of this rank's shards; out may be the
        last of them. All ranks start the same sums in the same order. Neither may be touched
        before `finish`.
        """

    def poll(self) -> None:
        """Let sums in progress proceed, without waiting."""

    def finish(self) -> None:
        """Wait until every sum that was started is complete."""


class Communicator(Protocol):
    """The ranks of a training run: one per process, all with the same program and data.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and of all processes.
    shards : int
        Parts of a batch, at least `size`.
    """

    rank: int
    size: int
    shards: int

    def sums(self, shards: int) -> Sums:
        """Return a new group of sums along the tree of this many shards, one group at a time."""

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in order, on every rank.

        NumPy arrays must have the same shape and dtype on all ranks; anything else is pickled.
        """

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0 on every rank."""

    def barrier(self) -> None:
        """Wait until all ranks are here."""


def check_communicator(comm: Any) -> Communicator:
    """Return `comm`; raise TypeError or ValueError unless it is a communicator."""
    missing = [name for name in _CALLS if not hasattr(comm, name)]
    if isinstance(comm, type) or missing:
        raise TypeError(
            "comm must be a communicator such as fastnn.distributed.world(), "
            f"got {given(comm)}" + (f", which has no {missing[0]}" if missing else "")
        )
    if comm.shards < comm.size:
        raise ValueError(
            f"comm: {comm.size} ranks cannot share {comm.shards} shards; "
            f"give world(shards={comm.size}) or more"
        )
    return comm  # type: ignore[no-any-return]


def own_shards(rank: int, size: int, shards: int) -> range:
    """Return the shards of a rank: the ranks divide them in order."""
    return range(rank * shards // size, (rank + 1) * shards // size)


def rows_of(shard: int, n_rows: int, shards: int) -> slice:
    """Return the rows of a shard of a batch; none if there are fewer rows than shards."""
    return slice(shard * n_rows // shards, (shard + 1) * n_rows // shards)


def middle(span: Span) -> int:
    """Return where a node of the tree splits: its left child has a power of two of shards."""
    first, stop = span
    return first + (1 << ((stop - first - 1).bit_length() - 1))


def subtrees(shards: range, node: Span) -> list[Span]:
    """Return the largest subtrees below `node` that have none but these consecutive shards."""
    first, stop = node
    if not shards or shards.stop <= first or stop <= shards.start:
        return []
    if shards.start <= first and stop <= shards.stop:
        return [node]
    split = middle(node)
    return subtrees(shards, (first, split)) + subtrees(shards, (split, stop))


def add_up(nodes: Mapping[Span, Array], span: Span) -> Array:
    """Return the sum of a node of the tree, given its subtrees, whose arrays are overwritten."""
    if span in nodes:
        return nodes[span]
    split = middle(span)
    left, right = add_up(nodes, (span[0], split)), add_up(nodes, (split, span[1]))
    np.add(left, right, out=left)
    return left
