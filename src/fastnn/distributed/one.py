"""The communicator of one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_count
from ..keywords import explained


@explained
class OneProcess:
    """A communicator of this process alone: the same shards and bits as with several ranks.

    Parameters
    ----------
    shards : int
        Parts of a batch.

    Examples
    --------
    >>> comm = fastnn.distributed.OneProcess(shards=4)
    >>> comm.gather("what this rank has")
    ['what this rank has']
    """

    rank, size, overlap = 0, 1, False

    def __init__(self, shards: int = 8) -> None:
        self.shards = check_count("shards", shards)

    def sums(self, shards: int) -> OneProcess:
        """Return itself: its sums are complete at once."""
        return self

    def start(self, nodes: Sequence[NDArray[Any]], out: NDArray[Any]) -> None:
        """Copy the only node, the root of the tree, to `out`."""
        (root,) = nodes
        if root is not out:
            np.copyto(out, root)

    def poll(self) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""

    def gather(self, value: Any) -> list[Any]:
        """Return [value]."""
        return [value]

    def broadcast(self, value: Any) -> Any:
        """Return the value."""
        return value

    def barrier(self) -> None:
        """Do nothing."""

    def __repr__(self) -> str:
        return f"OneProcess(shards={self.shards})"
