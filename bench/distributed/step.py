"""Time steps of a language model on the ranks of mpiexec, over a network that is slowed down.

    mpiexec -n 2 python -m bench.distributed.step --latency 0.005 --gbit 1

Prints one JSON object: seconds per step (median), and what the model of a step needs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np

import fastnn
from fastnn.distributed import MPI, world


class Request:
    """A request whose messages arrive no earlier than at a time."""

    def __init__(self, request, due):
        self.request, self.due = request, due

    def Test(self):
        return self.request.Test() and time.perf_counter() >= self.due

    def Wait(self):
        self.request.Wait()
        time.sleep(max(0.0, self.due - time.perf_counter()))  # leaves the core to other ranks


class Slow:
    """A communicator of mpi4py with a latency, and one link of a bandwidth per rank."""

    free = 0.0  # when the link of this rank has sent everything

    def __init__(self, comm, latency, gbit):
        self.comm, self.latency, self.gbit = comm, latency, gbit

    def Dup(self):
        return Slow(self.comm.Dup(), self.latency, self.gbit)

    def _due(self, n_bytes):
        sent = max(time.perf_counter(), Slow.free)
        Slow.free = sent + (n_bytes * 8e-9 / self.gbit if self.gbit else 0.0)
        return Slow.free + self.latency

    def Ialltoallv(self, send, receive):
        buffer, counts = send
        others = sum(counts) - counts[self.comm.rank]
        due = self._due(others * buffer.itemsize)
        return Request(self.comm.Ialltoallv(send, receive), due)

    def Iallgatherv(self, send, receive):
        due = self._due(send.nbytes * (self.comm.size - 1))
        return Request(self.comm.Iallgatherv(send, receive), due)

    def Allgather(self, send, receive):
        self.comm.Allgather(send, receive)
        time.sleep(self.latency)

    def __getattr__(self, name):
        return getattr(self.comm, name)


class Clock:
    """A callback that notes when steps end."""

    def __init__(self):
        self.times = []

    def on_train_batch_begin(self, batch):
        self.times.append(time.perf_counter())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs=5, default=[6, 6, 384, 256, 8])
    parser.add_argument("--shards", default="8")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--gbit", type=float, default=0.0, help="0: not limited")
    parser.add_argument("--no-overlap", action="store_true")
    parser.add_argument("--plain", action="store_true", help="fit without comm")
    args = parser.parse_args()
    comm = (
        None if args.plain else world(args.shards if args.shards == "ranks" else int(args.shards))
    )
    overlap = not args.no_overlap
    if comm is not None and comm.size > 1 and (args.latency or args.gbit or not overlap):
        from mpi4py import MPI as mpi4py

        slow = Slow(mpi4py.COMM_WORLD, args.latency, args.gbit)
        comm = MPI(slow, comm.shards, overlap)
    n_layers, n_heads, width, length, rows = args.sizes
    model = fastnn.models.TransformerLM(65, width, n_heads, n_layers, length, rng=0)
    ids = np.random.default_rng(0).integers(65, size=100_000)
    clock = Clock()
    batches = fastnn.data.crops(ids, length, rows, steps=args.steps, seed=0)
    model.fit(batches, optimizer="adamw", comm=comm, callbacks=[clock], verbose=0)
    seconds = np.diff(clock.times)[1:]
    if comm is None or comm.rank == 0:
        found = vars(args) | {
            "ranks": 1 if comm is None else comm.size,
            "threads": fastnn.get_num_threads(),
            "parameters": model.parameters().size,
            "seconds": statistics.median(seconds.tolist()),
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
