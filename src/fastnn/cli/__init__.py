"""The command `fastnn`: train models on digits, tables, texts and translations, and use them.

What a command needs is imported when it runs, so that the command line answers at once.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence

from .errors import UsageError
from .options import make_parser
from .parser import parse
from .streams import (
    check_stdout,
    complain,
    escape_stdout,
    give_up_stdout,
    open_streams,
)

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_PIPE = 141  # 128 + SIGPIPE

# Characters of an error: an argument, the name of a column or a class may have any number.
LONGEST = 1000

# What a command may meet that is no mistake of ours: it is told in one line.
TOLD = (UsageError, OSError, ModuleNotFoundError, MemoryError, UnicodeEncodeError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name; `sys.argv[1:]` by default.

    Returns
    -------
    int
        The exit code: 0; 2 after one line on stderr for bad options, bad files, missing extras,
        streams that are full or closed, and texts that the output's encoding lacks; 130 after
        Ctrl-C; 141 where the reader of a pipe has gone.
    """
    with open_streams() as closed:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                args = parse(make_parser(), sys.argv[1:] if argv is None else argv)
                code = _run(args, closed)
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            give_up_stdout()
            return EXIT_PIPE
        except TOLD as error:
            check_stdout()
            complain(f"fastnn: error: {_one_line(error)}")
            return EXIT_ERROR
        except KeyboardInterrupt:
            complain("fastnn: interrupted")
            return EXIT_INTERRUPTED


def _run(args: argparse.Namespace, closed: bool) -> int:
    if args.command is None or (args.command == "train" and args.task_name is None):
        args.parser.print_help()
        return 0
    if args.command == "train":
        escape_stdout()
        return EXIT_INTERRUPTED if _train(args) else 0
    if closed and getattr(args, "output", None) is None:
        raise UsageError("the standard output is closed: there is nowhere to write to")
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
    complain(f"fastnn: warning: {message}")


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
    message = " ".join(message.split()) or "out of memory"
    return message if len(message) <= LONGEST else f"{message[: LONGEST // 2]} ... {message[-200:]}"
