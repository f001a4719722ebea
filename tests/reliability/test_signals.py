"""Ctrl-C at random moments: KeyboardInterrupt or a result; files old or new; all works later."""

import os
import random
import signal
import threading
import time

import numpy as np
import pytest

import fastnn
from fastnn import models, nn, optim
from fastnn.files import load
from fastnn.train import ModelCheckpoint, load_checkpoint

from . import common

pytestmark = [
    common.posix,
    # A signal between open and with leaves a file to the garbage collector, which closes it.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def interrupt(after, call):
    """Call, and send this process SIGINT after so many seconds unless the call is over by then.

    Returns the result of the call, or None, and whether KeyboardInterrupt came.
    """
    over = threading.Event()

    def send():
        if not over.wait(after):
            os.kill(os.getpid(), signal.SIGINT)

    sender, found = threading.Thread(target=send), None
    try:
        sender.start()
        found = call()
        over.set()
        sender.join()
        time.sleep(0)  # a signal that was sent late arrives here
    except KeyboardInterrupt:
        over.set()
        sender.join()
        return None, True
    return found, False


def moments(default, longest):
    """Seconds after which to interrupt, random and the same in each run."""
    rng = random.Random(common.SEED)
    return [longest * rng.random() for _ in range(common.count(default))]


def duration(call):
    """Seconds that a call takes once it is warm."""
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 30)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64)


def test_fit(tmp_path):
    """`fit` reports the interruption; resuming its checkpoint, if any, gives the same end."""
    x, y = rows()
    path = tmp_path / "run.safetensors"

    def run(resume=None):
        model = nn.Sequential(nn.MLP((30, 40, 2), rng=0), nn.Dropout(0.1, rng=0))
        options = {"epochs": 4, "batch_size": 50, "seed": 0, "verbose": 0, "resume": resume}
        optimizer = optim.AdamW(model.parameters(), lr=1e-2)
        callbacks = [ModelCheckpoint(path, save_freq=3)]
        history = fastnn.fit(model, x, y, optimizer=optimizer, callbacks=callbacks, **options)
        return None if history.interrupted else model.parameters().data.tobytes()

    expected, seconds, count = run(), duration(run), 0
    for after in moments(12, 1.2 * seconds):
        path.unlink()
        found, came = interrupt(after, run)
        assert found in (None, expected)
        count += came or found is None
        assert not [p for p in tmp_path.iterdir() if p != path], "leftovers"
        if path.exists():
            load_checkpoint(path, load(path))
            assert run(path) == expected
        assert run() == expected
    assert count


def test_kernels_and_plans():
    """A call finishes before KeyboardInterrupt; the next one gives the same bits."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(600, 600)).astype(np.float32)
    q = rng.normal(size=(1, 4, 400, 32)).astype(np.float32)
    plan = nn.MLP((600, 600, 10), rng=0).freeze()
    out = np.empty((600, 600), np.float32)

    def run():
        fastnn.matmul(a, a, out=out)
        return [x.tobytes() for x in (out, plan(a), fastnn.attention(q, q, q), fastnn.softmax(a))]

    expected, seconds = run(), duration(run)
    for after in moments(20, 1.2 * seconds):
        found, came = interrupt(after, run)
        assert came or found == expected
        assert run() == expected


def test_generate():
    model = models.TransformerLM(40, 32, 2, 2, 64, rng=0)
    translator = models.Seq2SeqTransformer(40, None, 32, n_heads=2, n_layers=1, rng=0)
    plan, src = model.freeze(), np.arange(10).reshape(2, 5)

    def run():
        found = [
            *model.generate([[1, 2], [3]], 12, seed=1),
            *models.generate(plan, [[1]], 30, seed=2),
        ]
        for best in translator.generate(src, bos=1, eos=2, max_len=8, beams=3):
            found.append(best[0].tokens)
        return [x.tobytes() for x in found]

    expected, seconds, count = run(), duration(run), 0
    for after in moments(20, 1.2 * seconds):
        found, came = interrupt(after, run)
        assert came or found == expected
        count += came
        assert run() == expected
    assert count


def test_save(tmp_path):
    """The file is the old one or the new one, and nothing is left beside it."""
    path = tmp_path / "model.safetensors"
    old, new = (nn.MLP((60, 80, 60), rng=seed) for seed in (0, 1))
    contents = []
    for model in (new, old):
        model.save(path)
        contents.append(path.read_bytes())
    seconds, count = duration(lambda: old.save(path)), 0
    for after in moments(60, 1.2 * seconds):
        old.save(path)
        _, came = interrupt(after, lambda: new.save(path))
        count += came
        assert path.read_bytes() in contents and list(tmp_path.iterdir()) == [path]
    assert count
