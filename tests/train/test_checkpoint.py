"""Checkpoints: runs that end anywhere and resume bit for bit, and refused files."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import fastnn
from fastnn import nn, optim
from fastnn.train import (
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    History,
    LRSchedule,
    ModelCheckpoint,
    ModelFileError,
    fit,
    load,
    load_checkpoint,
    save_checkpoint,
)

from .test_fit import blobs


def new_model():
    model = nn.Sequential(
        nn.Linear(2, 16, activation="relu", rng=0), nn.Dropout(0.2), nn.Linear(16, 3, rng=1)
    )
    model.seed(5)
    return model


def new_optimizer(model):
    return optim.Adam(model.parameters(), lr=0.02)


def run(path=None, *, epochs=4, callbacks=(), save_freq="epoch", **options):
    """A run with every part that has a state; the model's weights and the history."""
    model = new_model()
    stopping = EarlyStopping("val_loss", patience=50, restore_best_weights=False)
    written = [] if path is None else [ModelCheckpoint(path, save_freq=save_freq)]
    schedule = LRSchedule(lambda step: 0.02 / (1 + step), per="step")
    options = {"batch_size": 16, "seed": 0, "clip_norm": 1.0, "verbose": 0} | options
    history = fit(
        model,
        *blobs(100),
        optimizer=new_optimizer(model),
        epochs=epochs,
        validation_data=blobs(30, seed=1),
        callbacks=[*written, stopping, schedule, *callbacks],
        **options,
    )
    return model.parameters().data.copy(), history, stopping.state(), model.random_state()


def assert_same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1] and found[2:] == expected[2:]


class EndAt:
    """End the run, as a kill would, after a number of batches."""

    class Killed(Exception):
        pass

    def __init__(self, batches):
        self.left = batches

    def on_train_batch_end(self, batch, logs):
        self.left -= 1
        if self.left == 0:
            raise self.Killed


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


def test_a_metric_that_comes_later_is_nan_before(tmp_path):
    path, log = tmp_path / "run", tmp_path / "log.csv"
    run(path, epochs=2)
    model = new_model()
    options = {"epochs": 3, "batch_size": 16, "verbose": 0, "resume": path}
    optimizer = new_optimizer(model)
    found = fit(model, *blobs(100), optimizer=optimizer, callbacks=[CSVLogger(log)], **options)
    assert np.isnan(found.history["val_loss"]).tolist() == [False, False, True]
    assert len(found.history["loss"]) == 3 and log.read_text().splitlines()[-1].endswith("nan,nan")
    fit(model, *blobs(100), optimizer=optimizer, epochs=1, callbacks=[ModelCheckpoint(path)])
    options |= {"validation_data": blobs(seed=1), "callbacks": [CSVLogger(log)]}
    found = fit(model, *blobs(100), optimizer=optimizer, **options)
    assert np.isnan(found.history["val_loss"]).tolist() == [True, False, False]
    assert len(log.read_text().splitlines()) == 4


def averaged(path=None, *, killed_at=None, **options):
    """A run with averages of the weights, and a schedule in the optimizer."""
    model = new_model()
    rate = optim.schedules.warmup_cosine(0.05, 5, 60)
    optimizer = optim.AdamW(model.parameters(), lr=rate)
    average = optim.ExponentialMovingAverage(model.parameters(), decay=0.9)
    callbacks = [] if path is None else [ModelCheckpoint(path, save_freq=2)]
    callbacks += [] if killed_at is None else [EndAt(killed_at)]
    history = fit(
        model,
        *blobs(100),
        optimizer=optimizer,
        ema=average,
        validation_data=blobs(30, seed=1),
        class_weight={0: 2.0},
        sample_weight=np.linspace(0, 1, 100),
        **{
            "epochs": 3,
            "batch_size": 16,
            "seed": 0,
            "verbose": 0,
            "callbacks": callbacks,
            **options,
        },
    )
    return model, history, average


