"""Find the ranks that this process was started with."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any, Literal

from ..checks import check_count
from ..keywords import explained
from ..train.communicator import Communicator
from .mpi import MPI
from .one import OneProcess

# Variables in which mpiexec tells a process its rank and the number of ranks: MPICH and Intel MPI,
# Open MPI, Slurm's srun with PMIx.
_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")

INSTALL = "pip install 'fastnn-cpu[mpi]' (or mpi4py, for an MPI that is installed)"

# Sets the shards of a program that does not: `fastnn launch --shards`.
SHARDS_VARIABLE = "FASTNN_SHARDS"

_found: dict[tuple[int, bool], MPI] = {}


def told_rank() -> int:
    """Return the rank that mpiexec tells this process, without MPI; 0 if there is no mpiexec."""
    return next((int(os.environ[name]) for name in _RANKS if name in os.environ), 0)


def told_size() -> int:
    """Return the number of ranks that mpiexec tells this process, without MPI; 1 if none."""
    return next((int(os.environ[name]) for name in _SIZES if name in os.environ), 1)


def is_launched() -> bool:
    """True if this process was started by mpiexec, or `fastnn launch`.

    Examples
    --------
    >>> fastnn.distributed.is_launched()
    False
    """
    return any(name in os.environ for name in _RANKS)


@explained
def world(shards: int | Literal["ranks"] | None = None, *, overlap: bool = True) -> Communicator:
    """Return the communicator of all ranks that this program was started with.

    Parameters
    ----------
    shards : int or "ranks", optional
        Parts into which every batch is cut, at least one per rank. Results have the same bits for
        any number of ranks, and for one process, if the shards are the same. "ranks" is one shard
        per rank, which is fastest: results then depend on the number of ranks. By default 8, or
        what `fastnn launch --shards` says.
    overlap : bool
        Send gradients while backward still runs; set it to False for a model whose backward passes
        differ from step to step. Results do not depend on it.

    Returns
    -------
    MPI or OneProcess
        OneProcess if the program was not started by mpiexec or `fastnn launch`.

    Raises
    ------
    ValueError
        There are more ranks than shards.
    ModuleNotFoundError
        The program was started by mpiexec, and mpi4py is not installed.
    RuntimeError
        mpiexec and mpi4py belong to different implementations of MPI.

    Examples
    --------
    >>> x, y = fastnn.data.load_digits(split="train")
    >>> comm = fastnn.distributed.world()
    >>> history = fastnn.fit(nn.MLP((64, 10), rng=0), x, y, optimizer="adam", comm=comm, verbose=0)
    """
    if shards is None:
        found = os.environ.get(SHARDS_VARIABLE, "8")
        shards = int(found) if found.isdecimal() else "ranks"
    elif shards != "ranks":
        shards = check_count("shards (or 'ranks')", shards)
    if not is_launched():
        return OneProcess(1 if shards == "ranks" else shards)
    ranks = _ranks()
    size: int = ranks.Get_size()
    if size != told_size() and size == 1:
        raise RuntimeError(
            f"mpiexec started {told_size()} ranks, but each finds itself alone: mpi4py uses "
            "another MPI than this mpiexec; start the program with `fastnn launch`"
        )
    n = size if shards == "ranks" else shards
    if n < size:
        raise ValueError(
            f"{size} ranks cannot share {n} shards: give world(shards={size}), or fewer ranks"
        )
    if size == 1:
        return OneProcess(n)
    if (n, overlap) not in _found:
        _found[n, overlap] = MPI(ranks, n, overlap)
    return _found[n, overlap]


def _ranks() -> Any:
    """Return MPI.COMM_WORLD; from now on an exception that nobody catches ends all ranks."""
    try:
        from mpi4py import MPI as mpi4py
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"mpi4py is not installed: {INSTALL}") from error
    except (ImportError, RuntimeError) as error:  # no library of MPI
        raise RuntimeError(f"mpi4py finds no MPI ({error}): {INSTALL}") from error
    ranks = mpi4py.COMM_WORLD
    if ranks.Get_size() > 1 and not getattr(sys.excepthook, "ends_all_ranks", False):
        before = sys.excepthook

        def end(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            before(kind, error, trace)
            sys.stderr.flush()
            ranks.Abort(1)

        end.ends_all_ranks = True  # type: ignore[attr-defined]
        sys.excepthook = end
    return ranks
