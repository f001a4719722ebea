"""Define the command line, with the options of digits and tables."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from .._version import __version__
from . import lm_options, translate_options
from .arguments import count, delimiter, rate, seed, share, text, units
from .parser import Extend, Parser
from .ranks import add_launch


def make_parser() -> Parser:
    """Return the parser of the whole command line."""
    about = "Train and run small neural networks on a CPU."
    parser = Parser(prog="fastnn", description=about)
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    _add_train(commands.add_parser("train", help="train a model and save it"))
    _add_predict(commands.add_parser("predict", help="predict with a model on a table or a digit"))
    lm_options.add_generate(
        commands.add_parser("generate", help="generate text with a trained model")
    )
    translate_options.add_translate(commands)
    add_launch(commands.add_parser("launch", help="run a script or a training on several ranks"))
    command = commands.add_parser("info", help="version, compiler, instruction sets, threads")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _add_train(command: argparse.ArgumentParser) -> None:
    tasks = command.add_subparsers(dest="task_name", metavar="task")
    about = "1,797 handwritten digits of 8 x 8 pixels"
    digits = tasks.add_parser("digits", help=about, description=about)
    about = "predict one column of a CSV file from the others"
    table = tasks.add_parser("csv", help=about, description=about)
    _add_table(table)
    for task, defaults in ((digits, DIGITS), (table, TABLE)):
        _add_training(task, defaults)
    about = "train a GPT-style language model on a text file"
    lm_options.add_train(tasks.add_parser("lm", help=about, description=about))
    translate_options.add_train(tasks)


class Defaults(NamedTuple):
    """Defaults of the options that digits and tables share."""

    epochs: int
    batch_size: int
    lr: float
    hidden: tuple[int, ...]
    output: str


# The defaults for digits; docs/tuning.md has the accuracy they reach.
DIGITS = Defaults(30, 32, 3e-3, (256, 128), "digits.safetensors")

# The best compromise over five small tables; longer training overfits (docs/tuning.md).
TABLE = Defaults(30, 32, 1e-3, (64, 64), "model.safetensors")


def _add_training(command: argparse.ArgumentParser, defaults: Defaults) -> None:
    command.add_argument(
        "--epochs", type=count, default=defaults.epochs, metavar="N", help="default: %(default)s"
    )
    command.add_argument(
        "--batch-size",
        type=count,
        default=defaults.batch_size,
        metavar="N",
        help="examples per step (default: %(default)s)",
    )
    command.add_argument(
        "--lr",
        type=rate,
        default=defaults.lr,
        metavar="F",
        help="learning rate of AdamW (default: %(default)s)",
    )
    command.add_argument(
        "--hidden",
        type=units,
        nargs="+",
        action=Extend,
        default=list(defaults.hidden),
        metavar="N",
        help=f"units of each hidden layer (default: {' '.join(map(str, defaults.hidden))})",
    )
    command.add_argument(
        "--seed",
        type=seed,
        default=0,
        metavar="N",
        help="random seed (default: %(default)s)",
    )
    command.add_argument("--threads", type=count, metavar="N", help="default: see `fastnn info`")
    command.add_argument(
        "--output",
        default=defaults.output,
        metavar="FILE",
        help="model file (default: %(default)s)",
    )
    command.add_argument("--plot", metavar="FILE.png", help="plot loss and accuracy per epoch")


def _add_table(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file", metavar="FILE", help="UTF-8 with a header, may be gzip; - is standard input"
    )
    command.add_argument(
        "--target", type=text, required=True, metavar="COLUMN", help="what to predict"
    )
    command.add_argument(
        "--task",
        choices=["auto", "classification", "regression"],
        default="auto",
        help="auto (the default): text, or a few whole numbers that repeat, are classes",
    )
    command.add_argument(
        "--drop",
        type=text,
        nargs="+",
        action=Extend,
        default=[],
        metavar="COLUMN",
        help="columns to ignore",
    )
    command.add_argument(
        "--decimal",
        choices=["auto", "point", "comma"],
        default="auto",
        help="3.14 or 3,14; auto (the default) is an error only if the numbers are ambiguous",
    )
    command.add_argument(
        "--test-size",
        type=share,
        default=0.2,
        metavar="F",
        help="fraction of the rows held out for the test (default: %(default)s)",
    )
    command.add_argument(
        "--dropout",
        type=share,
        default=0.0,
        metavar="F",
        help="fraction of the hidden units dropped in each step (default: none)",
    )
    _add_delimiter(command)


def _add_predict(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="a file written by `fastnn train`")
    command.add_argument(
        "file",
        nargs="?",
        metavar="FILE.csv",
        help="rows for a model of `fastnn train csv`; - is standard input",
    )
    command.add_argument(
        "--digit",
        type=int,
        metavar="I",
        help="index of an image, 0 to 1796, for a model of `fastnn train digits`",
    )
    command.add_argument("--output", metavar="OUT.csv", help="default: standard output")
    command.add_argument("--proba", action="store_true", help="add the probability of each class")
    _add_delimiter(command)


def _add_delimiter(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--delimiter",
        type=delimiter,
        metavar="C",
        help="between cells; default: detected among comma, semicolon, tab and bar",
    )