def test_averages_and_schedules_go_on_too(tmp_path):
    expected, path = averaged(), tmp_path / "run"
    with pytest.raises(EndAt.Killed):
        averaged(path, killed_at=12)
    found = averaged(path, resume=path)
    for model, other in ((found[0].parameters().data, expected[0].parameters().data),):
        np.testing.assert_array_equal(model, other)
    np.testing.assert_array_equal(found[2].average, expected[2].average)
    assert found[1] == expected[1]


def test_validation_and_files_have_the_averages(tmp_path):
    path = tmp_path / "best"
    best = ModelCheckpoint(path, save_weights_only=True)
    model, history, average = averaged(callbacks=[best], epochs=2)
    assert not np.array_equal(average.average, model.parameters().data)
    np.testing.assert_array_equal(load(path).parameters().data, average.average)
    with average.applied():
        loss, accuracy = fastnn.evaluate(model, *blobs(30, seed=1), batch_size=16)
    assert (history.history["val_loss"][-1], history.history["val_accuracy"][-1]) == (
        loss,
        accuracy,
    )


KILLED = """
import os, signal, sys
from tests.train.test_checkpoint import run

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


def test_any_number_of_threads_gives_the_same_file(tmp_path, n_threads):
    run(tmp_path / "many", epochs=1)
    with fastnn.num_threads(1):
        run(tmp_path / "one", epochs=1)
    assert (tmp_path / "many").read_bytes() == (tmp_path / "one").read_bytes()


def test_save_and_load_by_hand(tmp_path, real):
    model = nn.MLP((3, 4, 2), dtype=real, rng=0)
    optimizer = optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad[...] = 0.5
    optimizer.step()
    rng = np.random.default_rng(3)
    rng.random(5)
    history = History({"loss": [1.0, 0.1], "accuracy": [0.25, float("nan")]}, [0, 1])
    extra = {"note": "a", "none": None, "list": [1, 2.5, {"array": np.arange(3)}], "big": 2**70}
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, model, optimizer, epoch=2, step=7, rng=rng, history=history, extra=extra)
    twin = nn.MLP((3, 4, 2), dtype=real, rng=1)
    other, rng2 = optim.Adam(twin.parameters(), lr=0.5), np.random.default_rng()
    found = load_checkpoint(path, twin, other, rng=rng2)
    assert (found.epoch, found.step, found.history.epoch) == (2, 7, [0, 1])
    np.testing.assert_equal(found.history.history, history.history)
    np.testing.assert_equal(found.extra, extra)
    np.testing.assert_array_equal(twin.parameters().data, model.parameters().data)
    np.testing.assert_equal(other.state_dict(), optimizer.state_dict())
    assert rng2.random() == rng.random()
    assert type(load(path)) is nn.MLP
    np.testing.assert_array_equal(load(path).parameters().data, model.parameters().data)
    names = set(safetensors.numpy.load_file(path)) - set(model.state())
    assert names == {"run/optimizer/m", "run/optimizer/v", "run/extra/list/2/array"}
    save_checkpoint(path, model)
    assert load_checkpoint(path, twin) == Checkpoint()


@pytest.mark.parametrize(
    "kind", [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox]
)
def test_every_kind_of_generator(tmp_path, kind):
    rng, again = (np.random.Generator(kind(seed)) for seed in (1, 2))
    rng.normal(size=7)
    save_checkpoint(tmp_path / "run", nn.ReLU(), rng=rng)
    load_checkpoint(tmp_path / "run", nn.ReLU(), rng=again)
    np.testing.assert_array_equal(again.normal(size=9), rng.normal(size=9))


def test_what_a_checkpoint_cannot_hold(tmp_path):
    with pytest.raises(TypeError, match="run/extra/f: a checkpoint cannot hold"):
        save_checkpoint(tmp_path / "run", nn.ReLU(), extra={"f": print})
    with pytest.raises(TypeError, match="complex128"):
        save_checkpoint(tmp_path / "run", nn.ReLU(), extra={"z": np.zeros(2, complex)})
    assert os.listdir(tmp_path) == []


def test_keys_that_a_checkpoint_cannot_hold(tmp_path):
    with pytest.raises(TypeError, match="str for keys, not 1"):
        save_checkpoint(tmp_path / "run", nn.ReLU(), extra={"a": {1: 2}})
    twice = {"a": {"b": np.zeros(2)}, "a/b": np.ones(2)}
    with pytest.raises(ValueError, match=r"two arrays .* 'run/extra/a/b'"):
        save_checkpoint(tmp_path / "run", nn.ReLU(), extra=twice)
    assert os.listdir(tmp_path) == []


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


def monitored(path, callbacks, epochs, resume=None, **options):
    model = new_model()
    data = {"validation_data": blobs(30, seed=1), "seed": 0, "verbose": 0}
    optimizer = new_optimizer(model)
    options |= {"resume": resume, "optimizer": optimizer, "callbacks": callbacks}
    return fit(model, *blobs(100), epochs=epochs, **data, **options)


def test_callbacks_go_on_by_what_they_monitor(tmp_path):
    """In another order, and with one whose metric had none: it starts with its own."""
    path = tmp_path / "run"
    first = [EarlyStopping("loss", patience=9), EarlyStopping("val_accuracy", patience=9)]
    monitored(path, [*first, ModelCheckpoint(path)], 3)
    other = EarlyStopping("accuracy", patience=40)
    swapped = [EarlyStopping("val_accuracy", patience=9), other, EarlyStopping("loss", patience=9)]
    states = []
    look = type(
        "Look",
        (),
        {"on_train_begin": lambda _, run: states.extend(callback.state() for callback in swapped)},
    )()
    monitored(path, [look, *swapped], 8, resume=path)
    assert states[0] == first[1].state() and states[2] == first[0].state()
    assert np.isnan(states[1]["best"]) and states[1]["wait"] == 0
    # a lower loss would never be beaten by an accuracy
    assert other.best_epoch is not None and 0 < other.best.value <= 1


def test_the_best_file_of_another_metric_is_written(tmp_path):
    path, best = tmp_path / "run", tmp_path / "best"
    monitored(path, [ModelCheckpoint(path, "loss", mode="max")], 2)
    kept = ModelCheckpoint(best, "val_accuracy", save_best_only=True)
    monitored(path, [kept], 4, resume=path)
    assert best.exists()
    # the mode is part of what is monitored
    kept = ModelCheckpoint(tmp_path / "least", "loss", save_best_only=True)
    monitored(path, [kept], 4, resume=path)
    assert (tmp_path / "least").exists()


def test_a_callback_that_was_used_before_starts_afresh(tmp_path):
    path = tmp_path / "run"
    used = EarlyStopping("accuracy", patience=3)
    monitored(path, [used], 6)
    monitored(path, [ModelCheckpoint(path)], 2)
    seen = []
    look = lambda epoch, logs: seen.append(used.state()["best"])  # noqa: E731
    history = monitored(path, [used, look], 3, resume=path)
    assert seen == [history.history["accuracy"][-1]]


def test_states_of_the_first_version_do_not_name_the_metric(tmp_path):
    """They are taken if their best is in the history of what is monitored now."""
    path = tmp_path / "run"
    old = EarlyStopping("loss", patience=9)
    state = old.state
    old.state = lambda: {key: value for key, value in state().items() if key != "monitor"}
    monitored(path, [old, ModelCheckpoint(path)], 3)
    for metric, is_taken in (("loss", True), ("val_accuracy", False)):
        again = EarlyStopping(metric, patience=9)
        states = []
        look = type(
            "Look", (), {"on_train_begin": lambda _, run, a=again, s=states: s.append(a.state())}
        )()
        monitored(path, [look, again], 4, resume=path)
        assert (states[0]["best"] == old.best.value) == is_taken


def test_a_run_with_no_epoch_left_says_so_unless_it_is_silent(tmp_path):
    path = tmp_path / "run"
    monitored(path, [ModelCheckpoint(path)], 2)
    assert len(monitored(path, [], 2, resume=path).epoch) == 2
    with pytest.warns(RuntimeWarning, match="no epoch runs: 5 epochs are done and epochs=3"):
        fit(new_model(), *blobs(9), optimizer="sgd", initial_epoch=5, epochs=3)
