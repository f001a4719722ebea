"""Print a completion script: `fastnn completion bash`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from .errors import UsageError
from .options import make_parser

# Metavars of arguments that are files.
FILES = ("FILE", "MODEL", "OUT", "FILE.png", "FILE.csv", "OUT.csv", "REFERENCE")


def completion(args: argparse.Namespace) -> None:
    """Print the script that shtab makes of the parser of the whole command line."""
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise UsageError("completion needs shtab: pip install 'fastnn-cpu[cli]'") from error
    parser = make_parser(with_bench=True)
    for action in _actions(parser):
        if action.help == argparse.SUPPRESS:  # hidden from the help, where groups are shown
            action.help = None
        if action.metavar in FILES:
            setattr(action, "complete", shtab.FILE)  # noqa: B010 (argparse does not know it)
    print(shtab.complete(parser, args.shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Iterate over the arguments of all commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
