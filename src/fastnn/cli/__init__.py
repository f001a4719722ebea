"""Train models on digits, tables, texts and translations, and use them: the command `fastnn`.

Each command imports what it needs when it runs, so that the command line starts quickly.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence

from .errors import Failure, UsageError
from .options import make_parser
from .parser import parse
from .streams import (
    check_stdout,
    complain,
    escape_stdout,
    give_up,
    open_streams,
)

EXIT_FAILURE = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_PIPE = 141  # 128 + SIGPIPE

# Longest error message, in characters: arguments and names of columns may be of any length.
LONGEST = 1000

# Task of `train` -> module that trains it.
TRAINERS = {"digits": "digits", "csv": "table", "lm": "lm", "translate": "train_translate"}

# Errors that are not bugs in fastnn: reported in one line, without a traceback.
TOLD = (UsageError, OSError, ModuleNotFoundError, MemoryError, UnicodeEncodeError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; default: `sys.argv[1:]`.

    Returns
    -------
    int
        The exit code: 0 for success; 2, after one line on stderr, for bad options or files,
        missing extras, closed streams, and text that the output's encoding cannot represent; 1,
        after one line, for work that failed: no memory, a full disk, a training that diverged; 130
        after Ctrl-C; 141 if the reader of a pipe has exited.
    """
    with open_streams() as closed:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                given = sys.argv[1:] if argv is None else argv
                args = parse(make_parser(with_bench="bench" in given[:1]), given)
                args.result = {}
                with _silence(args):
                    code = _run(args, closed)
                if getattr(args, "json", False):
                    print(json.dumps(args.result, indent=2, default=str))
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            give_up(sys.stdout)
            return EXIT_PIPE
        except TOLD as error:
            check_stdout()
            complain(f"fastnn: error: {_one_line(error)}")
            return EXIT_FAILURE if _is_failure(error) else EXIT_ERROR
        except KeyboardInterrupt:
            complain("fastnn: interrupted")
            return EXIT_INTERRUPTED


def _run(args: argparse.Namespace, closed: bool) -> int:
    if args.command is None or (args.command == "train" and args.task_name is None):
        args.parser.print_help()
        return 0
    if args.command == "train":
        escape_stdout()
        from .ranks import joined

        with joined(args):
            return EXIT_INTERRUPTED if _function(TRAINERS[args.task_name], "train")(args) else 0
    if args.command == "launch":
        return _function("ranks", "launch")(args) or 0
    if closed and getattr(args, "output", None) is None:
        raise UsageError("the standard output is closed: there is nowhere to write to")
    module = args.command
    if module == "predict":
        if (args.file is None) == (args.digit is None):
            raise UsageError("predict needs either FILE.csv or --digit I")
        module = "predict" if args.file is None else "predict_table"
    return _function(module, args.command)(args) or 0


def _function(module: str, name: str) -> Callable[[argparse.Namespace], int | None]:
    """Import a module of this package and return the function that runs a command."""
    found = importlib.import_module(f"{__package__}.{module}")
    function: Callable[[argparse.Namespace], int | None] = getattr(found, name)
    return function


@contextlib.contextmanager
def _silence(args: argparse.Namespace) -> Iterator[None]:
    """Discard what is printed, with `--quiet` or `--json`."""
    if not (getattr(args, "quiet", False) or getattr(args, "json", False)):
        yield
        return
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _is_failure(error: BaseException) -> bool:
    """True if the request was in order but the work failed."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    return full or isinstance(error, (Failure, MemoryError))


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning in one line, without its location in the code."""
    complain(f"fastnn: warning: {message}")


def _one_line(error: BaseException) -> str:
    message = str(error)
    if isinstance(error, OSError) and error.strerror:  # str(error) begins with errno
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    message = " ".join(message.split()) or "out of memory"
    return message if len(message) <= LONGEST else f"{message[: LONGEST // 2]} ... {message[-200:]}"
