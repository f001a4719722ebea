"""Train an MLP to read handwritten digits: `fastnn train digits`."""

from __future__ import annotations

import argparse
import contextlib

import numpy as np

from .. import nn
from ..data import load_digits
from ..files import save
from ..kernels.ground.threads import num_threads
from ..train import evaluate
from .checks import check_learnt, check_outputs
from .ranks import is_first
from .training import draw, trained

N_PIXELS, N_CLASSES = 64, 10


def train(args: argparse.Namespace) -> bool:
    """Train, test, save and plot; return True if Ctrl-C ended the training early.

    Errors in the options or the installation are reported before the training starts.
    """
    check_outputs(args)
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        return _train(args)


def _train(args: argparse.Namespace) -> bool:
    x, y = load_digits(split="train")
    x_test, y_test = load_digits(split="test")
    rng = np.random.default_rng(args.seed)
    model = nn.MLP((N_PIXELS, *args.hidden, N_CLASSES), rng=rng)
    examples = f"{len(x):,} training images, {len(x_test)} test images"
    validation = (x_test, y_test)
    history, seconds = trained(
        args, model, model.sizes, examples, x, y, validation_data=validation, seed=rng
    )
    if not is_first(args):
        return history.interrupted
    check_learnt(model, args.output)
    _, accuracy = evaluate(model, x_test, y_test)
    assert accuracy is not None  # the labels are classes
    n_right = round(accuracy * len(y_test))
    print(f"test accuracy {100 * accuracy:.1f} % ({n_right} of {len(y_test)})")
    save(model, args.output)
    args.result |= {"model": args.output, "epochs": len(history.epoch), "seconds": seconds}
    args.result |= {"test accuracy": accuracy, "history": history.history}
    print(f"model saved to {args.output}")
    draw(args, history)
    return history.interrupted
