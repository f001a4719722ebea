"""A vocabulary of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from ..checks import check_count
from ..keywords import explained
from .vocab import SPECIALS, UNK, Ids, Vocab, one_text, several_texts


@explained
class WordVocab(Vocab):
    """One id per word, after the four specials; unknown words are `<unk>`.

    Words are separated by whitespace; `decode` puts one space between them. A special spelled out
    in a text is an unknown word.

    References
    ----------
    A. Zhang et al., Dive into Deep Learning, section 9.2 (Vocabulary).

    Examples
    --------
    >>> vocab = fastnn.text.WordVocab.from_sentences(["go home", "go away"])
    >>> vocab.encode("go away"), vocab.decode(vocab.encode("go there"))
    ([4, 5], 'go <unk>')
    """

    kind = "words"
    pad_id: int  # it always has the specials
    unk_id: int
    bos_id: int
    eos_id: int

    def __init__(self, tokens: Sequence[str]) -> None:
        """Make it from the specials and the words, in the order of their ids."""
        super().__init__(tokens, specials=True)
        words = enumerate(self.tokens[len(SPECIALS) :], len(SPECIALS))
        self._ids = {word: i for i, word in words}

    @classmethod
    def from_sentences(
        cls, sentences: Iterable[str], *, min_freq: int = 1, max_size: int | None = None
    ) -> WordVocab:
        """Collect the words of sentences by falling frequency, ties in alphabetical order.

        Parameters
        ----------
        sentences : iterable of str
        min_freq : int
            Words that occur less often are left out.
        max_size : int, optional
            Maximum number of tokens, specials included; the most frequent words stay.

        Raises
        ------
        ValueError
            max_size has no room for the specials, or min_freq is below 1.
        TypeError
            The sentences are one str, or a number is not an integer.
        """
        texts = several_texts("from_sentences", sentences)
        min_freq = check_count("min_freq", min_freq)
        if max_size is not None:
            check_count("max_size", max_size, len(SPECIALS))
        counts = Counter(word for sentence in texts for word in sentence.split())
        for special in SPECIALS:
            counts.pop(special, None)
        words = [word for word, count in counts.items() if count >= min_freq]
        words.sort(key=lambda word: (-counts[word], word))
        return cls([*SPECIALS, *words][:max_size])

    def encode(self, text: str, *, bos: bool = False, eos: bool = False) -> Ids:
        """Return the ids of a text's words."""
        words = one_text("encode", text).split()
        ids = [self._ids.get(word, SPECIALS.index(UNK)) for word in words]
        return self._framed(ids, bos, eos)

    def decode(self, ids: ArrayLike) -> str:
        """Return the words of ids, without `<pad> <bos> <eos>`; IndexError for unknown ids."""
        return " ".join(self._shown(ids))

    @classmethod
    def _from_described(cls, described: dict[str, Any]) -> WordVocab:
        return cls(described["tokens"])
