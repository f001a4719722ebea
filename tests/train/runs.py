"""Runs that end before their last epoch and are resumed."""

from fastnn import nn, optim
from fastnn.train import (
    EarlyStopping,
    LRSchedule,
    ModelCheckpoint,
    fit,
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
