"""What the trainings of an MLP share: `fastnn train digits` and `fastnn train csv`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
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
    held: str = "test",
    callbacks: Sequence[Any] = (),
    **options: Any,
) -> tuple[History, float]:
    """Train with AdamW and print the model, the `examples` in words, progress and time.

    Return the history and the seconds it took.

    `every` is that of `report`, `held` names the validation data; options are those of `fit`.
    """
    shown = report(args.epochs, -(-len(x) // args.batch_size), every)
    shown.held = held
    print(
        f"MLP {'-'.join(map(str, sizes))}, {model.parameters().size:,} parameters, "
        f"{counted(get_num_threads(), 'thread')}\n{examples}"
    )
    start = time.perf_counter()
    with shown:
        # Without `callbacks` they are evaluated for the report alone, and do not change training.
        history = fit(
            model,
            x,
            y,
            optimizer=optim.AdamW(model.parameters(), lr=args.lr),
            epochs=args.epochs,
            batch_size=args.batch_size,
            callbacks=[shown, *callbacks],
            comm=args.comm,
            verbose=0,
            **options,
        )
    seconds = time.perf_counter() - start
    if history.stopped:
        print(f"stopped: {history.stopped}")
    ended = "interrupted after" if history.interrupted else "trained for"
    print(f"{ended} {len(history.epoch)} of {args.epochs} epochs in {seconds:.2f} s")
    return history, seconds


def draw(args: argparse.Namespace, history: History, held: str = "test") -> None:
    """Plot the curves of the epochs, if asked for and any was finished."""
    if args.plot and history.epoch:
        from ..plot import loss_curve

        loss_curve(history, args.plot, validation_label=held)
        print(f"curves written to {args.plot}")
