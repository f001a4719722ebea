"""The command `fastnn`: train a model on the digits, use it, and see what runs where.

What a command needs is imported when it runs, so that the command line answers at once.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from typing import NoReturn

from .errors import UsageError

# With the seeds 0 to 39 these read 352 to 356 of the 360 held-out digits (98.2 % on average), after
# 0.2 s of training on two cores.
DEFAULT_EPOCHS = 30
DEFAULT_BATCH_SIZE = 32
DEFAULT_LR = 3e-3
DEFAULT_HIDDEN = (256, 128)

# Of one hidden layer: 17 MB of first weights; wider is a slip of the keyboard.
MOST_UNITS = 65536

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


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
        The exit code: 0; 2 after one line on stderr for bad options, bad files and missing extras;
        130 after Ctrl-C.
    """
    try:
        args = _parser().parse_args(argv)
        if args.command == "train":
            from .digits import train

            return EXIT_INTERRUPTED if train(args) else 0
        if args.command == "predict":
            from .predict import predict

            predict(args.model, args.digit)
        else:
            from .info import info

            info(as_json=args.json)
    except (UsageError, OSError, ModuleNotFoundError, MemoryError) as error:
        print("fastnn: error:", _one_line(error), file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("fastnn: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _one_line(error: BaseException) -> str:
    message = str(error)
    if isinstance(error, OSError) and error.strerror:  # str(error) begins with its number
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(message.split()) or "out of memory"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastnn", description="Neural networks on CPUs.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    _add_train(commands.add_parser("train", help="train a model and save it"))
    command = commands.add_parser("predict", help="show a digit and what a model takes it for")
    command.add_argument("model", metavar="MODEL", help="a file written by `fastnn train digits`")
    command.add_argument(
        "--digit", type=int, required=True, metavar="I", help="index of the image, 0 to 1796"
    )
    command = commands.add_parser("info", help="version, compiler, instruction sets, threads")
    command.add_argument("--json", action="store_true", help="as one JSON object")
    return parser


def _add_train(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "task", choices=["digits"], help="1,797 handwritten digits of 8 x 8 pixels"
    )
    command.add_argument(
        "--epochs", type=_count, default=DEFAULT_EPOCHS, metavar="N", help="default: %(default)s"
    )
    command.add_argument(
        "--batch-size",
        type=_count,
        default=DEFAULT_BATCH_SIZE,
        metavar="N",
        help="images per step (default: %(default)s)",
    )
    command.add_argument(
        "--lr",
        type=_rate,
        default=DEFAULT_LR,
        metavar="F",
        help="learning rate of AdamW (default: %(default)s)",
    )
    command.add_argument(
        "--hidden",
        type=_units,
        nargs="+",
        default=list(DEFAULT_HIDDEN),
        metavar="N",
        help="units of each hidden layer (default: 256 128)",
    )
    command.add_argument(
        "--seed",
        type=_seed,
        default=0,
        metavar="N",
        help="of the first weights and the order of the images (default: %(default)s)",
    )
    command.add_argument("--threads", type=_count, metavar="N", help="default: see `fastnn info`")
    command.add_argument(
        "--output",
        default="digits.safetensors",
        metavar="FILE",
        help="where the model goes (default: %(default)s)",
    )
    command.add_argument("--plot", metavar="FILE.png", help="draw loss and accuracy per epoch")


def _integer(text: str, low: int, high: float = math.inf) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        limits = f"from {low} to {high}" if high < math.inf else f"of at least {low}"
        raise argparse.ArgumentTypeError(f"must be an integer {limits}, got {text!r}")
    return value


def _count(text: str) -> int:
    return _integer(text, 1)


def _units(text: str) -> int:
    return _integer(text, 1, MOST_UNITS)


def _seed(text: str) -> int:
    return _integer(text, 0)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value
