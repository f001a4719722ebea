"""What goes through a sentence encoder at a time: texts to be split into tokens, and their ids."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels, watch
from ..checks import given
from ..kernels import NotLowerable

if TYPE_CHECKING:
    from .encoder import TransformerEncoderModel

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


def printed(done: int, total: int | None) -> None:
    """Print to stderr how many texts are done."""
    if sys.stderr is not None:
        end = "\n" if done == total else "\r"
        print(f"{done}{f'/{total}' if total else ''} texts", end=end, file=sys.stderr, flush=True)


class Frozen:
    """A frozen copy of an encoder, made at the first use, and again after the model has changed.

    Changes by optimizers, checkpoints and assignments are seen (`Block.version`), and those of
    layers; what is written into a parameter's array, as by ``p.data[0] = 1``, is not.

    Parameters
    ----------
    model : TransformerEncoderModel
    weights : str, optional
        As in `nn.freeze`.
    """

    def __init__(self, model: TransformerEncoderModel, weights: str | None) -> None:
        self.model, self.weights = model, weights
        self._made: tuple[Any, kernels.Plan | None] | None = None
        if weights is not None:
            self.plan()  # errors come at once

    def plan(self) -> kernels.Plan | None:
        """Return the plan; None if layers cannot be frozen and no weights were asked for."""
        version = watch.version, self.model.embedding.weight.memory.version
        made = self._made
        if made is None or made[0] != version:
            try:
                plan = self.model.freeze(weights=self.weights)
            except NotLowerable:
                if self.weights is not None:
                    raise
                plan = None
            self._made = made = version, plan
        return made[1]

    def row_bytes(self) -> int:
        """Return the memory that a token takes while it runs, at most."""
        plan = self.plan()
        return self.model.row_bytes() if plan is None else plan.row_nbytes

    def __call__(self, ids: list[NDArray[np.int64]], lengths: NDArray[np.int64]) -> NDArray[Any]:
        """Return the vectors (R, dim) of the tokens of texts, which are sorted by length."""
        plan, rows = self.plan(), np.concatenate(ids)
        if plan is None:
            return self.model.packed(rows, lengths)
        times = 1 if self.weights is None else -(-MANY_ROWS // len(rows))  # repeats texts
        return plan(np.tile(rows, times), lengths=np.tile(lengths, times))[: len(rows)]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.model, self.weights)  # a plan is laid out for one process
