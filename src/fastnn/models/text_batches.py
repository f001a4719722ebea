"""What goes through a sentence encoder at a time: texts to be split into tokens, and their ids."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..checks import given

# Texts, and characters of them, that are split into tokens at a time.
WINDOW, WINDOW_CHARACTERS = 4096, 1 << 18
# Fewer rows may be rounded differently by products of 16 and 8 bits (docs/low-precision.md).
MANY_ROWS = 5


def windows(texts: Iterable[str], before: str, limit: int) -> Iterator[list[str]]:
    """Yield texts behind a prompt in pieces; more than `limit` characters of one do not count."""
    some: list[str] = []
    left = WINDOW_CHARACTERS
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts must be str, but texts[{i}] is {given(text)}")
        some.append(before + text)
        left -= min(len(some[-1]), limit)
        if left <= 0 or len(some) == WINDOW:
            yield some
            some, left = [], WINDOW_CHARACTERS
    if some:
        yield some


def hidden_by(plan: kernels.Plan, ids: list[NDArray[np.int64]]) -> NDArray[Any]:
    """Return the vectors (R, dim) of the tokens of texts, which are sorted by length."""
    found = []
    for T, run in groupby(ids, key=len):
        some = np.stack(list(run))
        enough = np.resize(some, (max(len(some), -(-MANY_ROWS // T)), T))  # repeats texts
        found.append(plan(enough)[: len(some)].reshape(len(some) * T, -1))
    return np.concatenate(found)


def printed(done: int, total: int | None) -> None:
    """Print to stderr how many texts are done."""
    if sys.stderr is not None:
        end = "\n" if done == total else "\r"
        print(f"{done}{f'/{total}' if total else ''} texts", end=end, file=sys.stderr, flush=True)
