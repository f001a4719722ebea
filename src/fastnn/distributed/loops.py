"""Gradients of several ranks in a training loop of one's own."""

from __future__ import annotations

from collections.abc import Iterator

from ..checks import check_count
from ..keywords import explained
from ..nn import Module
from ..train.arguments import check_model
from ..train.communicator import Communicator, check_communicator, rows_of
from ..train.shards import ShardedGradients, Streams


@explained
def sum_gradients(model: Module, comm: Communicator) -> None:
    """Set the gradients of a model to their sums over all ranks, the same bits on every rank.

    The sum is over ranks: its bits depend on which rows each rank computed. For the same bits on
    any number of ranks, loop over `each_shard`.

    Parameters
    ----------
    model : nn.Module
        With the gradient of this rank's rows.
    comm : communicator
        Such as `world()`.

    Examples
    --------
    >>> model, comm = nn.Linear(2, 1), fastnn.distributed.world()
    >>> model.weight.grad += 1
    >>> fastnn.distributed.sum_gradients(model, comm)
    >>> model.weight.grad.ravel()  # of one process: as they were
    array([1., 1.], dtype=float32)
    """
    parameters = check_model(model)
    ShardedGradients(parameters, check_communicator(comm), comm.size).sum()


@explained
def each_shard(model: Module, comm: Communicator, n_rows: int) -> Iterator[slice]:
    """Iterate over this rank's shards of a batch; afterwards sum the gradients of all shards.

    Gradients and the steps of dropout are the same bits on any number of ranks. Rows that the
    slice leaves out are those of other shards; it may be empty.

    >>> x, labels = fastnn.data.load_digits(split="train")
    >>> model, comm = nn.MLP((64, 10), rng=0), fastnn.distributed.world()
    >>> for rows in fastnn.distributed.each_shard(model, comm, len(x)):
    ...     y, ctx = model.forward(x[rows])
    ...     loss, dy = nn.cross_entropy(y, labels[rows], reduction="sum")
    ...     dx = model.backward(dy, ctx, need_dx=False)
    >>> optim.Adam(model.parameters()).step(grad_scale=1 / len(x))

    Parameters
    ----------
    model : nn.Module
        Its gradients are set to zero at the beginning.
    comm : communicator
    n_rows : int
        Rows of the batch, the same on all ranks.

    Yields
    ------
    slice
        Rows of a shard; shards without rows are left out.
    """
    parameters = check_model(model)
    check_communicator(comm)
    n_rows = check_count("n_rows", n_rows)
    gradients, streams = ShardedGradients(parameters, comm, comm.shards), Streams(model)
    parameters.zero_grad()
    for shard in gradients.own:
        rows = rows_of(shard, n_rows, comm.shards)
        if rows.stop > rows.start:
            streams.enter(shard)
            yield rows
            streams.leave()
        gradients.add(shard)
    gradients.sum()
    streams.end(max(comm.gather(streams.passes)))
