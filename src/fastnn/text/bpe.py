"""Byte-pair encoding, through the package `tokenizers` (`pip install 'fastnn[text]'`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .vocab import SPECIALS, UNK, Ids, Vocab


class BPE(Vocab):
    """Words in pieces: frequent ones whole, rare ones of several, any word of known characters.

    For text whose words and marks stand between single spaces. A word takes the space before it
    along, so that pieces put together are the text again, with every space; a character that was
    not in the text it learned from becomes `<unk>`. `BPE.train` makes one.

    References
    ----------
    R. Sennrich, B. Haddow, A. Birch (2016). Neural Machine Translation of Rare Words with Subword
    Units. ACL 2016.
    """

    kind = "bpe"

    def __init__(self, tokens: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        """From the pieces, specials first, and the pairs that are joined, the first one first."""
        super().__init__(tokens, specials=True)
        self.merges = [(left, right) for left, right in merges]
        ids = {token: i for i, token in enumerate(self.tokens)}
        pieces = ids.keys() - set(SPECIALS)
        for left, right in self.merges:
            if not {left, right, left + right} <= pieces:
                raise ValueError(f"{left!r} and {right!r} are, or join to, no pieces")
        library = _tokenizers()
        self._tokenizer = library.Tokenizer(library.models.BPE(ids, self.merges, unk_token=UNK))
        self._tokenizer.pre_tokenizer = _words(library)

    @classmethod
    def train(cls, sentences: Iterable[str], vocab_size: int, *, min_frequency: int = 2) -> BPE:
        """Learn the pieces from sentences; the same sentences give the same pieces.

        Parameters
        ----------
        sentences : iterable of str
            Of all languages that share the vocabulary.
        vocab_size : int
            Tokens at most: four specials, the characters, and the pieces.
        min_frequency : int
            How often two pieces must stand side by side to be joined.

        Raises
        ------
        ValueError
            The specials and the characters alone are more than vocab_size.
        TypeError
            The sentences are one str.
        ModuleNotFoundError
            tokenizers is not installed.
        """
        if isinstance(sentences, str):
            raise TypeError("train takes several sentences, got one str")
        library = _tokenizers()
        learner = library.Tokenizer(library.models.BPE(unk_token=UNK))
        learner.pre_tokenizer = _words(library)
        # Without a mark for the end of a word: the library numbers marked characters in the order
        # of a hash table, which differs from run to run.
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=list(SPECIALS),
            show_progress=False,
        )
        learner.train_from_iterator((" " + sentence for sentence in sentences), trainer)
        model = json.loads(learner.to_str())["model"]
        if len(model["vocab"]) > vocab_size:
            raise ValueError(
                f"vocab_size is {vocab_size}, but the specials and the characters of these "
                f"sentences are {len(model['vocab'])} tokens"
            )
        # Letters that spell a special stay letters.
        merges = [
            (left, right)
            for left, right in model["merges"]
            if not {left, right, left + right} & set(SPECIALS)
        ]
        return cls(sorted(model["vocab"], key=model["vocab"].get), merges)

    def encode(self, text: str) -> Ids:
        """The ids of a text, (n,) int32."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Iterable[str]) -> list[Ids]:
        """The ids of each text; the library divides the texts among threads."""
        spaced = [" " + text if text else text for text in texts]
        found = self._tokenizer.encode_batch_fast(spaced, add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in found]

    def decode(self, ids: ArrayLike) -> str:
        """The text of ids, without `<pad>`, `<bos>` and `<eos>`; IndexError for an id of no token."""
        return "".join(self._shown(ids)).removeprefix(" ")

    def _described(self) -> dict[str, Any]:
        ids = {token: i for i, token in enumerate(self.tokens)}
        merges = [[ids[left], ids[right]] for left, right in self.merges]
        return {"tokens": self.tokens, "merges": merges}

    @classmethod
    def _from_described(cls, described: dict[str, Any]) -> BPE:
        tokens = described["tokens"]
        return cls(tokens, [(tokens[left], tokens[right]) for left, right in described["merges"]])


def _words(library: Any) -> Any:
    """Cut before each space."""
    return library.pre_tokenizers.Split(" ", "merged_with_next")


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "byte-pair encoding needs tokenizers: pip install 'fastnn[text]'", name="tokenizers"
        ) from error
    return tokenizers
