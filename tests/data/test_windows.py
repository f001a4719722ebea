"""Windows of a long text, random or consecutive, and the bundled text."""

import hashlib
from itertools import islice

import numpy as np
import pytest

from fastnn.data import crops, load_text, windows
from fastnn.train.batches import StreamSource


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_crops(dtype):
    ids = np.arange(200).astype(dtype)
    found = crops(ids, 7, 5, steps=40, seed=0)
    assert len(found) == len(list(found)) == 40
    starts = []
    for x, y in found:
        assert x.shape == y.shape == (5, 7) and x.dtype == y.dtype == np.int64
        assert x.flags.c_contiguous and y.flags.c_contiguous
        np.testing.assert_array_equal(y, x + 1)
        np.testing.assert_array_equal(x, x[:, :1] + np.arange(7))
        starts.extend(x[:, 0].tolist())
    assert len(set(starts)) > 80


def test_crops_begin_everywhere():
    starts = [x[0, 0] for x, _ in crops(np.arange(9), 4, 1, steps=200, seed=0)]
    assert set(starts) == {0, 1, 2, 3, 4}
    x, y = next(iter(crops(np.arange(5), 4, 2)))
    assert x.tolist() == [[0, 1, 2, 3]] * 2 and y.tolist() == [[1, 2, 3, 4]] * 2


def test_passes_go_on_with_new_windows():
    ids = np.arange(10_000)
    once = [x.tolist() for x, _ in crops(ids, 4, 3, steps=6, seed=3)]
    in_passes = crops(ids, 4, 3, steps=2, seed=3)
    assert [x.tolist() for _ in range(3) for x, _ in in_passes] == once
    assert len({tuple(map(tuple, x)) for x in once}) == 6
    other = crops(ids, 4, 3, steps=6, seed=4)
    assert [x.tolist() for x, _ in other] != once


@pytest.mark.parametrize("steps_per_epoch", [None, 3, 8, 5])
@pytest.mark.parametrize("done", range(13))
def test_fit_goes_on_at_any_batch(done, steps_per_epoch):
    """As `fit` draws, with an epoch of one pass or of a number of steps."""
    per_epoch = steps_per_epoch or 5

    def source(seed):
        found = crops(np.arange(1000), 4, 2, steps=5, seed=seed)
        return StreamSource(found, steps_per_epoch, np.dtype(np.float32))

    rng = np.random.default_rng(0)
    whole, expected = source(1), []
    for _ in range(30 // per_epoch):
        expected += [batch.x.tolist() for batch in whole.epoch(rng)]

    killed = source(1)
    epoch, step = divmod(done, per_epoch)
    for _ in range(epoch):
        list(killed.epoch(rng))
    running = killed.epoch(rng)
    list(islice(running, step))
    state = killed.state()

    resumed, rest = source(2), []
    resumed.load_state(state)
    for i in range(epoch, 30 // per_epoch):
        rest += [batch.x.tolist() for batch in resumed.epoch(rng, step if i == epoch else 0)]
    assert rest == expected[done:]


@pytest.mark.parametrize("n", [2, 3, 12, 13, 14, 100])
@pytest.mark.parametrize("batch_size", [1, 3, 50])
@pytest.mark.parametrize("length", [1, 4, 99])
def test_windows(n, batch_size, length):
    ids = np.arange(1, n + 1)
    found = windows(ids, length, batch_size)
    batches = list(found)
    assert len(batches) == len(found)
    for x, y in batches:
        assert x.shape == y.shape and x.dtype == y.dtype == np.int64
        assert x.shape[1] == length and 1 <= len(x) <= batch_size
    x, y = (np.concatenate([batch[i] for batch in batches]).ravel() for i in range(2))
    np.testing.assert_array_equal(x[: n - 1], ids[:-1])
    np.testing.assert_array_equal(y[: n - 1], ids[1:])
    assert len(x) - (n - 1) < length
    assert (x[n - 1 :] == 0).all() and (y[n - 1 :] == -100).all()
    assert [len(x) for x, _ in found] == [len(x) for x, _ in batches]


def test_memory_maps(tmp_path):
    ids = np.arange(500, dtype=np.uint16)
    ids.tofile(tmp_path / "ids.bin")
    mapped = np.memmap(tmp_path / "ids.bin", np.uint16, "r")
    for make in (lambda ids: crops(ids, 9, 4, seed=0), lambda ids: windows(ids, 9, 4)):
        for found, expected in zip(make(mapped), make(ids), strict=True):
            for one, other in zip(found, expected, strict=True):
                assert type(one) is np.ndarray and not np.may_share_memory(one, mapped)
                np.testing.assert_array_equal(one, other)
                one += 1


def test_refused():
    ids = np.arange(8)
    with pytest.raises(ValueError, match="ids has 8 tokens, but at least 9 are needed"):
        crops(ids, 8, 1)
    with pytest.raises(ValueError, match="ids has 1 tokens, but at least 2 are needed"):
        windows(ids[:1], 8, 1)
    for make in (crops, windows):
        for name, options in (("length", (0, 1)), ("batch_size", (1, 0))):
            with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
                make(ids, *options)
        for wrong in (
            ids.astype(np.float32),
            ids.reshape(2, 4),
            [1.5, 2, 3],
            [[1], [2, 3]],
            "text",
        ):
            with pytest.raises(TypeError, match=r"ids must be a sequence \(n,\) of integers"):
                make(wrong, 1, 1)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        crops(ids, 2, 1, steps=0)


def test_lists_are_taken_as_arrays_are():
    """A vocabulary encodes to a list."""
    ids = np.arange(20) % 7
    for make in (lambda some: windows(some, 4, 2), lambda some: crops(some, 4, 2, seed=0)):
        for (x, y), (x_list, y_list) in zip(make(ids), make(ids.tolist()), strict=True):
            np.testing.assert_array_equal(x, x_list)
            np.testing.assert_array_equal(y, y_list)


def test_the_text_of_the_package():
    text = load_text()
    assert len(text) == 133_465 and len(set(text)) == 61 and text.isascii()
    assert text.startswith("SAMPSON:\nGregory, o' my word, we'll not carry coals.\n\nGREGORY:\n")
    assert text.endswith("Than this of Juliet and her Romeo.\n") and "\r" not in text
    assert (
        hashlib.sha256(text.encode()).hexdigest()
        == "daf75ba27c60f42b32c77b4a77d3bbd98c0bd5d3f3ee3e47376bfa9687b8cde7"
    )
