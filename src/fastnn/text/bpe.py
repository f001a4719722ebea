"""Byte-pair encoding with the package `tokenizers` (`pip install 'fastnn-cpu[text]'`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from ..checks import check_count, given
from ..keywords import explained
from .vocab import SPECIALS, UNK, Ids, Vocab, one_text, several_texts

# Above this vocab_size the pieces in the texts are bounded first, by `most_pieces`: the library
# reserves about 60 bytes per token before it reads.
RESERVED = 1 << 16

# More than any text repeats a pair; the library counts in 64 bits.
MOST_FREQUENT = 1 << 62


@explained
class BPE(Vocab):
    """A vocabulary of words and pieces of words; rare words consist of several pieces.

    Words and punctuation in the text must be separated by single spaces. A piece includes the
    space before its word, so that concatenated pieces give back the text with every space. A
    character that did not occur in training becomes `<unk>`. `BPE.train` learns a vocabulary.

    References
    ----------
    R. Sennrich, B. Haddow, A. Birch (2016). Neural Machine Translation of Rare Words with Subword
    Units. ACL 2016.

    Examples
    --------
    >>> lines = ["low lower lowest"] * 3
    >>> vocab = fastnn.text.BPE.train(lines, vocab_size=20)
    >>> vocab.decode(vocab.encode("lowest lower"))
    'lowest lower'
    """

    kind = "bpe"
    pad_id: int  # it always has the specials
    unk_id: int
    bos_id: int
    eos_id: int

    def __init__(self, tokens: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        """Make it from the pieces, specials first, and the merges in the order they apply."""
        super().__init__(tokens, specials=True)
        self.merges = _pairs(merges)
        ids = {token: i for i, token in enumerate(self.tokens)}
        pieces = ids.keys() - set(SPECIALS)
        for left, right in self.merges:
            if not {left, right, left + right} <= pieces:
                raise ValueError(
                    f"merge of {left!r} and {right!r}: not all parts are in the vocabulary"
                )
        library = _tokenizers()
        self._tokenizer = library.Tokenizer(library.models.BPE(ids, self.merges, unk_token=UNK))
        self._tokenizer.pre_tokenizer = _words(library)

    @classmethod
    def train(cls, sentences: Iterable[str], vocab_size: int, *, min_frequency: int = 2) -> BPE:
        """Learn the pieces from sentences; the same sentences give the same pieces.

        Parameters
        ----------
        sentences : iterable of str
            Sentences of all languages that share the vocabulary.
        vocab_size : int
            Maximum number of tokens: four specials, the characters, and the pieces.
        min_frequency : int
            How often two pieces must be adjacent to be merged.

        Raises
        ------
        ValueError
            The specials and the characters alone are more than vocab_size, or a number is below 1.
        TypeError
            The sentences are one str, or a number is not an integer.
        ModuleNotFoundError
            tokenizers is not installed.
        """
        texts = several_texts("train", sentences)
        vocab_size = check_count("vocab_size", vocab_size)
        min_frequency = min(check_count("min_frequency", min_frequency), MOST_FREQUENT)
        library = _tokenizers()
        room = vocab_size
        if room > RESERVED:
            held = list(texts)
            texts, room = iter(held), min(room, most_pieces(held))
        learner = library.Tokenizer(library.models.BPE(unk_token=UNK))
        learner.pre_tokenizer = _words(library)
        # No end-of-word suffix: the library would number suffixed characters in the order of a
        # hash table, which differs from run to run.
        trainer = library.trainers.BpeTrainer(
            vocab_size=room,
            min_frequency=min_frequency,
            special_tokens=list(SPECIALS),
            show_progress=False,
        )
        learner.train_from_iterator((" " + text for text in texts), trainer)
        model = json.loads(learner.to_str())["model"]
        if len(model["vocab"]) > vocab_size:
            raise ValueError(
                f"vocab_size is {vocab_size}, but the specials and the characters of these "
                f"sentences are {len(model['vocab'])} tokens"
            )
        # Drop merges that spell a special: its letters stay letters.
        merges = [
            (left, right)
            for left, right in model["merges"]
            if not {left, right, left + right} & set(SPECIALS)
        ]
        return cls(sorted(model["vocab"], key=model["vocab"].get), merges)

    def encode(self, text: str, *, bos: bool = False, eos: bool = False) -> Ids:
        """Return the ids of a text."""
        return self.encode_batch([one_text("encode", text)], bos=bos, eos=eos)[0]

    def encode_batch(
        self, texts: Iterable[str], *, bos: bool = False, eos: bool = False
    ) -> list[Ids]:
        """Return the ids of each text; the library distributes the texts over threads."""
        spaced = [" " + text if text else text for text in several_texts("encode_batch", texts)]
        found = self._tokenizer.encode_batch_fast(spaced, add_special_tokens=False)
        return [self._framed(encoding.ids, bos, eos) for encoding in found]

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of ids, without `<pad>`, `<bos>`, `<eos>`; IndexError for unknown ids."""
        return "".join(self._shown(ids)).removeprefix(" ")

    def _described(self) -> dict[str, Any]:
        ids = {token: i for i, token in enumerate(self.tokens)}
        merges = [[ids[left], ids[right]] for left, right in self.merges]
        return {"tokens": self.tokens, "merges": merges}

    @classmethod
    def _from_described(cls, described: dict[str, Any]) -> BPE:
        tokens = described["tokens"]
        return cls(tokens, [(tokens[left], tokens[right]) for left, right in described["merges"]])


def _pairs(merges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the merges as tuples; TypeError if one is not a pair of str."""
    if not isinstance(merges, (list, tuple)):
        raise TypeError(f"merges must be a list of pairs of str, got {given(merges)}")
    pairs = [tuple(pair) if isinstance(pair, (list, tuple)) else () for pair in merges]
    for pair, merge in zip(pairs, merges, strict=True):
        if len(pair) != 2 or not all(isinstance(piece, str) for piece in pair):
            raise TypeError(f"merges must be pairs of str, got {given(merge)}")
    return pairs


def most_pieces(texts: Iterable[str]) -> int:
    """Return an upper bound of the tokens that `BPE.train` can learn from these texts.

    These are specials, characters, and merges. Each merge joins two pieces of a word, so there
    are fewer merges than characters in the distinct words.
    """
    words = {word for text in texts for word in text.split(" ")}
    characters = len(set().union(*words)) + 1  # and the space
    return len(SPECIALS) + characters + sum(map(len, words))


def _words(library: Any) -> Any:
    """Split before each space."""
    return library.pre_tokenizers.Split(" ", "merged_with_next")


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "byte-pair encoding needs tokenizers: pip install 'fastnn-cpu[text]'", name="tokenizers"
        ) from error
    return tokenizers
