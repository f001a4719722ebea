"""Training on several processes and machines over MPI, with the same bits on any number of ranks.

`fastnn.fit(..., comm=fastnn.distributed.world())` in a program started with `fastnn launch -n 4`.
"""

from .loops import each_shard, sum_gradients
from .mpi import MPI
from .one import OneProcess
from .world import is_launched, world

__all__ = ["MPI", "OneProcess", "each_shard", "is_launched", "sum_gradients", "world"]
