"""Callbacks: when they are called, what they stop, write and set; and what `fit` shows."""

import csv
import io
import math
import os

import numpy as np
import pytest

from fastnn import load, nn, optim
from fastnn.train import (
    CSVLogger,
    EarlyStopping,
    LRSchedule,
    ModelCheckpoint,
    TerminateOnNaN,
    evaluate,
    fit,
)
from fastnn.train.hooks import HOOKS
from fastnn.train.progress import described

from .test_fit import blobs, train_blobs


def test_every_hook_in_its_order():
    calls = []

    class Recorder:
        pass

    for name in HOOKS:
        setattr(Recorder, name, lambda self, *args, name=name: calls.append((name, *args)))
    _, history = train_blobs(epochs=2, batch_size=60, callbacks=[Recorder()])
    assert [call[0] for call in calls] == [
        "on_train_begin",
        *(
            ["on_epoch_begin"]
            + ["on_train_batch_begin", "on_train_batch_end"] * 2
            + ["on_epoch_end"]
        )
        * 2,
        "on_train_end",
    ]
    assert calls[0][1].history is history
    assert [call[1] for call in calls if call[0] == "on_train_batch_end"] == [0, 1, 0, 1]


class Fake:
    """Replace a metric by given values."""

    def __init__(self, values):
        self.values = values

    def __call__(self, output, targets):
        return next(self.values), np.zeros_like(output)


def losses(*values):
    """A loss that is these values, epoch by epoch, for one batch an epoch."""
    return {"loss": Fake(iter(values)), "batch_size": 1000, "epochs": len(values)}


@pytest.mark.parametrize(
    ("values", "options", "stopped", "best"),
    [
        ([5, 4, 4, 3, 2], {}, 2, 1),
        ([5, 4, 4, 3, 2], {"patience": 1}, 2, 1),
        ([5, 4, 4, 3, 2, 3, 3, 1], {"patience": 2}, 6, 4),
        ([5, 4, 3.5, 3, 2.9, 2.8], {"min_delta": 0.6, "patience": 2}, 5, 3),
        ([5, 4, 3], {}, None, 2),
        ([math.nan, 4, math.nan, math.nan, 1], {"patience": 2}, 3, 1),
        ([1, 2, 3, 2, 4], {"mode": "max"}, 3, 2),
    ],
)
@pytest.mark.filterwarnings("ignore:the loss of epoch:RuntimeWarning")
def test_early_stopping(values, options, stopped, best):
    stopping = EarlyStopping("loss", **options)
    _, history = train_blobs(callbacks=[stopping], **losses(*values))
    assert (stopping.stopped_epoch, stopping.best_epoch) == (stopped, best)
    assert len(history.epoch) == (len(values) if stopped is None else stopped + 1)


def test_the_best_weights_come_back():
    x, y = blobs(seed=1)
    stopping = EarlyStopping("val_accuracy", patience=3, restore_best_weights=True)
    model, history = train_blobs(epochs=20, validation_data=(x, y), callbacks=[stopping])
    best = int(np.argmax(history.history["val_accuracy"]))
    assert stopping.best_epoch == best < len(history.epoch) - 1
    twin, _ = train_blobs(epochs=best + 1)
    np.testing.assert_array_equal(model.parameters().data, twin.parameters().data)
    train_blobs(epochs=2, callbacks=[stopping], validation_data=(x, y))
    assert stopping.best_epoch < 2  # a new run starts from scratch


def test_the_best_weights_are_those_that_were_measured():
    model = nn.MLP((2, 16, 3), rng=0)
    ema = optim.ExponentialMovingAverage(model.parameters(), decay=0.8)
    # the greatest loss, so that the epoch is not the last
    stopping = EarlyStopping(patience=9, mode="max", restore_best_weights=True)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    data = {"validation_data": blobs(seed=1), "callbacks": [stopping], "ema": ema}
    history = fit(model, *blobs(), optimizer=optimizer, epochs=6, seed=0, verbose=0, **data)
    loss, _ = evaluate(model, *blobs(seed=1))
    assert loss == pytest.approx(history.history["val_loss"][stopping.best_epoch], rel=1e-6)
    assert stopping.best_epoch < 5
    np.testing.assert_array_equal(ema.average, model.parameters().data)


