"""Types for argparse: numbers and texts, with errors that say what is allowed."""

from __future__ import annotations

import argparse
import math

# Of one hidden layer: 17 MB of first weights; wider is a slip of the keyboard.
MOST_UNITS = 65536

# Of `models.beam_search`; importing that here would take its time from every command.
MOST_PENALTY = 32.0


def integer(text: str, low: int, high: float = math.inf) -> int:
    """A whole number from low to high."""
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        limits = f"from {low} to {high}" if high < math.inf else f"of at least {low}"
        raise argparse.ArgumentTypeError(f"must be an integer {limits}, got {text!r:.80}")
    return value


def count(text: str) -> int:
    """At least 1."""
    return integer(text, 1)


def units(text: str) -> int:
    """Of a layer."""
    return integer(text, 1, MOST_UNITS)


def seed(text: str) -> int:
    """What random numbers can be made of."""
    return integer(text, 0, 2**64 - 1)


def _number(text: str) -> float:
    """NaN, which no range has, for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def rate(text: str) -> float:
    """Above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r:.80}")
    return value


def not_negative(text: str) -> float:
    """At least 0."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text!r:.80}")
    return value


def penalty(text: str) -> float:
    """An exponent of lengths, as `models.beam_search` takes it."""
    value = _number(text)
    if not 0 <= value <= MOST_PENALTY:
        raise argparse.ArgumentTypeError(
            f"must be a number from 0 to {MOST_PENALTY:g}, got {text!r:.80}"
        )
    return value


def share(text: str) -> float:
    """From 0 to below 1."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to below 1, got {text!r:.80}")
    return value


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
