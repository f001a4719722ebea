"""Train an MLP to read handwritten digits: `fastnn train digits`."""

from __future__ import annotations

import argparse
import contextlib
import time

import numpy as np

from .. import nn, optim
from ..data import load_digits
from ..files import save
from ..kernels.ground.threads import get_num_threads, num_threads
from ..train import evaluate, fit
from .checks import check_learnt, check_outputs
from .ranks import is_first
from .report import counted, report

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
    shown = report(args.epochs, n_batches=-(-len(x) // args.batch_size))
    sizes = "-".join(map(str, model.sizes))
    print(
        f"MLP {sizes}, {model.parameters().size:,} parameters, "
        f"{counted(get_num_threads(), 'thread')}\n"
        f"{len(x):,} training images, {len(x_test)} test images"
    )
    start = time.perf_counter()
    with shown:
        # Evaluated after each epoch for the report alone: training does not depend on them.
        history = fit(
            model,
            x,
            y,
            optimizer=optim.AdamW(model.parameters(), lr=args.lr),
            epochs=args.epochs,
            batch_size=args.batch_size,
            validation_data=(x_test, y_test),
            seed=rng,
            callbacks=[shown],
            comm=args.comm,
            verbose=0,
        )
    seconds = time.perf_counter() - start
    ended = "interrupted after" if history.interrupted else "trained for"
    print(f"{ended} {len(history.epoch)} of {args.epochs} epochs in {seconds:.2f} s")
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
    if args.plot and history.epoch:
        from ..plot import loss_curve

        loss_curve(history, args.plot, validation_label="test")
        print(f"curves written to {args.plot}")
    return history.interrupted
