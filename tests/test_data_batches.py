"""Batches of rows: their order, their contents, and the thread that gathers them."""

import threading
import time

import numpy as np
import pytest

from fastnn.data import batches, crops, token_batches
from fastnn.data.batches import _ahead


def data(n=23):
    y = np.arange(n)
    return np.stack([y, y + 100], axis=1).astype(np.float32), y


def gatherers():
    return [t for t in threading.enumerate() if t.name.startswith("fastnn-batches")]


@pytest.mark.parametrize("prefetch", [0, 1, 2, 50])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 5, 23, 99])
def test_in_order(batch_size, drop_last, prefetch):
    x, y = data()
    found = batches(
        x, y, batch_size=batch_size, shuffle=False, drop_last=drop_last, prefetch=prefetch
    )
    stop = 23 - 23 % batch_size if drop_last else 23
    parts = list(found)
    assert len(parts) == len(found) == -(-stop // batch_size)
    assert all(len(rows) == len(targets) <= batch_size for rows, targets in parts)
    if parts:
        np.testing.assert_array_equal(np.concatenate([rows for rows, _ in parts]), x[:stop])
        np.testing.assert_array_equal(np.concatenate([targets for _, targets in parts]), y[:stop])
    assert gatherers() == []


def test_shuffled_epochs():
    x, y = data()
    found = batches(x, y, batch_size=5, seed=3)
    orders = []
    for _ in range(2):
        parts = list(found)
        for rows, targets in parts:
            np.testing.assert_array_equal(rows, x[targets])
        orders.append(np.concatenate([targets for _, targets in parts]))
        np.testing.assert_array_equal(np.sort(orders[-1]), y)
    assert not np.array_equal(*orders)
    again = batches(x, y, batch_size=5, seed=np.random.default_rng(3), prefetch=0)
    for order in orders:
        np.testing.assert_array_equal(np.concatenate([targets for _, targets in again]), order)


@pytest.mark.parametrize("shuffle", [False, True])
def test_memory_maps_and_strides(tmp_path, shuffle):
    x, y = data()
    x.tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.float32, "r", shape=x.shape)
    weights = np.linspace(0, 1, 46)[::-2]
    for rows, targets, w in batches(mapped, y, weights, batch_size=4, shuffle=shuffle, seed=0):
        assert type(rows) is np.ndarray and not np.may_share_memory(rows, mapped)
        np.testing.assert_array_equal(rows, x[targets])
        np.testing.assert_array_equal(w, weights[targets])
        rows += 1  # the caller's own
    np.testing.assert_array_equal(mapped, x)


def test_an_iterator_closed_early_ends_its_thread():
    x, y = data()
    iterator = iter(batches(x, y, batch_size=1))
    next(iterator)
    assert len(gatherers()) == 1
    iterator.close()
    assert gatherers() == []
    for _ in batches(x, y, batch_size=1):
        break  # the dropped iterator is closed when it is collected
    assert gatherers() == []
    iter(batches(x, y, batch_size=1))
    assert gatherers() == []


class Watched(np.ndarray):
    """Counts the batches taken from it, and fails at the one numbered `fails_at`."""

    taken, fails_at = 0, None

    def __getitem__(self, rows):
        self.taken += 1
        if self.taken - 1 == self.fails_at:
            raise OSError("the disk is gone")
        return np.asarray(self)[rows]


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_no_more_than_prefetch_is_made_ahead(prefetch):
    x = np.arange(40.0).view(Watched)
    iterator = iter(batches(x, batch_size=2, prefetch=prefetch))
    for used in range(1, 6):
        next(iterator)
        deadline = time.monotonic() + 5
        while x.taken < used + prefetch and time.monotonic() < deadline:
            time.sleep(0.001)
        assert x.taken == used + prefetch


@pytest.mark.parametrize("prefetch", [0, 2])
def test_errors_arrive_where_the_batch_would(prefetch):
    x = np.arange(40.0).view(Watched)
    x.fails_at = 3
    iterator = iter(batches(x, batch_size=2, prefetch=prefetch))
    for _ in range(3):
        next(iterator)
    with pytest.raises(OSError, match="the disk is gone"):
        next(iterator)
    assert gatherers() == []


@pytest.mark.parametrize(
    ("arrays", "options", "error", "message"),
    [
        ((), {}, ValueError, "at least one array"),
        (
            (np.ones(3), np.ones((2, 4))),
            {},
            ValueError,
            r"array 1 has 2 rows \(2, 4\), array 0 has 3",
        ),
        ((np.ones((0, 4)),), {}, ValueError, r"no rows: array 0 has shape \(0, 4\)"),
        ((np.ones(3), [1, 2, 3]), {}, TypeError, r"array 1 .* got list"),
        ((np.array(1.0),), {}, TypeError, "array 0"),
        ((np.ones(3),), {"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        (
            (np.ones(3),),
            {"batch_size": 2.0},
            TypeError,
            "batch_size must be an integer, got float 2.0",
        ),
        ((np.ones(3),), {"batch_size": True}, TypeError, "batch_size"),
        ((np.ones(3),), {"prefetch": -1}, ValueError, "prefetch must be at least 0, got -1"),
    ],
)
def test_bad_arguments(arrays, options, error, message):
    with pytest.raises(error, match=message):
        batches(*arrays, **{"batch_size": 2, **options})


def test_an_iterator_may_be_collected_in_its_own_thread():
    """The garbage collector may run in any thread: no thread waits for itself."""
    held, closed = [], threading.Event()

    def source():
        yield (np.zeros(1),)
        go.wait(5)
        held.pop().close()
        closed.set()
        yield (np.zeros(1),)

    go = threading.Event()
    held.append(_ahead(source(), 1))
    next(held[0])
    go.set()
    assert closed.wait(5)


def test_prefetch_is_limited_by_the_number_of_batches():
    """Any number is valid: a thread is given no more work than there are batches."""
    x = np.arange(5)
    found = [rows.tolist() for (rows,) in batches(x, batch_size=2, shuffle=False, prefetch=2**63)]
    assert found == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("state", [None, 3, [], {}, {"rng": 1}, {"rng": {}}, {"rng": {"a": 1}}])
def test_a_wrong_state_is_named(state):
    x, ids = np.arange(5), np.arange(9)
    marks = {"bos_id": 2, "eos_id": 3, "pad_id": 0}
    for made in (
        batches(x, batch_size=2),
        token_batches([[1]], [[2]], 9, **marks),
        crops(ids, 2, 2),
    ):
        before = made.state()
        with pytest.raises((TypeError, ValueError), match="state must be what state"):
            made.load_state(state)
        assert made.state() == before
