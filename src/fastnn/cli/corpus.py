"""Read parallel corpora with one sentence per line, and hold out pairs for validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np

from ..data.text_file import STDIN, TextFileError, decoded, read_content, shown_name
from .errors import UsageError
from .report import counted

P = ParamSpec("P")
T = TypeVar("T")

# Maximum number of held-out pairs: they are evaluated after every epoch.
MOST_HELD_OUT = 2000


class Pairs(NamedTuple):
    """Sentences and their translations."""

    src: list[str]
    tgt: list[str]

    def take(self, rows: Iterable[int]) -> Pairs:
        """Return the pairs of the given rows."""
        rows = list(rows)
        return Pairs([self.src[i] for i in rows], [self.tgt[i] for i in rows])


def read_by(read: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call a function of `data.text_file`; its TextFileError becomes a UsageError."""
    try:
        return read(*args, **options)
    except TextFileError as error:
        raise UsageError(str(error)) from error


def sentences(content: bytes, name: str, before: int = 0) -> list[str]:
    """Return the lines of a text with single spaces between words; UsageError if not UTF-8.

    Only a newline ends a line; other Unicode line separators may occur within one. Line numbers
    in errors include the `before` lines that were read earlier.
    """
    text = read_by(decoded, content, name, before)
    return [" ".join(line.split()) for line in text.removesuffix("\n").split("\n")]


def read_pairs(src: str, tgt: str) -> Pairs:
    """Return the pairs of two files that have both sides; UsageError if the files do not match."""
    if src == tgt == STDIN:
        raise UsageError("--src and --tgt cannot both be the standard input")
    sides = [sentences(read_by(read_content, path), shown_name(path)) for path in (src, tgt)]
    if len(sides[0]) != len(sides[1]):
        raise UsageError(
            f"{src} has {counted(len(sides[0]), 'line')} and {tgt} has {len(sides[1]):,}: "
            "each line must be the translation of the same line of the other file"
        )
    pairs = Pairs(*sides)
    full = [i for i, (a, b) in enumerate(zip(*pairs, strict=True)) if a and b]
    if not full:
        raise UsageError(f"{src} and {tgt} have no line with text in both")
    if len(full) < len(pairs.src):
        print(f"{src}: {counted(len(pairs.src) - len(full), 'pair')} with an empty side left out")
    return pairs.take(full)


def hold_out(pairs: Pairs, share: float, seed: int) -> tuple[Pairs, Pairs]:
    """Return training and validation pairs: at least one for validation unless `share` is 0."""
    n = len(pairs.src)
    held = min(max(round(share * n), 1), MOST_HELD_OUT) if share else 0
    if held >= n:
        raise UsageError(f"no training pairs left: {held} of {n} are held out for validation")
    order = np.random.default_rng(seed).permutation(n).tolist()
    return pairs.take(sorted(order[held:])), pairs.take(sorted(order[:held]))
