"""`fastnn train digits`: an MLP learns to read handwritten digits."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from typing import Any

import numpy as np

from .. import nn, optim
from ..data import load_digits
from ..kernels.threads import get_num_threads, num_threads
from ..train import evaluate, fit, save
from ..train.atomic import check_writable
from .errors import UsageError

N_PIXELS, N_CLASSES = 64, 10


def train(args: argparse.Namespace) -> bool:
    """Train, test, save and draw; True when Ctrl-C ended the training early.

    Whatever may be wrong with the options or the installation is found out before the training.
    """
    _check(args)
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        return _train(args)


def _check(args: argparse.Namespace) -> None:
    try:
        import safetensors  # noqa: F401 (saving needs it, which would be too late to find out)
    except ModuleNotFoundError as error:
        raise UsageError("saving models needs safetensors: pip install 'fastnn[cli]'") from error
    check_writable(args.output)
    if args.plot:
        from ..plot import check_plot

        try:
            check_plot(args.plot)
        except ValueError as error:
            raise UsageError(str(error)) from error


def _train(args: argparse.Namespace) -> bool:
    x, y = load_digits(split="train")
    x_test, y_test = load_digits(split="test")
    rng = np.random.default_rng(args.seed)
    model = nn.MLP((N_PIXELS, *args.hidden, N_CLASSES), rng=rng)
    report = _report(args.epochs, n_batches=-(-len(x) // args.batch_size))
    sizes = "-".join(map(str, model.sizes))
    print(
        f"MLP {sizes}, {model.parameters().size:,} parameters, threads: {get_num_threads()}\n"
        f"{len(x):,} training images, {len(x_test)} test images"
    )
    start = time.perf_counter()
    with report:
        # The test images are looked at after each epoch; nothing is learnt from them.
        history = fit(
            model,
            x,
            y,
            optimizer=optim.AdamW(model.parameters(), lr=args.lr),
            epochs=args.epochs,
            batch_size=args.batch_size,
            validation_data=(x_test, y_test),
            seed=rng,
            callbacks=[report],
            verbose=0,
        )
    seconds = time.perf_counter() - start
    ended = "interrupted after" if history.interrupted else "trained for"
    print(f"{ended} {len(history.epoch)} of {args.epochs} epochs in {seconds:.2f} s")
    _, accuracy = evaluate(model, x_test, y_test)
    assert accuracy is not None  # the labels are classes
    n_right = round(accuracy * len(y_test))
    print(f"test accuracy {100 * accuracy:.1f} % ({n_right} of {len(y_test)})")
    save(model, args.output)
    print(f"model saved to {args.output}")
    if args.plot and history.epoch:
        from ..plot import loss_curve

        loss_curve(history, args.plot, validation_label="test")
        print(f"curves drawn in {args.plot}")
    return history.interrupted


def _report(n_epochs: int, n_batches: int) -> Any:
    """A live progress bar on a terminal, else one plain line per epoch; both as callbacks."""
    return _Bar(n_epochs, n_batches) if sys.stdout.isatty() else _Lines(n_epochs)


def _line(epoch: int, n_epochs: int, logs: dict[str, float]) -> str:
    width = len(str(n_epochs))
    return (
        f"epoch {epoch + 1:{width}d}/{n_epochs}"
        f"  loss {logs['loss']:.4f}  accuracy {100 * logs['accuracy']:5.1f} %"
        f"  test loss {logs['val_loss']:.4f}  accuracy {100 * logs['val_accuracy']:5.1f} %"
    )


class _Lines:
    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        print(_line(epoch, self.n_epochs, logs), flush=True)


class _Bar:
    """The lines, and below them a bar that moves with every batch."""

    def __init__(self, n_epochs: int, n_batches: int) -> None:
        try:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )
        except ModuleNotFoundError as error:
            raise UsageError("the progress bar needs rich: pip install 'fastnn[cli]'") from error
        self.n_epochs = n_epochs
        self.progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("batches  loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
            transient=True,
        )
        self.task = self.progress.add_task("", total=n_epochs * n_batches, loss=float("nan"))

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.progress.update(self.task, advance=1, loss=logs["loss"])

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.progress.console.print(_line(epoch, self.n_epochs, logs), highlight=False)
