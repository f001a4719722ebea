"""The communicator over MPI, by mpi4py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_count
from ..kernels.ground.memory import empty
from ..keywords import explained
from ..train.communicator import Span, add_up, own_shards, subtrees

Array = NDArray[Any]

# Bytes that a rank may send to each other rank in place of a slice: one message instead of two
# for gradients whose exchange is bound by latency (docs/distributed.md).
DIRECT_BYTES = 1 << 16

# Share of the time between two polls that a poll may take: MPI moves messages only inside its
# calls, over shared memory some KiB per call (docs/distributed.md).
POLL_SHARE = 1 / 8


@explained
class MPI:
    """A communicator over the ranks of an MPI communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Duplicated, so that messages of others on it do not interfere.
    shards : int
        Parts of a batch, at least one per rank.
    overlap : bool
        True to send gradients while backward still runs.

    Examples
    --------
    >>> comm = fastnn.distributed.world()  # an MPI if started by mpiexec or `fastnn launch`
    >>> isinstance(comm, fastnn.distributed.MPI)
    False
    """

    def __init__(self, comm: Any, shards: int = 8, overlap: bool = True) -> None:
        self.overlap = overlap
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.shards = check_count("shards", shards)
        # Sums start in one order on every rank, but the second exchange of one may start before or
        # after the first of the next: each has its own communicator, in its own order.
        self._first, self._second, self._objects = (comm.Dup() for _ in range(3))

    def sums(self, shards: int) -> Exchange:
        """Return a new group of sums."""
        return Exchange(self, shards)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, on every rank."""
        if not isinstance(value, np.ndarray):
            found: list[Any] = self._objects.allgather(value)
            return found
        value = np.ascontiguousarray(value)
        every = np.empty((self.size, *value.shape), value.dtype)
        self._objects.Allgather(value, every)
        return list(every)

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0 on every rank."""
        return self._objects.bcast(value)

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        self._objects.Barrier()

    def __repr__(self) -> str:
        return f"MPI(rank {self.rank} of {self.size}, shards={self.shards})"


class Exchange:
    """Sums over the ranks that are in progress.

    Each rank adds up one slice: an all-to-all exchange of slices of the nodes, the additions, an
    all-gather of the sums. If there is little to send, every rank gets all nodes and adds them up.
    """

    def __init__(self, comm: MPI, shards: int) -> None:
        self.comm, self.tree = comm, (0, shards)
        self.nodes = [
            subtrees(own_shards(rank, comm.size, shards), self.tree) for rank in range(comm.size)
        ]
        self.active: list[tuple[Iterator[Any], Any]] = []  # an exchange, and what it waits for
        self.polled = perf_counter()

    def start(self, nodes: Sequence[Array], out: Array) -> None:
        """Begin to add the nodes of all ranks into `out`."""
        most = max(map(len, self.nodes))
        is_small = out.nbytes * most <= DIRECT_BYTES
        steps = (self._directly if is_small else self._by_slices)(nodes, out)
        self.active.append((steps, next(steps)))
        self.poll()

    def poll(self) -> None:
        """Move messages, and let exchanges proceed whose messages have arrived."""
        start = perf_counter()
        stop = start + POLL_SHARE * (start - self.polled)
        self._advance(wait=False)
        while self.active and perf_counter() < stop:
            self._advance(wait=False)
        self.polled = perf_counter()

    def finish(self) -> None:
        """Wait for all exchanges."""
        while self.active:
            self._advance(wait=True)

    def is_there(self, request: Any) -> bool:
        """True if the messages of a request have arrived."""
        return bool(request.Test())

    def wait(self, request: Any) -> None:
        """Wait for the messages of a request."""
        request.Wait()

    def _advance(self, wait: bool) -> None:
        remaining = []
        blocked = False  # an earlier sum is in its first exchange: later ones must not pass it
        for steps, (is_first, request) in self.active:
            if blocked and is_first:
                remaining.append((steps, (is_first, request)))
                continue
            if wait:
                self.wait(request)
            elif not self.is_there(request):
                blocked = blocked or is_first
                remaining.append((steps, (is_first, request)))
                continue
            following = next(steps, None)
            if following is not None:
                remaining.append((steps, following))
        self.active = remaining

    def _directly(self, nodes: Sequence[Array], out: Array) -> Iterator[tuple[bool, Any]]:
        comm, n = self.comm, out.size
        counts = [len(spans) * n for spans in self.nodes]
        send = np.concatenate(nodes)
        every = empty(sum(counts), out.dtype)
        yield True, comm._first.Iallgatherv(send, [every, counts])
        out[:] = add_up(_by_span(self.nodes, every, n), self.tree)

    def _by_slices(self, nodes: Sequence[Array], out: Array) -> Iterator[tuple[bool, Any]]:
        comm, n = self.comm, out.size
        cuts = [rank * n // comm.size for rank in range(comm.size + 1)]
        sizes = np.diff(cuts)
        own = int(sizes[comm.rank])
        if len(nodes) == 1:
            send = nodes[0]
        else:
            parts = [node[a:b] for a, b in pairwise(cuts) for node in nodes]
            send = np.concatenate(parts)
        counts = [len(spans) * own for spans in self.nodes]
        slices = empty(sum(counts), out.dtype)
        send_counts = [len(nodes) * int(size) for size in sizes]
        yield True, comm._first.Ialltoallv([send, send_counts], [slices, counts])
        total = add_up(_by_span(self.nodes, slices, own), self.tree)
        yield False, comm._second.Iallgatherv(total, [out, sizes.tolist()])


def _by_span(nodes: list[list[Span]], flat: Array, n: int) -> dict[Span, Array]:
    """Return the nodes of all ranks by their shards; they lie in `flat`, rank by rank."""
    spans = [span for of_rank in nodes for span in of_rank]
    return {span: flat[i * n : (i + 1) * n] for i, span in enumerate(spans)}
