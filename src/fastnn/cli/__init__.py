"""The command `fastnn`: train models on digits, tables, texts and translations, use them, and see what runs where.

What a command needs is imported when it runs, so that the command line answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from . import lm_options, translate_options
from .arguments import count, delimiter, rate, seed, share, units
from .errors import UsageError

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_PIPE = 141  # 128 + SIGPIPE


class _Parser(argparse.ArgumentParser):
    """argparse prints its usage before an error; here an error is one line, printed by `main`."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name; `sys.argv[1:]` by default.

    Returns
    -------
    int
        The exit code: 0; 2 after one line on stderr for bad options, bad files, missing extras and
        texts that the output's encoding lacks; 130 after Ctrl-C; 141 where the reader of a pipe
        has gone.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            code = _run(_parser().parse_args(argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # what is still buffered has nowhere to go, and Python would try again at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except (UsageError, OSError, ModuleNotFoundError, MemoryError, UnicodeEncodeError) as error:
        print("fastnn: error:", _one_line(error), file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("fastnn: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _run(args: argparse.Namespace) -> int:
    if args.command == "train":
        return EXIT_INTERRUPTED if _train(args) else 0
    if args.command == "predict":
        _predict(args)
    elif args.command == "generate":
        from .generate import generate

        generate(args)
    elif args.command == "translate":
        from .translate import translate

        translate(args)
    else:
        from .info import info

        info(as_json=args.json)
    return 0


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """A warning in one line, without the place in the code that a program shows."""
    print("fastnn: warning:", message, file=sys.stderr)


def _train(args: argparse.Namespace) -> bool:
    if args.task_name == "digits":
        from .digits import train
    elif args.task_name == "lm":
        from .lm import train
    elif args.task_name == "translate":
        from .train_translate import train
    else:
        from .table import train
    return train(args)


def _predict(args: argparse.Namespace) -> None:
    if (args.file is None) == (args.digit is None):
        raise UsageError("predict needs a FILE.csv or --digit I, one of them")
    if args.digit is not None:
        from .predict import predict

        predict(args.model, args.digit)
    else:
        from .predict_table import predict as predict_table

        predict_table(args.model, args.file, args.output, args.proba, args.delimiter)


def _one_line(error: BaseException) -> str:
    message = str(error)
    if isinstance(error, OSError) and error.strerror:  # str(error) begins with its number
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(message.split()) or "out of memory"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastnn", description="Neural networks on CPUs.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    _add_train(commands.add_parser("train", help="train a model and save it"))
    _add_predict(commands.add_parser("predict", help="use a model on a table or a digit"))
    lm_options.add_generate(commands.add_parser("generate", help="text from a language model"))
    translate_options.add_translate(commands)
    command = commands.add_parser("info", help="version, compiler, instruction sets, threads")
    command.add_argument("--json", action="store_true", help="as one JSON object")
    return parser


def _add_train(command: argparse.ArgumentParser) -> None:
    tasks = command.add_subparsers(dest="task_name", required=True, metavar="task")
    about = "1,797 handwritten digits of 8 x 8 pixels"
    digits = tasks.add_parser("digits", help=about, description=about)
    about = "predict one column of a CSV file from the others"
    table = tasks.add_parser("csv", help=about, description=about)
    _add_table(table)
    for task, defaults in ((digits, DIGITS), (table, TABLE)):
        _add_training(task, defaults)
    about = "a language model that goes on with texts"
    lm_options.add_train(tasks.add_parser("lm", help=about, description=about))
    translate_options.add_train(tasks)


class Defaults(NamedTuple):
    """Of the options that all training commands have."""

    epochs: int
    batch_size: int
    lr: float
    hidden: tuple[int, ...]
    output: str


# With the seeds 0 to 39 these read 352 to 356 of the 360 held-out digits (98.2 % on average), after
# 0.2 s of training on two cores.
DIGITS = Defaults(30, 32, 3e-3, (256, 128), "digits.safetensors")

# Of 30 and 100 epochs with 1e-3 and 3e-3 the best on iris, wine, breast cancer, diabetes and digits
# together (two seeds): more lowers R2 on diabetes from 0.50 to 0.30 and gains 0.1 % on digits.
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
        default=list(defaults.hidden),
        metavar="N",
        help=f"units of each hidden layer (default: {' '.join(map(str, defaults.hidden))})",
    )
    command.add_argument(
        "--seed",
        type=seed,
        default=0,
        metavar="N",
        help="of the first weights and the order of the examples (default: %(default)s)",
    )
    command.add_argument("--threads", type=count, metavar="N", help="default: see `fastnn info`")
    command.add_argument(
        "--output",
        default=defaults.output,
        metavar="FILE",
        help="where the model goes (default: %(default)s)",
    )
    command.add_argument("--plot", metavar="FILE.png", help="draw loss and accuracy per epoch")


def _add_table(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="UTF-8, with a header")
    command.add_argument("--target", required=True, metavar="COLUMN", help="what to predict")
    command.add_argument(
        "--task",
        choices=["auto", "classification", "regression"],
        default="auto",
        help="auto (the default) takes texts, and few whole numbers that repeat, for classes",
    )
    command.add_argument(
        "--drop", nargs="+", default=[], metavar="COLUMN", help="columns not to learn from"
    )
    command.add_argument(
        "--test-size",
        type=share,
        default=0.2,
        metavar="F",
        help="share of the rows held out for the test (default: %(default)s)",
    )
    command.add_argument(
        "--dropout",
        type=share,
        default=0.0,
        metavar="F",
        help="share of the hidden units dropped in each step (default: none)",
    )
    _add_delimiter(command)


def _add_predict(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="a file written by `fastnn train`")
    command.add_argument(
        "file", nargs="?", metavar="FILE.csv", help="rows for a model of `fastnn train csv`"
    )
    command.add_argument(
        "--digit",
        type=int,
        metavar="I",
        help="index of an image, 0 to 1796, for a model of `fastnn train digits`",
    )
    command.add_argument("--output", metavar="OUT.csv", help="by default the terminal")
    command.add_argument(
        "--proba", action="store_true", help="the probability of each class beside the prediction"
    )
    _add_delimiter(command)


def _add_delimiter(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--delimiter",
        type=delimiter,
        metavar="C",
        help="between cells; by default the comma, semicolon, tab or bar that the header has most",
    )
