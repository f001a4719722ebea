"""Commands on several ranks: `fastnn launch`, and training commands started by it."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ..data.text_file import STDIN
from .arguments import count
from .errors import UsageError

# Options of training commands that may name the standard input.
_INPUTS = ("file", "text", "src", "tgt", "valid_src", "valid_tgt")


def add_launch(command: argparse.ArgumentParser) -> None:
    """Add the options of `fastnn launch`."""
    command.add_argument("-n", type=count, required=True, metavar="N", help="number of ranks")
    command.add_argument(
        "--hosts", metavar="FILE", help="lines NAME:RANKS; by default all ranks run on this machine"
    )
    command.add_argument(
        "--shards",
        type=_shards,
        default="8",
        metavar="N",
        help="parts of a batch: the same number gives the same bits on any number of ranks; "
        "'ranks' is fastest (default: %(default)s)",
    )
    command.add_argument(
        "program",
        nargs=argparse.REMAINDER,
        metavar="script.py ... | train ...",
        help="a script, or a training command of fastnn, with its arguments",
    )


def launch(args: argparse.Namespace) -> int:
    """Run a script or a training command on several ranks; return its exit code."""
    from ..distributed.launch import launch as run
    from ..distributed.world import SHARDS_VARIABLE

    program = args.program
    if not program:
        raise UsageError("launch needs a script.py, or train ..., after its options")
    if program[0] == "train":
        program = ["-m", "fastnn", *program]
    elif not os.path.isfile(program[0]):
        raise UsageError(f"launch: there is no script {program[0]!r:.80}")
    os.environ[SHARDS_VARIABLE] = args.shards
    return run(program, args.n, args.hosts)


def _shards(text: str) -> str:
    return text if text == "ranks" else str(count(text))


@contextlib.contextmanager
def joined(args: argparse.Namespace) -> Iterator[None]:
    """Set `args.comm`; ranks other than the first print nothing in this context."""
    from ..distributed.world import is_launched, world

    args.comm = None
    if not is_launched():
        yield
        return
    try:
        args.comm = world()
    except (ValueError, RuntimeError) as error:
        raise UsageError(str(error)) from error
    if args.comm.size > 1 and STDIN in (getattr(args, name, None) for name in _INPUTS):
        raise UsageError("ranks cannot share the standard input: give a file")
    if is_first(args):
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def is_first(args: Any) -> bool:
    """True on the rank that writes the files, and without ranks."""
    return args.comm is None or args.comm.rank == 0


def shards_of(args: Any) -> dict[str, Any]:
    """Return the number of shards, which must be the same when a run is resumed."""
    return {"the number of shards (fastnn launch)": args.comm.shards if args.comm else None}
