"""argparse with one-line errors, suggestions for typos, and repeatable options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from ..checks import did_you_mean
from .errors import UsageError


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError, where argparse prints its usage and exits.

    The parsed arguments have the parser of the innermost command as `parser`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        words = re.findall(r"[\w.-]+", choice[2]) if choice else []
        hint = did_you_mean(choice[1], words, quoted=False) if choice else ""
        raise UsageError(message + hint)


def parse(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """Return the parsed arguments; UsageError for an option that the command does not have."""
    for text in argv:
        if "\0" in text:
            raise UsageError(f"an argument has a NUL character: {text!r:.80}")
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        options = list(args.parser._option_string_actions)
        name = unknown[0].partition("=")[0]
        raise UsageError(f"unrecognized argument {name}{did_you_mean(name, options, quoted=False)}")
    return args


class Extend(argparse.Action):
    """Collect the values of every occurrence of an option; they replace the default."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*(() if before is self.default else before), *values])
