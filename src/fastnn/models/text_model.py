"""Completion and chat: a language model over texts, with a tokenizer and a chat template."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from ..checks import check_count, check_number, given
from ..files.atomic import PathLike
from ..keywords import explained
from .chat_template import ChatTemplate
from .decoding import check_model, draws_of, new_caches
from .sampling import Sampler, penalized

Messages = Sequence[Mapping[str, Any]]

# Fewest positions of a cache, so that a conversation need not start over with a larger one.
LEAST_ROOM = 1024
# What a decoder of bytes writes for a character whose other bytes are still missing.
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class Tokenizer(Protocol):
    """Protocol of what is needed of `tokenizers.Tokenizer`."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> Any:
        """Return an object with the tokens as `ids`."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""


@explained
class TextModel:
    """A language model with its tokenizer: texts go in and come out.

    The keys and values of the last text are kept. A text that begins in the same way, such as the
    next turn of a conversation, is read from where it differs.

    Parameters
    ----------
    model : TransformerLM, or a frozen one
    tokenizer : tokenizers.Tokenizer
    template : str, optional
        Chat template in Jinja, as in tokenizer_config.json; needs jinja2.
    stop : iterable of int
        Tokens that end every text.
    special : mapping of str to str, optional
        Names and texts of special tokens that a template uses, such as {"bos_token": "<s>"}.
    cache_dtype : str, optional
        As in `models.generate`.

    Attributes
    ----------
    new_tokens : int
        Tokens of the last continuation so far.

    Raises
    ------
    TypeError
        model has no `step`, or tokenizer no `encode` and `decode`.

    Examples
    --------
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> words = {"a": 0, "cat": 1, "dog": 2, "tax": 3}
    >>> tokenizer = Tokenizer(models.WordLevel(words, unk_token="a"))
    >>> tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> lm = fastnn.models.TransformerLM(4, d_model=16, n_heads=2, n_layers=1, max_len=8, rng=0)
    >>> text_model = fastnn.models.TextModel(lm, tokenizer)
    >>> len(text_model.generate("a cat", 3, temperature=0).split())
    3
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        *,
        template: str | None = None,
        stop: Iterable[int] = (),
        special: Mapping[str, str] | None = None,
        cache_dtype: str | None = None,
    ) -> None:
        check_model(model)
        for name in ("encode", "decode"):
            if not callable(getattr(tokenizer, name, None)):
                raise TypeError(f"tokenizer must have {name!r}, got {given(tokenizer)}")
        self.model, self.tokenizer = model, tokenizer
        self.template = None if template is None else ChatTemplate(template, special or {})
        self.stop = frozenset(stop)
        self.cache_dtype = cache_dtype
        new_caches(model, cache_dtype)
        self._cache: Any = None
        self._read: list[int] = []  # the tokens in the cache
        self.new_tokens = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_cache": None, "_read": []}  # a copy reads its texts itself

    @classmethod
    def load(
        cls,
        folder: PathLike,
        *,
        dtype: DTypeLike = "float32",
        weights: str | None = None,
        cache_dtype: str | None = None,
    ) -> TextModel:
        """Read a folder as transformers saves it, a language model with tokenizer.json, or a GGUF.

        The chat template and special tokens of a folder come from tokenizer_config.json,
        chat_template.jinja and generation_config.json; a GGUF file has its own. With `weights`,
        "bf16", "int8" or "int8_g32", the model is frozen: see `nn.freeze`.

        Raises
        ------
        ModelFileError, OSError
            As `models.load`; or the tokenizer is missing or damaged.
        TypeError, ValueError
            As `nn.freeze`.
        ModuleNotFoundError
            safetensors or tokenizers is not installed.
        """
        from .text_files import read

        model, tokenizer, options = read(folder, dtype)
        usable = model if weights is None else model.freeze(weights=weights)
        return cls(usable, tokenizer, cache_dtype=cache_dtype, **options)

    def generate(self, prompt: str, max_new_tokens: int = 256, **options: Any) -> str:
        """Return the continuation of a prompt: the pieces of `stream` together."""
        return "".join(self.stream(prompt, max_new_tokens, **options))

    def stream(
        self,
        prompt: str,
        max_new_tokens: int = 256,
        *,
        stop: str | Sequence[str] = (),
        **options: Any,
    ) -> Iterator[str]:
        """Generate a continuation of a prompt, yielding pieces of text as soon as they are certain.

        Parameters
        ----------
        prompt : str
        max_new_tokens : int
        stop : str or sequence of str
            Texts that end the continuation; they are not yielded.
        temperature, top_k, top_p : optional
            As in `models.generate`.
        repetition_penalty : float
            As in `models.generate`.
        seed : int, optional

        Yields
        ------
        str

        Raises
        ------
        TypeError, ValueError
            An argument has the wrong type or is out of range, the prompt has no tokens, or more
            than the model has positions.
        """
        return self._stream(self._ids(prompt, True), max_new_tokens, stop, options)

    def chat(
        self,
        messages: Messages,
        max_new_tokens: int = 256,
        *,
        stop: str | Sequence[str] = (),
        **options: Any,
    ) -> Iterator[str]:
        """Generate the answer to a conversation, yielding pieces of text.

        Parameters
        ----------
        messages : sequence of mappings
            Such as [{"role": "user", "content": "Hello"}]; roles are those of the template.
        max_new_tokens, stop, ...
            As in `stream`.

        Raises
        ------
        ValueError
            There is no chat template, or it refuses the messages.
        ModuleNotFoundError
            jinja2 is not installed.
        """
        if self.template is None:
            raise ValueError("chat: this model has no chat template; use `stream` or `generate`")
        ids = self._ids(self.template.render(messages), False)
        return self._stream(ids, max_new_tokens, stop, options)

    def _ids(self, text: Any, special: bool) -> list[int]:
        if not isinstance(text, str):
            raise TypeError(f"prompt must be a str, got {given(text)}")
        ids: list[int] = list(self.tokenizer.encode(text, add_special_tokens=special).ids)
        if not ids:
            raise ValueError("prompt has no tokens")
        if len(ids) > self.model.max_len:
            raise ValueError(
                f"the prompt has {len(ids)} tokens, more than the model's {self.model.max_len}"
            )
        return ids

    def _stream(
        self, ids: list[int], limit: int, stop: str | Sequence[str], options: dict[str, Any]
    ) -> Iterator[str]:
        """Check the arguments at once, and return the pieces of text."""
        seed = options.pop("seed", None)
        penalty = options.pop("repetition_penalty", 1.0)
        penalty = check_number("repetition_penalty", penalty, above=0)
        sampler, [draw] = Sampler(**options), draws_of(seed, 1)
        limit = check_count("max_new_tokens", limit)
        ends = [stop] if isinstance(stop, str) else list(stop)
        if not all(isinstance(end, str) and end for end in ends):
            raise ValueError(f"stop must be texts that are not empty, got {given(stop)}")

        def tokens() -> Iterator[int]:
            self.new_tokens = 0
            logits = self._start(ids, limit)
            for count in range(1, limit + 1):
                token = int(sampler(penalized(logits, [ids], penalty), [draw], [0])[0])
                if token in self.stop:
                    return
                self.new_tokens = count
                yield token
                ids.append(token)
                if count == limit or len(self._read) == self._cache.max_len:
                    return
                logits = self._step([token])

        return until(self._pieces(ids[-1], tokens()), ends)

    def _start(self, ids: list[int], limit: int) -> Any:
        """Read the tokens that are not in the cache; return the logits of the next one."""
        room = min(self.model.max_len, len(ids) + limit)
        if self._cache is None or self._cache.max_len < room:
            room = min(self.model.max_len, max(room, LEAST_ROOM))
            self._cache, self._read = new_caches(self.model, self.cache_dtype)(1, room), []
        same = 0
        while same < min(len(self._read), len(ids) - 1) and self._read[same] == ids[same]:
            same += 1
        self._cache.truncate(same)
        del self._read[same:]
        return self._step(ids[same:])

    def _step(self, ids: list[int]) -> Any:
        logits = self.model.step(np.array([ids]), self._cache)
        self._read += ids
        return logits

    def _pieces(self, last: int, tokens: Iterator[int]) -> Iterator[str]:
        """Yield the text that tokens add behind the last one, whole characters only."""
        held = [last]  # the tokens from the last whole piece on: a space may depend on it
        before = self.tokenizer.decode(held)
        for token in tokens:
            held.append(token)
            text = self.tokenizer.decode(held)
            if text.endswith(INCOMPLETE) or len(text) <= len(before):
                continue
            yield text[len(before) :]
            held, before = [token], self.tokenizer.decode([token])
        rest = self.tokenizer.decode(held)[len(before) :]
        if rest:
            yield rest


def until(pieces: Iterator[str], ends: Sequence[str]) -> Iterator[str]:
    """Yield pieces until one of `ends` occurs, which may begin in one piece and end in another.

    Examples
    --------
    >>> from fastnn.models.text_model import until
    >>> list(until(iter(["one", " E", "ND two"]), ["END"]))
    ['one', ' ']
    """
    text = ""
    for piece in pieces:
        text += piece
        found = [at for at in map(text.find, ends) if at >= 0]
        if found:
            if text[: min(found)]:
                yield text[: min(found)]
            return
        keep = max((_overlap(text, end) for end in ends), default=0)
        if keep < len(text):
            yield text[: len(text) - keep]
            text = text[len(text) - keep :]
    if text:
        yield text


def _overlap(text: str, end: str) -> int:
    """Return how many characters at the end of text may be the beginning of `end`."""
    longest = min(len(text), len(end) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(end[:n])), 0)
