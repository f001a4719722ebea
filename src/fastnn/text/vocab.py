"""The base of all vocabularies: text to ids and back, saved as JSON."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_flag, given
from ..json_text import parse_json

Ids = list[int]
V = TypeVar("V", bound="Vocab")

PAD, UNK, BOS, EOS = SPECIALS = ("<pad>", "<unk>", "<bos>", "<eos>")


class Vocab(ABC):
    """The base of `CharVocab`, `WordVocab` and `BPE`; `text.from_json` reads any of them.

    Attributes
    ----------
    tokens : list of str
        The id of a token is its index.
    pad_id, unk_id, bos_id, eos_id : int or None
        Ids of the specials `<pad> <unk> <bos> <eos>`: 0 to 3, or None without specials.

    Examples
    --------
    >>> vocab = fastnn.text.CharVocab.from_text("abc")
    >>> isinstance(vocab, fastnn.text.Vocab), len(vocab)
    (True, 3)
    """

    kind: ClassVar[str]  # its name in JSON

    def __init__(self, tokens: Sequence[str], *, specials: bool) -> None:
        if not isinstance(tokens, Iterable):
            raise TypeError(f"tokens must be a sequence of str, got {type(tokens).__name__}")
        self.tokens = list(tokens)
        ids: list[int | None] = [*range(4)] if specials else [None] * 4
        self.pad_id, self.unk_id, self.bos_id, self.eos_id = ids
        if not all(isinstance(token, str) for token in self.tokens):
            wrong = next(token for token in self.tokens if not isinstance(token, str))
            raise TypeError(f"tokens must be str, but one is {type(wrong).__name__}")
        if specials and tuple(self.tokens[:4]) != SPECIALS:
            raise ValueError(f"the first tokens must be {SPECIALS}, got {self.tokens[:4]!r:.200}")
        if len(set(self.tokens)) != len(self.tokens):
            repeated = next(token for token, n in Counter(self.tokens).items() if n > 1)
            raise ValueError(f"duplicate token {repeated!r:.80}")

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} tokens>"

    @abstractmethod
    def encode(self, text: str, *, bos: bool = False, eos: bool = False) -> Ids:
        """Return the ids of a text as a list, after <bos> and before <eos> if asked.

        Raises
        ------
        ValueError
            The vocabulary has no specials, or does not know a part of the text.

        Examples
        --------
        >>> from fastnn.text import WordVocab
        >>> WordVocab.from_sentences(["a cat"]).encode("a cat", eos=True)
        [4, 5, 3]
        """

    def encode_batch(
        self, texts: Iterable[str], *, bos: bool = False, eos: bool = False
    ) -> list[Ids]:
        """Return the ids of each text, as `encode` does."""
        several = several_texts("encode_batch", texts)
        return [self._framed(self.encode(text), bos, eos) for text in several]

    def _framed(self, ids: Ids, bos: bool, eos: bool) -> Ids:
        """Return the ids after <bos> and before <eos>; ValueError without these specials."""
        for name, asked in (("bos", bos), ("eos", eos)):
            if check_flag(name, asked) and self.eos_id is None:
                raise ValueError(f"encode: {self!r} has no <{name}>; WordVocab and BPE have it")
        if not (bos or eos):
            return ids
        first, last = [self.bos_id] * bool(bos), [self.eos_id] * bool(eos)
        return [*first, *ids, *last]  # type: ignore[list-item]

    @abstractmethod
    def decode(self, ids: ArrayLike) -> str:
        """Return the text of ids, without `<pad>`, `<bos>`, `<eos>`; IndexError for unknown ids."""

    def to_json(self) -> str:
        """Return the vocabulary as one line of JSON, for a file or a model's metadata."""
        return json.dumps({"kind": self.kind, **self._described()}, separators=(",", ":"))

    def _described(self) -> dict[str, Any]:
        return {"tokens": self.tokens}

    @classmethod
    def _from_described(cls: type[V], described: dict[str, Any]) -> V:
        """Return the vocabulary that `_described` describes."""
        raise TypeError(f"{cls.__name__} has no _from_described")

    @classmethod
    def from_json(cls: type[V], text: str) -> V:
        """Read what `to_json` wrote; ValueError if it is of another kind or damaged."""
        one_text("from_json", text)
        try:
            described = parse_json(text)
            kind = described.pop("kind")
            if kind != cls.kind:
                raise ValueError(f"its kind is {kind!r:.80}")
            return cls._from_described(described)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a {cls.__name__} in JSON: {error!s:.300}") from error

    def _checked(self, ids: ArrayLike) -> NDArray[np.intp]:
        array = np.asarray(ids)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise TypeError(f"ids must be a sequence of integers, got {given(ids)}")
        if array.size and not 0 <= array.min() <= array.max() < len(self):
            wrong = array[(array < 0) | (array >= len(self))][0]
            raise IndexError(f"id {wrong} is not in this vocabulary of {len(self)} tokens")
        return array.astype(np.intp)

    def _shown(self, ids: ArrayLike) -> list[str]:
        """Return the tokens that belong to the text: all but <pad>, <bos> and <eos>."""
        hidden = {self.pad_id, self.bos_id, self.eos_id}
        return [self.tokens[i] for i in self._checked(ids).tolist() if i not in hidden]


def one_text(function: str, text: object) -> str:
    """Return the text; TypeError if it is not a str."""
    if not isinstance(text, str):
        raise TypeError(f"{function} takes a str, got {type(text).__name__}")
    return text


def several_texts(function: str, texts: object) -> Iterator[str]:
    """Iterate over the texts; TypeError if they are one str, or if one is not a str."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        given = "one str" if isinstance(texts, str) else type(texts).__name__
        raise TypeError(f"{function} takes several texts (a list of str), got {given}")
    return (one_text(f"{function}, text {i}:", text) for i, text in enumerate(texts))
