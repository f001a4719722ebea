"""Training by several ranks: `fit(..., comm=...)`.

Every rank runs the same loop over the same batches and computes the shards of each that it owns.
What the loop decides by (losses, weights of batches, gradients) is summed over all shards in a
fixed order, so all ranks take the same steps, and the same as any other number of ranks.
"""

from __future__ import annotations

import signal
import threading
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .._version import __version__
from .batches import ArraySource
from .communicator import check_communicator, rows_of
from .examples import Batch
from .history import Logs
from .metrics import Means
from .overlap import Overlap
from .shards import ShardedGradients, Streams

if TYPE_CHECKING:
    from .run import Run

# Columns of what a rank tells the others about each of its shards, after `Means.numbers()`.
WEIGHT, PASSES, CHECKSUM, STOPS = range(-4, 0)

# Bytes of an array whose checksum is compared between ranks, evenly spaced over the array.
SAMPLE_BYTES = 1 << 20


class Team:
    """The ranks of a run, and what they tell each other in each step."""

    def __init__(self, run: Run, comm: Any) -> None:
        self.run, self.comm = run, check_communicator(comm)
        self.is_first = self.comm.rank == 0
        self.gradients = ShardedGradients(
            run.optimizer.params, self.comm, self.comm.shards, run.accumulate > 1
        )
        self.metrics = tuple(getattr(run.objective, "metrics", ()))
        self.overlap: Overlap | None = None
        if self.comm.overlap and run.accumulate == 1:
            self.overlap = Overlap(run.optimizer.params, self.gradients)
        self.streams = Streams(run.model)
        self.stops = self.is_interrupted = False  # Ctrl-C here, and agreed by all ranks
        if isinstance(run.source, ArraySource):
            run.source.own = self._own_rows

    def _agree(self) -> None:
        """Raise RuntimeError unless all ranks begin the same run; take the order of rank 0."""
        run = self.run
        run.rng.bit_generator.state = self.comm.broadcast(run.rng.bit_generator.state)
        found = self.comm.gather(_described(run))
        for rank, other in enumerate(found):
            for what, hint in _WHAT.items():
                if other[what] != found[0][what]:
                    pair = f"{found[0][what]} on rank 0, {other[what]} on rank {rank}"
                    raise RuntimeError(f"the ranks differ in {what} ({pair}): {hint}")

    def learn(self, batch: Batch) -> None:
        """Add the gradients of the own shards of a batch; add those of all to the means."""
        run, gradients, streams = self.run, self.gradients, self.streams
        own, n_rows, n_targets = self._own_part(batch)
        reference = max(n_targets, 1) / self.comm.shards
        run.first_weight = run.first_weight or reference
        told = np.zeros((self.comm.shards, len(Means().numbers(self.metrics)) + 4))
        streams.begin()
        begin = self._own_rows(n_rows).start
        for shard in gradients.own:
            rows = rows_of(shard, n_rows, self.comm.shards)
            means, weights = Means(), _Weights(run.first_weight)
            if rows.stop > rows.start:
                streams.enter(shard)
                part = own.rows(slice(rows.start - begin, rows.stop - begin))
                with self._sending(shard):
                    run.objective.learn(run.model, part, means, weights)
            gradients.add(shard)
            numbers = means.numbers(self.metrics)
            told[shard] = [*numbers, weights.total, streams.leave(), 0, self.stops]
        if not isinstance(run.source, ArraySource):
            told[:, CHECKSUM] = _checksum(batch.y)
        if self.overlap is not None:  # what is told travels at the same time
            gradients.start()
        self._listen(told)

    def _sending(self, shard: int) -> AbstractContextManager[None]:
        """Return the context of a shard's passes: the last sends gradients while it runs."""
        if self.overlap is None or shard != self.gradients.own[-1]:
            return nullcontext()
        return self.overlap.sending()

    def _listen(self, told: NDArray[np.float64]) -> None:
        """Add what all ranks tell about their shards of a batch, in the order of the shards."""
        run, found = self.run, self.comm.gather(told)
        for rank, other in enumerate(found):
            if other[0, CHECKSUM] != found[0][0, CHECKSUM]:
                raise RuntimeError(
                    f"rank {rank} and rank 0 read different batches in step {run.step} of epoch "
                    f"{run.epoch}: every rank must iterate over the same batches, with one seed"
                )
        total = np.sum(found, axis=0)  # each row has numbers of one rank, and zeros of the others
        for numbers in total:
            run.means.merge(numbers[:-4], self.metrics)
        for weight in total[:, WEIGHT]:
            run.weight += float(weight)
        self.streams.end(int(np.max(found, axis=0)[:, PASSES].max()))
        self.is_interrupted = bool(total[:, STOPS].any())

    def sum_gradients(self) -> None:
        """Set the gradients to the sum over all shards."""
        self.gradients.sum()

    def measure(self, batches: Iterator[Batch]) -> Logs:
        """Return the means over validation batches; each batch is measured by one rank."""
        means, found = Means(), []
        for i, batch in enumerate(batches):
            part = Means()
            if i % self.comm.size == self.comm.rank:
                self.run.objective.measure(self.run.model, batch, part)
            found.append(part.numbers(self.metrics))
        for numbers in np.sum(self.comm.gather(np.array(found)), axis=0):
            means.merge(numbers, self.metrics)
        return means.logs()

    def any(self, flag: bool) -> bool:
        """True if the flag is True on any rank."""
        return any(self.comm.gather(bool(flag)))

    def check_weights(self) -> None:
        """Raise RuntimeError unless all ranks have the same weights: a callback may have erred."""
        sums = self.comm.gather(_checksum(self.run.model.parameters().data))
        for rank, checksum in enumerate(sums):
            if checksum != sums[0]:
                raise RuntimeError(
                    f"after epoch {self.run.epoch} rank {rank} has other weights than rank 0: "
                    "a callback must change the model in the same way on every rank"
                )

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Train in this context. Ctrl-C ends the run after a step, on all ranks.

        A second one ends it at once.
        """
        self._agree()
        waits = threading.current_thread() is threading.main_thread()
        waits = waits and signal.getsignal(signal.SIGINT) is signal.default_int_handler

        def wait(*_: object) -> None:
            self.stops = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        if waits:
            signal.signal(signal.SIGINT, wait)
        try:
            yield
        finally:
            if waits:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _own_rows(self, n_rows: int) -> slice:
        """Return the rows of this rank's shards of a batch."""
        own, shards = self.gradients.own, self.comm.shards
        return slice(own.start * n_rows // shards, own.stop * n_rows // shards)

    def _own_part(self, batch: Batch) -> tuple[Batch, int, int]:
        """Return this rank's rows of a batch, and the rows and targets of the whole batch."""
        source = self.run.source
        if not isinstance(source, ArraySource):
            n = len(batch.y)
            return batch.rows(self._own_rows(n)), n, batch.y.size
        n = source.rows_in(self.run.step)
        return batch, n, n * (source.y.size // len(source.y))


class _Weights:
    """The `weigh` of an objective for one shard: the sum over shards is divided later."""

    def __init__(self, reference: float) -> None:
        self.reference, self.total = reference, 0.0

    def __call__(self, weight: float | None) -> float:
        if not weight:
            return 1.0
        self.total += weight
        return weight / self.reference


def _checksum(array: NDArray[Any]) -> int:
    """Return a checksum of an array's bytes, or of a sample of them."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if flat.size > SAMPLE_BYTES:
        flat = flat[:: flat.size // SAMPLE_BYTES]
    return zlib.crc32(flat.tobytes())


# What must be the same on all ranks -> how to make it so.
_WHAT = {
    "the versions of fastnn and NumPy": "install the same on every host",
    "the instruction set": "set FASTNN_ISA to one that every host has",
    "the shards": "give world(shards=...) the same number",
    "the first weights": "create the model with the same rng=..., or load it from the same file",
    "the seeds of dropout": "create the model with the same rng=..., or call model.seed(...)",
    "the optimizer": "create it with the same options",
    "the options of fit": "give the same options on every rank",
    "the data": "load the same rows in the same order on every rank",
}


def _described(run: Run) -> dict[str, Any]:
    """Return what must be the same on all ranks, in short."""
    source = run.source
    data = {}
    if isinstance(source, ArraySource):
        arrays = {"x": source.x, "y": source.y, "weights": source.weight}
        data = {k: (a.shape, _checksum(_sample(a))) for k, a in arrays.items() if a is not None}
    states = run.optimizer.state_dict(copy=False)
    optimizer = [type(run.optimizer).__name__]
    for name, value in states.items():
        optimizer.append(f"{name} {_checksum(value) if isinstance(value, np.ndarray) else value}")
    options: list[Any] = [run.epochs, run.epoch, run.step, run.clip_norm, run.accumulate]
    options.append(run.precision)
    options += [*source.cut().values(), run.validation is not None]
    options.append(tuple(getattr(run.objective, "metrics", ())))
    options.append(None if run.ema is None else _checksum(run.ema.average))
    found = (
        f"{__version__}, {np.__version__}",
        kernels.build_info()["isa" if run.precision == "bf16" else "isa_float"],
        run.team.comm.shards if run.team else 1,
        _checksum(run.model.parameters().data),
        zlib.crc32(repr(run.model.random_state()).encode()),
        "; ".join(map(str, optimizer)),
        options,
        data,
    )
    return dict(zip(_WHAT, found, strict=True))


def _sample(array: NDArray[Any]) -> NDArray[Any]:
    """Return some rows of a long array, which may be a file larger than memory."""
    n = max(1, len(array) // 256)
    return array if array.nbytes <= SAMPLE_BYTES else array[::n][:256]