def diverge(**options):
    """A run whose loss is 1.0 in its first epoch and NaN from then on; its warning and history."""
    with pytest.warns(RuntimeWarning, match="the loss of epoch 2 is nan") as caught:
        model, history = train_blobs(**losses(1.0, *[math.nan] * 5), **options)
    assert len(caught) == 1 and caught[0].filename == train_blobs.__code__.co_filename
    return model, history


def test_a_loss_of_nan_is_reported_once_and_ends_what_should_end():
    _, history = diverge()
    assert len(history.epoch) == 6
    _, history = diverge(callbacks=[TerminateOnNaN()])
    assert history.epoch == [0, 1]
    stopping = EarlyStopping("loss", patience=3, restore_best_weights=True)
    model, history = diverge(callbacks=[stopping])
    assert history.epoch == [0, 1, 2, 3] and stopping.best_epoch == 0
    assert np.isfinite(model.parameters().data).all()


def test_a_metric_that_is_not_measured_is_named():
    with pytest.raises(
        ValueError, match="'val_loss' is not measured; measured: 'loss', 'accuracy'"
    ):
        train_blobs(callbacks=[EarlyStopping()])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(mode="up"), ValueError, "mode"),
        (lambda: EarlyStopping(patience=-1), ValueError, "patience"),
        (lambda: EarlyStopping(min_delta=-1.0), ValueError, "min_delta"),
        (lambda: ModelCheckpoint("m", save_freq=0), ValueError, "save_freq"),
        (lambda: ModelCheckpoint("m", save_freq=3, save_best_only=True), ValueError, "save_freq"),
        (lambda: LRSchedule(0.1), TypeError, "0.1"),
        (lambda: LRSchedule(float, per="batch"), ValueError, "'batch'"),
    ],
)
def test_bad_options_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("weights_only", [True, False])
def test_checkpoints_are_models(tmp_path, weights_only):
    path = tmp_path / "model-{epoch:02d}-{loss:.1f}.safetensors"
    checkpoint = ModelCheckpoint(path, save_weights_only=weights_only)
    model, history = train_blobs(epochs=3, callbacks=[checkpoint])
    names = [f"model-{i:02d}-{history.history['loss'][i]:.1f}.safetensors" for i in range(3)]
    assert sorted(os.listdir(tmp_path)) == names
    again = load(tmp_path / names[2])
    np.testing.assert_array_equal(again.parameters().data, model.parameters().data)
    assert not np.array_equal(load(tmp_path / names[1]).parameters().data, again.parameters().data)


def test_only_the_best_epoch_is_kept(tmp_path):
    weights = []
    keep = lambda epoch, logs: weights.append(logs["loss"])  # noqa: E731
    checkpoint = ModelCheckpoint(tmp_path / "best", "loss", save_best_only=True)
    written = []
    checkpoint._write, write = (
        lambda *args: (written.append(args[0]), write(*args)),
        checkpoint._write,
    )
    train_blobs(callbacks=[checkpoint, keep], **losses(3, 2, 4, 1, 5))
    assert written == [0, 1, 3] and os.listdir(tmp_path) == ["best"]


