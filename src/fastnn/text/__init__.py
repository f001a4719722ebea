"""Convert text to ids and back with vocabularies, and compute BLEU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..json_text import parse_json
from ..keywords import explained
from ..names import unknown
from .bpe import BPE
from .chars import CharVocab
from .scores import bleu, d2l_bleu
from .vocab import Vocab, one_text
from .words import WordVocab

__all__ = ["BPE", "CharVocab", "Vocab", "WordVocab", "bleu", "d2l_bleu", "from_json"]


@explained
def from_json(text: str) -> Vocab:
    """Read a vocabulary of any kind from its `to_json`; ValueError for any other text.

    Examples
    --------
    >>> vocab = fastnn.text.CharVocab.from_text("abc")
    >>> fastnn.text.from_json(vocab.to_json()).encode("cab")
    [2, 0, 1]
    """
    one_text("from_json", text)
    try:
        kind = parse_json(text)["kind"]
    except KeyError as error:
        raise ValueError(f"not a vocabulary in JSON: it has no {error}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"not a vocabulary in JSON: {error}") from error
    for cls in (CharVocab, WordVocab, BPE):
        if cls.kind == kind:
            return cls.from_json(text)
    raise ValueError(f"the kind of a vocabulary must be chars, words or bpe, not {kind!r:.80}")


if not TYPE_CHECKING:  # a checker would take any name for an attribute
    __getattr__ = unknown(__name__, __all__)
