"""Every argument of `fastnn.train` with wrong values: errors name it, nothing changes."""

import inspect
import math

import numpy as np
import pytest

from fastnn import nn, optim, train
from fastnn.train import (
    CSVLogger,
    EarlyStopping,
    LRSchedule,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TokenLoss,
    evaluate,
    fit,
    load_checkpoint,
    save_checkpoint,
)

X, Y = np.zeros((8, 2), np.float32), np.zeros(8, int)
MODEL = nn.MLP((2, 3), rng=0)
OVER = {"params": MODEL.parameters()}

WRONG = [
    *(None, True, 0, -1, 3, 10**400, 1.5, math.nan, 1j, "what", b"x", [], [1], (1,), {"a": 1}),
    *({1, 2}, object(), object, lambda: 1, np.zeros(3), np.array("a"), nn.ReLU(), nn.MLP, range(3)),
]


FUNCTIONS = {
    "fit": (fit, {"model": MODEL, "x": X, "y": Y, "optimizer": "sgd", "verbose": 0}),
    "evaluate": (evaluate, {"model": MODEL, "x": X, "y": Y}),
    "save_checkpoint": (save_checkpoint, {"path": "file", "model": MODEL}),
    "load_checkpoint": (load_checkpoint, {"path": "run", "model": MODEL}),
    "EarlyStopping": (EarlyStopping, {}),
    "ModelCheckpoint": (ModelCheckpoint, {"path": "file"}),
    "LRSchedule": (LRSchedule, {"schedule": lambda step: 0.1}),
    "CSVLogger": (CSVLogger, {"path": "file"}),
    "ReduceLROnPlateau": (ReduceLROnPlateau, {}),
    "TokenLoss": (TokenLoss, {}),
    **{
        kind.__name__: (kind, OVER | ({"lr": 0.1} if kind is optim.SGD else {}))
        for kind in (
            optim.SGD,
            optim.Adam,
            optim.AdamW,
            optim.RMSprop,
            optim.Adagrad,
            optim.Adadelta,
        )
    },
    "ExponentialMovingAverage": (optim.ExponentialMovingAverage, OVER),
    "clip_grad_norm": (optim.clip_grad_norm, {**OVER, "max_norm": 1.0}),
    "step": (optim.SGD(MODEL.parameters(), lr=0.0).step, {}),
}


def test_every_function_of_train_is_here():
    """What a run makes, and what takes no arguments, is left out."""
    assert set(train.__all__) - set(FUNCTIONS) == {"Checkpoint", "History", "Run", "TerminateOnNaN"}


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:.* was converted to float32")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_argument(tmp_path, monkeypatch, function):
    monkeypatch.chdir(tmp_path)
    save_checkpoint("run", MODEL, optim.Adam(**OVER), rng=np.random.default_rng(0))
    call, options = FUNCTIONS[function]
    before = MODEL.state()
    for name in inspect.signature(call).parameters:
        for wrong in WRONG:
            if name == "epochs" and isinstance(wrong, int) and wrong > 3:
                continue  # that would be many
            if name == "check" and callable(wrong):
                continue  # it may raise what it likes
            try:
                call(**options | {name: wrong})
            except (TypeError, ValueError, OSError) as error:
                assert _names(name, wrong, error), f"{name} = {wrong!r:.80}: {error!r}"
                for key, values in MODEL.state().items():
                    np.testing.assert_array_equal(values, before[key], f"{name} = {wrong!r:.80}")
            MODEL.load_state(before)


def _names(name, wrong, error):
    """True if an error is about the argument: it says its name, or that of a file."""
    also = {"callbacks": "callback", "clip_norm": "max_norm", "betas": "beta1"}
    text = str(error)
    return (
        name in text or also.get(name, name) in text or (isinstance(wrong, str) and wrong in text)
    )


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"label_smoothing": "0.1"}, TypeError),
        ({"label_smoothing": 2}, ValueError),
        ({"ignore_index": 1.5}, TypeError),
        ({"ignore_index": "pad"}, TypeError),
    ],
)
def test_a_token_loss_refuses_before_the_run(wrong, error):
    with pytest.raises(error, match=f"{next(iter(wrong))} must be"):
        TokenLoss(**wrong)
