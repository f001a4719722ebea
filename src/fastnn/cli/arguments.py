"""Texts of the command line as numbers: types for argparse, with errors that say what is allowed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..checks import check_count, check_number, check_seed

# Of one hidden layer: 17 MB of first weights; wider is a slip of the keyboard.
MOST_UNITS = 65536


def _reader(parse: Callable[[str], Any], check: Callable[..., Any], **limits: Any) -> Any:
    """A type for argparse: what `check` returns for the parsed text."""

    def read(text: str) -> Any:
        try:
            value = parse(text)
        except ValueError:
            value = text  # the check says what it should have been
        try:
            return check("", value, **limits)
        except (TypeError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error).strip()) from None

    return read


count = _reader(int, check_count)
count_or_0 = _reader(int, check_count, low=0)
units = _reader(int, check_count, high=MOST_UNITS)
seed = _reader(int, check_seed)
rate = _reader(float, check_number, above=0)
not_negative = _reader(float, check_number, least=0)
share = _reader(float, check_number, least=0, below=1)


def delimiter(text: str) -> str:
    """One character; `tab` and `\\t` are the tab."""
    character = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if len(character) != 1 or character in '\r\n"':
        raise argparse.ArgumentTypeError(f"must be one character, got {text!r}")
    return character
