"""Define the command line, with the options of digits and tables."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from .._version import __version__
from . import lm_options, table_options, translate_options
from .arguments import count, rate, seed, units
from .parser import Extend, Parser
from .ranks import add_launch


def make_parser(with_bench: bool = False) -> Parser:
    """Return the parser of the whole command line; the options of `bench` are loaded if asked."""
    about = "Train and run small neural networks on a CPU."
    parser = Parser(prog="fastnn", description=about)
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    _add_train(commands.add_parser("train", help="train a model and save it"))
    table_options.add_predict(
        commands.add_parser("predict", help="predict with a model on a table or a digit")
    )
    lm_options.add_generate(
        commands.add_parser("generate", help="generate text with a trained model")
    )
    translate_options.add_translate(commands)
    add_launch(commands.add_parser("launch", help="run a script or a training on several ranks"))
    about = "compare fastnn with other libraries, and write a report"
    bench = commands.add_parser("bench", help=about, description=about)
    if with_bench:
        from ..bench.command import add_arguments

        add_arguments(bench)
    command = commands.add_parser("info", help="version, compiler, instruction sets, threads")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _add_train(command: argparse.ArgumentParser) -> None:
    tasks = command.add_subparsers(dest="task_name", metavar="task")
    about = "1,797 handwritten digits of 8 x 8 pixels"
    digits = tasks.add_parser("digits", help=about, description=about)
    about = "predict one column of a CSV file from the others"
    table = tasks.add_parser("csv", help=about, description=about)
    table_options.add_train(table)
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
