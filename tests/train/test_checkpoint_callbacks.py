"""Callbacks, averages and schedules go on in a resumed run."""

import numpy as np
import pytest

import fastnn
from fastnn import load, optim
from fastnn.train import CSVLogger, EarlyStopping, ModelCheckpoint, fit

from .runs import EndAt, new_model, new_optimizer, run
from .test_fit import blobs


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
