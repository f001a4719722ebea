"""The communicator of one process, the tree, and what is said about wrong arguments."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import fastnn
from fastnn import distributed, nn, optim
from fastnn.distributed import OneProcess
from fastnn.train.communicator import add_up, own_shards, rows_of, subtrees

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 6)), RNG.integers(3, size=50)


def trained(comm, **options):
    model = nn.MLP((6, 16, 3), dtype=np.float64, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    options = {"epochs": 3, "batch_size": 8, "seed": 0, "verbose": 0} | options
    history = fastnn.fit(model, X, Y, optimizer=optimizer, comm=comm, **options)
    return model.parameters().data.copy(), history.history


OPTIONS = [
    {},
    {"class_weight": {0: 2.0, 2: 0.5}},
    {"accumulate": 3},
    {"clip_norm": 0.1},
    {"sample_weight": RNG.uniform(0.1, 3, size=50), "validation_split": 0.3},
    {"metrics": {"wrong": lambda output, y: np.mean(output.argmax(axis=1) != y)}},
    {"loss": partial(nn.cross_entropy, reduction="sum"), "clip_norm": 1.0},
]


@pytest.mark.parametrize("shards", [1, 3, 8, 20])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
def test_shards_change_rounding_only(options, shards):
    weights, history = trained(None, **options)
    found, logs = trained(OneProcess(shards), **options)
    np.testing.assert_allclose(found, weights, rtol=0, atol=1e-12)
    assert logs.keys() == history.keys()
    for name in logs:
        np.testing.assert_allclose(logs[name], history[name], rtol=1e-9)


def test_iterable_of_batches_gives_the_bits_of_arrays():
    batches = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 50, 8)]
    model = nn.MLP((6, 16, 3), dtype=np.float64, rng=0)
    fastnn.fit(
        model,
        batches,
        optimizer=optim.SGD(model.parameters(), lr=0.1),
        epochs=3,
        verbose=0,
        comm=OneProcess(),
    )
    expected, _ = trained(OneProcess(), shuffle=False)
    np.testing.assert_array_equal(model.parameters().data, expected)


def test_dropout_differs_between_shards_and_steps():
    """Also from batch to batch, and the checkpointed count is that of batches, not of shards."""
    model, seen = nn.Sequential(nn.Linear(4, 4, rng=0), nn.Dropout(0.5, rng=0)), set()
    drop = model.layers[1]
    comm = OneProcess(5)
    for _ in range(3):
        for rows in distributed.each_shard(model, comm, 10):
            y, ctx = model.forward(np.ones((rows.stop - rows.start, 4), np.float32))
            seen.add(drop.stream.calls)
            model.backward(y, ctx)
    assert len(seen) == 15
    assert drop.stream.calls == 3


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 6, 7, 8, 12, 16])
def test_every_division_into_ranks_gives_the_same_tree(shards):
    values = RNG.normal(size=(shards, 100)).astype(np.float32) * 10.0 ** RNG.integers(-3, 4)
    tree = (0, shards)
    expected = add_up({(i, i + 1): values[i].copy() for i in range(shards)}, tree)
    for size in range(1, shards + 1):
        nodes, owned = {}, []
        for rank in range(size):
            own = own_shards(rank, size, shards)
            owned += own
            for span in subtrees(own, tree):
                below = {(i, i + 1): values[i].copy() for i in range(*span)}
                nodes[span] = add_up(below, span)
        assert owned == list(range(shards))
        np.testing.assert_array_equal(add_up(nodes, tree), expected)


@pytest.mark.parametrize("n_rows", [0, 1, 5, 8, 30])
def test_shards_have_each_row_once(n_rows):
    rows = [i for shard in range(8) for i in range(n_rows)[rows_of(shard, n_rows, 8)]]
    assert rows == list(range(n_rows))


@pytest.mark.parametrize(
    ("comm", "error"), [("mpi", TypeError), (OneProcess, TypeError), (object(), TypeError)]
)
def test_wrong_communicators(comm, error):
    with pytest.raises(error, match=r"comm must be a communicator such as fastnn\.distributed"):
        trained(comm)


def test_wrong_shards():
    for shards, error in [(0, ValueError), (2.5, TypeError), ("some", TypeError)]:
        with pytest.raises(error, match="shards"):
            distributed.world(shards)


def test_world_of_one_process(monkeypatch):
    for name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "FASTNN_SHARDS"):
        monkeypatch.delenv(name, raising=False)
    assert repr(distributed.world()) == "OneProcess(shards=8)"
    assert distributed.world("ranks").shards == 1
    monkeypatch.setenv("FASTNN_SHARDS", "16")
    assert distributed.world().shards == 16
    assert distributed.world(4).shards == 4


def test_import_fastnn_imports_none_of_it():
    code = (
        "import sys, fastnn; fastnn.fit; fastnn.train; found = [m for m in sys.modules "
        "if m.startswith(('fastnn.distributed', 'mpi4py'))]; assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
