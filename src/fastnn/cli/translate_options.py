"""Define the options of `fastnn train translate` and `fastnn translate`."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import (
    THREADS,
    add_numbers,
    add_weights,
    count,
    penalty,
    rate,
    seed,
    share,
    units,
)

# (name, type, default, help). The defaults are Transformer-Tiny's for Multi30k (Wu et al., "Good
# for misconceived reasons", ACL 2021), as bench/tasks/multi30k.py trains it on 29,000 pairs.
TRAINING: tuple[tuple[str, Any, Any, str], ...] = (
    ("vocab-size", count, 10_000, "maximum vocabulary size, shared by both languages"),
    ("d-model", units, 128, "width of the model"),
    ("n-heads", count, 4, "attention heads"),
    ("n-layers", count, 4, "encoder blocks, and decoder blocks"),
    ("d-ff", units, 256, "hidden units of the feed-forward networks"),
    ("max-len", count, 256, "maximum tokens per sentence; longer pairs are left out"),
    ("dropout", share, 0.3, "fraction of the units dropped in each step"),
    ("label-smoothing", share, 0.1, "target probability spread over all tokens"),
    ("updates", count, 8000, "training steps, rounded up to whole epochs"),
    ("max-tokens", count, 4096, "tokens per batch on either side, padding included"),
    ("lr", rate, 0.005, "peak learning rate of Adam"),
    ("warmup", count, 2000, "warm-up steps, before the rate falls as 1 / sqrt(step)"),
    ("ema", share, 0.999, "decay of the weight average that is saved; 0: off"),
    ("valid-share", share, 0.05, "fraction of the pairs held out without --valid-src"),
    ("seed", seed, 0, "random seed"),
)


def add_train(tasks: Any) -> None:
    """Add the command `fastnn train translate`."""
    about = "train an encoder-decoder Transformer on a file and its translation"
    command: argparse.ArgumentParser = tasks.add_parser("translate", help=about, description=about)
    text = "UTF-8, one sentence per line, tokens between spaces; - is standard input"
    command.add_argument("--src", required=True, metavar="FILE", help=text)
    command.add_argument(
        "--tgt", required=True, metavar="FILE", help="its translation, line by line"
    )
    command.add_argument("--valid-src", metavar="FILE", help="validation sentences")
    command.add_argument("--valid-tgt", metavar="FILE", help="their translation, line by line")
    add_numbers(command, (*TRAINING, THREADS))
    command.add_argument(
        "--output",
        default="translate.safetensors",
        metavar="FILE",
        help="model file (default: %(default)s); FILE.run holds the run to resume",
    )
    command.add_argument(
        "--resume", action="store_true", help="resume the run in FILE.run with the same options"
    )
    command.add_argument(
        "--plot-attention",
        "--plot",
        dest="plot",
        metavar="FILE.png",
        help="save attention maps of a translation",
    )
    command.add_argument(
        "--plot-loss", metavar="FILE.png", help="plot the training and validation loss"
    )


def add_translate(commands: Any) -> None:
    """Add the command `fastnn translate`."""
    about = "translate FILE (or standard input), line by line"
    command: argparse.ArgumentParser = commands.add_parser(
        "translate", help=about, description=about
    )
    command.add_argument(
        "model", metavar="MODEL", help="a file written by `fastnn train translate`"
    )
    command.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="UTF-8, one sentence per line; default: standard input",
    )
    numbers = (
        ("beams", count, 5, "beam width; 1 is fastest"),
        ("length-penalty", penalty, 1.0, "rank translations by log P / length^F"),
        THREADS,
    )
    add_numbers(command, numbers)
    add_weights(command)
    command.add_argument("--output", metavar="OUT", help="default: standard output")
