"""Argument types for argparse, whose errors say which values are allowed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..checks import check_count, check_number, check_seed

# Sanity limit for the width of a layer.
MOST_UNITS = 65536

# Limit of `models.beam_search`, which is not imported here because every command would wait.
MOST_PENALTY = 32.0


def _reader(parse: Callable[[str], Any], check: Callable[..., Any], **limits: Any) -> Any:
    """Return an argparse type that parses a text, then validates the value with `check`."""

    def read(text: str) -> Any:
        try:
            value = parse(text)
        except ValueError:
            value = text  # `check` raises the error and says what is allowed
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

WEIGHTS = ("bf16", "int8", "int8_g32")
THREADS = ("threads", count, None, "default: see `fastnn info`")


def add_numbers(
    command: argparse.ArgumentParser,
    options: Iterable[tuple[str, Any, Any, str]],
    aliases: Mapping[str, str] | None = None,
) -> None:
    """Add options of one number: (name, type, default, help), whose help ends with the default.

    A name with underscores, as in nanoGPT, may be written with dashes too.
    """
    for name, kind, default, about in options:
        names = [f"--{name}", f"--{name.replace('_', '-')}", (aliases or {}).get(name)]
        metavar = "N" if kind in (count, count_or_0, units, seed) else "F"
        if default is not None and "default:" not in about:
            about = f"{about} (default: %(default)s)"
        command.add_argument(
            *dict.fromkeys(filter(None, names)),
            dest=name.replace("-", "_"),
            type=kind,
            default=default,
            metavar=metavar,
            help=about,
        )


def add_weights(command: argparse.ArgumentParser, default: str = "those of MODEL") -> None:
    """Add `--weights`."""
    about = f"compute with weights of 16 or 8 bits (default: {default})"
    command.add_argument("--weights", choices=WEIGHTS, help=about)


def text(text: str) -> str:
    """Return the text; reject surrogates, which stand for bytes that are not valid UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"must be UTF-8 text, got {text!r:.80}") from None
    return text


def delimiter(text: str) -> str:
    """Return the delimiter, one character; `tab` and `\\t` mean a tab."""
    character = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if len(character) != 1 or character in '\r\n"':
        raise argparse.ArgumentTypeError(f"must be one character, got {text!r:.80}")
    return character


def encoding(name: str) -> str:
    """Return the name of an encoding of text that Python knows."""
    try:
        "a".encode(name).decode(name)
    except (LookupError, ValueError):
        known = "utf-8, cp1252, latin-1, utf-16, shift_jis"
        raise argparse.ArgumentTypeError(
            f"must be an encoding such as {known}, got {name!r:.80}"
        ) from None
    return name
