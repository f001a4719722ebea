"""Checkpoints: runs that end anywhere and resume bit for bit, and refused files."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.files import ModelFileError
from fastnn.train import CSVLogger, EarlyStopping, ModelCheckpoint, fit

from .runs import EndAt, new_model, new_optimizer, run
from .test_fit import blobs


def assert_same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1] and found[2:] == expected[2:]


@pytest.mark.parametrize("options", [{}, {"accumulate": 3}, {"shuffle": False}])
@pytest.mark.parametrize(
    ("save_freq", "killed_at"), [("epoch", 8), ("epoch", 16), (1, 4), (3, 5), (5, 20), (1, 27)]
)
def test_a_run_goes_on_bit_by_bit(tmp_path, options, save_freq, killed_at):
    expected = run(**options)
    path = tmp_path / "run.safetensors"
    with pytest.raises(EndAt.Killed):
        run(path, save_freq=save_freq, callbacks=[EndAt(killed_at)], **options)
    assert_same(run(path, save_freq=save_freq, resume=path, **options), expected)


def test_resuming_twice_and_where_it_ended(tmp_path):
    expected, path = run(), tmp_path / "run"
    for epochs in (1, 3, 4):
        found = run(path, epochs=epochs, resume=path if path.exists() else None)
    assert_same(found, expected)
    with pytest.warns(RuntimeWarning, match="is over: 4 epochs are done and epochs=4: give more"):
        found = run(path, epochs=4, resume=path, verbose=2)
    assert_same(found, expected)


def test_streams_skip_what_was_done(tmp_path):
    x, y = blobs(96)
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 96, 16)]

    def train(**options):
        model = new_model()
        fit(model, batches, optimizer=new_optimizer(model), epochs=3, verbose=0, **options)
        return model.parameters().data

    path = tmp_path / "run"
    with pytest.raises(EndAt.Killed):
        train(callbacks=[EndAt(10), ModelCheckpoint(path, save_freq=3)])
    np.testing.assert_array_equal(train(resume=path), train())


def test_best_weights_and_files_survive(tmp_path):
    """Early stopping has its best weights again, the table of the history its first rows."""

    def train(epochs, stopping, **options):
        model = new_model()
        validation = blobs(30, seed=1)
        options = {"optimizer": new_optimizer(model), "epochs": epochs, "verbose": 0, **options}
        fit(model, *blobs(100), seed=0, validation_data=validation, **options)
        return model.parameters().data

    loss = lambda output, y: (0.0, np.zeros_like(output))  # noqa: E731
    best = lambda: EarlyStopping("loss", patience=3, restore_best_weights=True)  # noqa: E731
    path, log = tmp_path / "run", tmp_path / "log.csv"
    stopping = best()
    train(2, stopping, callbacks=[stopping, ModelCheckpoint(path), CSVLogger(log)], loss=loss)
    stopping = best()
    train(9, stopping, callbacks=[stopping, CSVLogger(log)], loss=loss, resume=path)
    assert stopping.best_epoch == 0 and stopping.stopped_epoch == 3
    assert [line.split(",")[0] for line in log.read_text().splitlines()] == ["epoch", *"0123"]
    np.testing.assert_array_equal(stopping.weights, new_model().parameters().data)
    # a run that was over stays over
    stopping = best()
    train(4, stopping, callbacks=[stopping, ModelCheckpoint(path)], loss=loss)
    again = best()
    with pytest.warns(RuntimeWarning, match="is over: a callback stopped it after epoch 4"):
        train(9, again, callbacks=[again, CSVLogger(log)], loss=loss, resume=path, verbose=2)
    assert again.wait == 3 and len(log.read_text().splitlines()) == 5


def test_inside_an_epoch_it_goes_on_with_the_same_batches_only(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(EndAt.Killed):
        run(path, save_freq=2, callbacks=[EndAt(3)])
    for options in ({"batch_size": 8}, {"shuffle": False}, {"steps_per_epoch": 4}):
        with pytest.raises(ModelFileError, match=r"after 2 batches .* 'batch_size': 16, .* are"):
            run(resume=path, **options)
    # between two epochs any batches do
    run(path, epochs=1)
    assert run(epochs=2, resume=path, batch_size=8)[1].epoch == [0, 1]


KILLED = """
import os, signal, sys
from tests.train.runs import run

class Kill:
    left = {batches}
    def on_train_batch_end(self, batch, logs):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

run({path!r}, save_freq={save_freq!r}, callbacks=[Kill()])
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(("save_freq", "batches"), [("epoch", 17), (2, 12)])
def test_a_killed_process_goes_on_bit_by_bit(tmp_path, save_freq, batches):
    path = str(tmp_path / "run.safetensors")
    code = KILLED.format(path=path, save_freq=save_freq, batches=batches)
    root = Path(__file__).parents[2]
    source = str(Path(fastnn.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([source, str(root)])}
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert_same(run(path, save_freq=save_freq, resume=path), run())


@pytest.mark.parametrize("steps", [None, 4])
@pytest.mark.parametrize("killed_at", [3, 8, 9, 14])
def test_iterables_go_on_where_they_were(tmp_path, steps, killed_at):
    x, y = blobs(96)
    cut = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 96, 16)]

    def train(batches, **options):
        model = new_model()
        options |= {"epochs": 4, "steps_per_epoch": steps, "verbose": 0}
        fit(model, batches, optimizer=new_optimizer(model), **options)
        return model.parameters().data

    for make in (lambda: cut, lambda: fastnn.data.batches(x, y, batch_size=16, seed=3)):
        path = tmp_path / "run"
        with pytest.raises(EndAt.Killed):
            train(make(), callbacks=[EndAt(killed_at), ModelCheckpoint(path, save_freq=2)])
        np.testing.assert_array_equal(train(make(), resume=path), train(make()))
