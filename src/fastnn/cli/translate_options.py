"""The options of `fastnn train translate` and `fastnn translate`."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import count, penalty, rate, seed, share, units

# name: (type, default, help). The defaults are Transformer-Tiny's for Multi30k (Wu et al., "Good
# for misconceived reasons", ACL 2021), as bench/tasks/multi30k.py trains it on 29,000 pairs.
TRAINING: dict[str, tuple[Any, Any, str]] = {
    "vocab-size": (count, 10_000, "most pieces of words, of both languages together"),
    "d-model": (units, 128, "width of the model"),
    "n-heads": (count, 4, "heads of attention"),
    "n-layers": (count, 4, "blocks of the encoder, and of the decoder"),
    "d-ff": (units, 256, "units of the feed-forward networks"),
    "max-len": (count, 256, "most tokens of a sentence; longer pairs are left out"),
    "dropout": (share, 0.3, "share of units dropped in each step"),
    "label-smoothing": (share, 0.1, "share of a target given to all tokens"),
    "updates": (count, 8000, "steps of training, rounded up to whole epochs"),
    "max-tokens": (count, 4096, "tokens of a batch on either side, with padding"),
    "lr": (rate, 0.005, "highest learning rate of Adam"),
    "warmup": (count, 2000, "steps in which it rises, before it falls as 1 / sqrt(step)"),
    "ema": (share, 0.999, "decay of the average of the weights that is kept; 0 for none"),
    "valid-share": (share, 0.05, "share of the pairs held out where no files are given"),
    "seed": (seed, 0, "of the first weights, dropout, batches and what is held out"),
}


def add_train(tasks: Any) -> None:
    """The command `fastnn train translate`."""
    about = "translate sentences: an encoder-decoder Transformer on pairs of lines of two files"
    command: argparse.ArgumentParser = tasks.add_parser("translate", help=about, description=about)
    text = "UTF-8, one sentence per line, words and marks between spaces; - is standard input"
    command.add_argument("--src", required=True, metavar="FILE", help=text)
    command.add_argument("--tgt", required=True, metavar="FILE", help="its translation, by lines")
    command.add_argument("--valid-src", metavar="FILE", help="to measure the model on")
    command.add_argument("--valid-tgt", metavar="FILE", help="its translation, by lines")
    for name, (kind, default, about) in TRAINING.items():
        metavar = "F" if kind in (share, rate) else "N"
        about = f"{about} (default: %(default)s)"
        command.add_argument(f"--{name}", type=kind, default=default, metavar=metavar, help=about)
    _add_threads(command)
    command.add_argument(
        "--output",
        default="translate.safetensors",
        metavar="FILE",
        help="where the model goes, and the run in FILE.run (default: %(default)s)",
    )
    command.add_argument(
        "--resume", action="store_true", help="go on from FILE.run, with the same files and options"
    )
    command.add_argument(
        "--plot", metavar="FILE.png", help="draw what a translation attends to in its source"
    )


def add_translate(commands: Any) -> None:
    """The command `fastnn translate`."""
    about = "translate FILE (or standard input), line by line"
    command: argparse.ArgumentParser = commands.add_parser(
        "translate", help=about, description=about
    )
    command.add_argument("model", metavar="MODEL", help="written by `fastnn train translate`")
    command.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="UTF-8, one sentence per line; default: standard input",
    )
    command.add_argument(
        "--beams",
        type=count,
        default=5,
        metavar="N",
        help="beam width; 1 is fastest (default: %(default)s)",
    )
    command.add_argument(
        "--length-penalty",
        type=penalty,
        default=1.0,
        metavar="F",
        help="the best has the highest log P / length^F (default: %(default)s)",
    )
    _add_threads(command)
    command.add_argument("--output", metavar="OUT", help="default: standard output")


def _add_threads(command: argparse.ArgumentParser) -> None:
    command.add_argument("--threads", type=count, metavar="N", help="default: see `fastnn info`")
