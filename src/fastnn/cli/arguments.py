"""Types for argparse: numbers and texts, with errors that say what is allowed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..checks import check_count, check_number, check_seed

# Of one hidden layer: 17 MB of first weights; wider is a slip of the keyboard.
MOST_UNITS = 65536

# Of `models.beam_search`; importing that here would take its time from every command.
MOST_PENALTY = 32.0


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
penalty = _reader(float, check_number, least=0, most=MOST_PENALTY)


def text(text: str) -> str:
    """What a terminal gave as bytes that are not UTF-8 is no text: no file and no model has it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"must be UTF-8 text, got {text!r:.80}") from None
    return text


def delimiter(text: str) -> str:
    """One character; `tab` and `\\t` are the tab."""
    character = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if len(character) != 1 or character in '\r\n"':
        raise argparse.ArgumentTypeError(f"must be one character, got {text!r:.80}")
    return character
