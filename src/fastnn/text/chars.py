"""A vocabulary of characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..keywords import explained
from .vocab import Ids, Vocab, one_text

# Code points as integers, surrogates included.
UTF32 = ("utf-32-le", "surrogatepass")


@explained
class CharVocab(Vocab):
    """One id per character, in the order of their code points, without specials.

    Examples
    --------
    >>> vocab = fastnn.text.CharVocab.from_text("to be, or not to be")
    >>> vocab.encode("not")
    [4, 5, 7]
    >>> vocab.decode([2, 3])
    'be'
    """

    kind = "chars"

    def __init__(self, tokens: Sequence[str]) -> None:
        """Make it from its characters, sorted."""
        super().__init__(tokens, specials=False)
        if not self.tokens:
            raise ValueError("there are no characters")
        if any(len(token) != 1 for token in self.tokens) or self.tokens != sorted(self.tokens):
            raise ValueError("tokens must be sorted single characters")
        self._codes = _codes("".join(self.tokens))

    @classmethod
    def from_text(cls, text: str) -> CharVocab:
        """Collect the characters of a text; ValueError if it is empty."""
        return cls(sorted(set(one_text("from_text", text))))

    def encode(self, text: str, *, bos: bool = False, eos: bool = False) -> Ids:
        """Return the ids of a text; ValueError for an unknown character."""
        codes = _codes(one_text("encode", text))
        ids = np.searchsorted(self._codes[:-1], codes)
        if (wrong := np.flatnonzero(self._codes[ids] != codes)).size:
            character = text[wrong[0]]
            raise ValueError(
                f"the character {character!r} (U+{ord(character):04X}) at {wrong[0]} is not in "
                f"this vocabulary of {len(self)} characters"
            )
        return self._framed(ids.tolist(), bos, eos)

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of ids; IndexError for an unknown id."""
        return self._codes[self._checked(ids)].tobytes().decode(*UTF32)

    def _described(self) -> dict[str, Any]:
        return {"characters": "".join(self.tokens)}

    @classmethod
    def _from_described(cls, described: dict[str, Any]) -> CharVocab:
        return cls(described["characters"])


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode(*UTF32), "<u4")