@pytest.mark.parametrize("make", [ModelCheckpoint, CSVLogger])
@pytest.mark.parametrize("name", ["nowhere/file", "nowhere/{epoch}", "folder"])
def test_paths_are_tried_before_the_training(tmp_path, make, name):
    (tmp_path / "folder").mkdir()
    model = nn.MLP((2, 4, 3), rng=0)
    before = model.parameters().data.copy()
    with pytest.raises(OSError, match=name.split("/")[0]):
        fit(
            model,
            *blobs(),
            optimizer=optim.SGD(model.parameters(), lr=0.1),
            callbacks=[make(tmp_path / name)],
        )
    np.testing.assert_array_equal(model.parameters().data, before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder"]


def test_a_field_that_there_is_not_is_named(tmp_path):
    path = tmp_path / "{val_los:.2f}"
    with pytest.raises(ValueError, match="'val_los' is not a known field; known: 'epoch', 'loss'"):
        train_blobs(callbacks=[ModelCheckpoint(path)])


def test_schedules_set_the_rate():
    rates = []

    class Watch:
        def on_train_begin(self, run):
            self.optimizer = run.optimizer

        def on_train_batch_end(self, batch, logs):
            rates.append(self.optimizer.lr)

    schedule = lambda i: 0.1 / (1 + i)  # noqa: E731
    train_blobs(epochs=2, batch_size=60, callbacks=[LRSchedule(schedule), Watch()])
    assert rates == [0.1, 0.1, 0.05, 0.05]
    rates.clear()
    train_blobs(epochs=2, batch_size=60, callbacks=[Watch(), LRSchedule(schedule, per="step")])
    assert rates == [0.1 / (1 + i) for i in range(4)]


def test_the_csv_file_is_the_history(tmp_path):
    path = tmp_path / "log.csv"
    _, history = train_blobs(validation_data=blobs(seed=1), callbacks=[CSVLogger(path)])
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [int(row.pop("epoch")) for row in rows] == [0, 1, 2]
    for name, column in history.history.items():
        assert [float(row[name]) for row in rows] == column
    train_blobs(epochs=1, callbacks=[CSVLogger(path, "\t")])
    assert path.read_text().startswith("epoch\tloss\taccuracy\n0\t")


def test_ctrl_c_inside_an_epoch_and_the_end_of_the_training():
    ended = []

    class Press:
        def on_train_batch_end(self, batch, logs):
            if batch == 1:
                raise KeyboardInterrupt

        def on_train_end(self):
            ended.append(True)

    model, history = train_blobs(epochs=10, callbacks=[Press()])
    assert history.interrupted and history.epoch == [] and ended == [True]
    assert np.isfinite(evaluate(model, *blobs())[0])
    assert not np.array_equal(model.parameters().data, nn.MLP((2, 16, 3), rng=0).parameters().data)


def test_lines_on_stderr(capsys):
    for verbose in ("auto", 1, 2):
        _, history = train_blobs(epochs=10, verbose=verbose)
        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert out == "" and len(lines) == 10
        assert lines[0].startswith(
            f"epoch  1/10  {described({'loss': history.history['loss'][0]})}"
        )
        assert lines[9].endswith(" s")
    train_blobs(verbose=0)
    assert capsys.readouterr() == ("", "")


def test_numbers_are_shown_to_four_places():
    assert described({"loss": 0.12345, "accuracy": 1.0}) == "loss 0.1235  accuracy 1.0000"
    assert described({"loss": 1.5e-5, "x": 0.0}) == "loss 1.500e-05  x 0.0000"
    assert described({"loss": math.nan, "x": 2e8}) == "loss nan  x 2.000e+08".replace(
        "nan", f"{math.nan:.3e}"
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_bar_on_a_terminal(capsys, monkeypatch, stream):
    pytest.importorskip("rich")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    x, y = blobs()
    model = nn.MLP((2, 16, 3), rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    fit(model, *(([(x, y)],) if stream else (x, y)), optimizer=optimizer, epochs=2)
    out, err = capsys.readouterr()
    assert out == "" and "epoch 2/2" in err and "loss" in err
    assert stream or "4/4" in err


def test_without_rich_a_terminal_gets_lines(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    train_blobs(epochs=1, verbose="auto")
    assert capsys.readouterr().err.startswith("epoch 1/1  loss")


def test_the_history_draws_itself(tmp_path):
    pytest.importorskip("matplotlib")
    _, history = train_blobs(validation_data=blobs(seed=1))
    figure = history.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    lines = figure.axes[0].get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [
        history.history["loss"],
        history.history["val_loss"],
    ]
    (tmp_path / "curves.png").unlink()
    assert len(history.plot().axes) == 2 and not list(tmp_path.iterdir())


def test_without_stderr_nothing_is_shown(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr", None)
    train_blobs(epochs=1, verbose=1)
    assert capsys.readouterr().out == ""
