"""Texts with a sentence a line: read, paired, and held out from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np

from ..data.text_file import STDIN, TextFileError, decoded, read_content, shown_name
from .errors import UsageError

P = ParamSpec("P")
T = TypeVar("T")

# Held-out pairs are measured after every epoch: more than this takes time and tells no more.
MOST_HELD_OUT = 2000


class Pairs(NamedTuple):
    """Sentences and their translations."""

    src: list[str]
    tgt: list[str]

    def take(self, rows: Iterable[int]) -> Pairs:
        """Those of some rows."""
        rows = list(rows)
        return Pairs([self.src[i] for i in rows], [self.tgt[i] for i in rows])


def read_by(read: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """What a function of `data.text_file` gives; UsageError for its TextFileError."""
    try:
        return read(*args, **options)
    except TextFileError as error:
        raise UsageError(str(error)) from error


def sentences(content: bytes, name: str, before: int = 0) -> list[str]:
    """The lines of a text, words apart by one space; UsageError if it is not UTF-8.

    Lines end with a newline alone: what else Unicode calls the end of a line may stand in one.
    In errors they are counted on from the `before` lines that came earlier.
    """
    text = read_by(decoded, content, name, before)
    return [" ".join(line.split()) for line in text.removesuffix("\n").split("\n")]


def read_pairs(src: str, tgt: str) -> Pairs:
    """The pairs of two files with both sides; UsageError where the files do not go together."""
    if src == tgt == STDIN:
        raise UsageError("--src and --tgt cannot both be the standard input")
    sides = [sentences(read_by(read_content, path), shown_name(path)) for path in (src, tgt)]
    if len(sides[0]) != len(sides[1]):
        raise UsageError(
            f"{src} has {len(sides[0]):,} lines and {tgt} has {len(sides[1]):,}: "
            "a line of one is the translation of that line of the other"
        )
    pairs = Pairs(*sides)
    full = [i for i, (a, b) in enumerate(zip(*pairs, strict=True)) if a and b]
    if not full:
        raise UsageError(f"{src} and {tgt} have no line with text in both")
    if len(full) < len(pairs.src):
        print(f"{src}: {len(pairs.src) - len(full):,} pairs have an empty side and are left out")
    return pairs.take(full)


def hold_out(pairs: Pairs, share: float, seed: int) -> tuple[Pairs, Pairs]:
    """The pairs to learn from, and a share of at least one to measure on; none for a share of 0."""
    n = len(pairs.src)
    held = min(max(round(share * n), 1), MOST_HELD_OUT) if share else 0
    if held >= n:
        raise UsageError(f"of {n} pairs none is left to learn from where {held} are held out")
    order = np.random.default_rng(seed).permutation(n).tolist()
    return pairs.take(sorted(order[held:])), pairs.take(sorted(order[:held]))
