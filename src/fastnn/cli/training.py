"""What the trainings of an MLP share: `fastnn train digits` and `fastnn train csv`."""

from __future__ import annotations

import argparse
import time
from typing import Any

from numpy.typing import NDArray

from .. import nn, optim
from ..kernels.ground.threads import get_num_threads
from ..train import History, fit
from .report import counted, report


def trained(
    args: argparse.Namespace,
    model: nn.Module,
    sizes: tuple[int, ...],
    examples: str,
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    every: int = 1,
    **options: Any,
) -> tuple[History, float]:
    """Train with AdamW and print the model, the `examples` in words, progress and time.

    Return the history and the seconds it took.

    `every` is that of `report`; options are those of `fit`.
    """
    shown = report(args.epochs, -(-len(x) // args.batch_size), every)
    print(
        f"MLP {'-'.join(map(str, sizes))}, {model.parameters().size:,} parameters, "
        f"{counted(get_num_threads(), 'thread')}\n{examples}"
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
            callbacks=[shown],
            comm=args.comm,
            verbose=0,
            **options,
        )
    seconds = time.perf_counter() - start
    ended = "interrupted after" if history.interrupted else "trained for"
    print(f"{ended} {len(history.epoch)} of {args.epochs} epochs in {seconds:.2f} s")
    return history, seconds


def draw(args: argparse.Namespace, history: History) -> None:
    """Plot the curves of the epochs, if asked for and any was finished."""
    if args.plot and history.epoch:
        from ..plot import loss_curve

        loss_curve(history, args.plot, validation_label="test")
        print(f"curves written to {args.plot}")
