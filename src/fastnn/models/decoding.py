"""Text from a language model, token by token, with a cache of keys and values.

What is here knows no model, only what one can do (`Stepper`), so it serves every model that keeps
a cache. Beam search is in `beam`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_count, check_integer, check_seed
from .sampling import Draw, Sampler


class Cache(Protocol):
    """What a model remembers of the positions it has read, for each row of a batch."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Positions held by each row, (B,)."""

    @property
    def max_len(self) -> int:
        """Positions there is room for."""

    def select(self, rows: NDArray[Any]) -> Any:
        """Keep these rows, in this order; a row may be named more than once."""


class Stepper(Protocol):
    """A model that reads positions one by one."""

    def step(
        self, ids: NDArray[np.int64], cache: Any, lengths: NDArray[np.int64] | None = None
    ) -> NDArray[Any]:
        """Append ids (B, n), of row b the first lengths[b], and give the logits (B, V) behind them."""


class LanguageModel(Stepper, Protocol):
    """A `Stepper` that begins with nothing."""

    def new_cache(self, batch: int) -> Any:
        """An empty cache for `batch` rows."""


Prompts = NDArray[Any] | Iterable[ArrayLike]


def generate(
    model: Any,
    prompts: Prompts,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: int | Iterable[int] = (),
    seed: int | None = None,
    cache: Any = None,
) -> list[NDArray[np.int64]]:
    """Go on with each prompt.

    Row b of the batch draws from a stream of its own, of (seed, b): what it gets depends neither on
    the number of threads nor on the other rows, beyond what rounding may differ in a product of
    more or fewer rows. A row that is done leaves the batch.

    A text longer than the model's ``max_len`` is read through a window: of a prompt the last
    max_len positions count, and when the window is full the last ``max_len // 2`` are read again,
    as its first, so one token in max_len // 2 takes longer and all others the same.

    Parameters
    ----------
    model : LanguageModel
        Such as `TransformerLM`.
    prompts : integers of shape (B, T), or a sequence of B sequences of integers
        At least one token each; lengths may differ.
    max_new_tokens : int
        At least 1.
    temperature : float
        Divides the logits; 0 takes the likeliest token each time (greedy).
    top_k : int, optional
        Draw among the k likeliest tokens only.
    top_p : float, optional
        Draw among the fewest tokens that make up this probability only; see `Sampler`.
    stop : int or iterable of int
        Tokens that end a row.
    seed : int, optional
        From 0 to 2^64 - 1; None takes entropy from the operating system.
    cache : optional
        Go on from this cache of B rows instead of an empty one, such as one that holds a sentence
        to be translated. It is used up, and its window does not slide.

    Returns
    -------
    list of B ndarray of int64
        The new tokens of each row, without the prompt; the last one is the stop token if one came.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range, a prompt is empty, the cache has no room
        for max_new_tokens, or the logits of a row are NaN.
    IndexError
        A token is not in the model's vocabulary.
    """
    sampler = Sampler(temperature, top_k, top_p)
    max_new_tokens = check_count("max_new_tokens", max_new_tokens)
    texts = as_prompts(prompts)
    ends, draws = _stops(stop), _draws(seed, len(texts))
    if cache is not None:
        check_room(cache, texts, max_new_tokens)
    new: list[list[int]] = [[] for _ in texts]
    for rows, tokens in _decode(model, cache, texts, max_new_tokens, sampler, ends, draws):
        for row, token in zip(rows, tokens, strict=True):
            new[row].append(token)
    return [np.array(row, np.int64) for row in new]


def stream(
    model: Any,
    prompt: ArrayLike,
    max_new_tokens: int | None = None,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: int | Iterable[int] = (),
    seed: int | None = None,
) -> Iterator[int]:
    """Go on with one prompt, giving each token as soon as it is known.

    The tokens are those of ``generate(model, [prompt], ...)[0]``; None for `max_new_tokens` goes on
    until a stop token comes or the iterator is closed. Arguments are checked at once.

    Parameters
    ----------
    prompt : integers of shape (T,)
    max_new_tokens : int, optional
    temperature, top_k, top_p, stop, seed
        As for `generate`, and so are the errors.

    Yields
    ------
    int
        The next token; a stop token is the last.
    """
    sampler = Sampler(temperature, top_k, top_p)
    if max_new_tokens is not None:
        max_new_tokens = check_count("max_new_tokens", max_new_tokens)
    texts = as_prompts([prompt])
    steps = _decode(model, None, texts, max_new_tokens, sampler, _stops(stop), _draws(seed, 1))
    return (tokens[0] for _, tokens in steps)


def _decode(
    model: Any,
    cache: Any,
    texts: list[list[int]],
    limit: int | None,
    sampler: Sampler,
    ends: frozenset[int],
    draws: list[Draw],
) -> Iterator[tuple[list[int], list[int]]]:
    """Rows that go on and their next tokens, until all have ended or there are `limit` tokens."""
    if not texts:
        return
    slides = cache is None
    if slides:
        cache = model.new_cache(len(texts))
        texts = [text[-cache.max_len :] for text in texts]
    rows = list(range(len(texts)))
    logits = model.step(*padded(texts, cache))
    count = 0
    while True:
        tokens = sampler(logits, draws, rows)
        listed: list[int] = tokens.tolist()
        yield rows, listed
        count += 1
        if count == limit:
            return
        if not ends.isdisjoint(listed):
            stay = [i for i, token in enumerate(listed) if token not in ends]
            if not stay:
                return
            cache.select(np.array(stay))
            rows, draws = [rows[i] for i in stay], [draws[i] for i in stay]
            texts, tokens = [texts[i] for i in stay], tokens[stay]
        for text, token in zip(texts, tokens.tolist(), strict=True):
            text.append(token)
        if slides and max(map(len, texts)) > cache.max_len:
            # All rows are read again, for a cache is one block; only the full ones lose anything.
            half = max(1, cache.max_len // 2)
            texts = [text[-half:] if len(text) > cache.max_len else text for text in texts]
            cache = model.new_cache(len(texts))
            logits = model.step(*padded(texts, cache))
        else:
            logits = model.step(tokens[:, None], cache)


def as_prompts(prompts: Prompts) -> list[list[int]]:
    """The tokens of each prompt; TypeError or ValueError unless each is a row of integers."""
    if isinstance(prompts, np.ndarray) and prompts.ndim != 2:
        raise ValueError(f"prompts must have the shape (B, T), not {prompts.shape}")
    if not isinstance(prompts, Iterable):
        raise TypeError(f"prompts must be sequences of integers, got {prompts!r:.80}")
    texts = []
    for i, prompt in enumerate(prompts):
        ids = np.asarray(prompt)
        if ids.ndim != 1:
            raise ValueError(
                f"prompt {i} must be a sequence of tokens, its shape is {ids.shape}; "
                "a single prompt is [prompt]"
            )
        if len(ids) == 0:
            raise ValueError(f"prompt {i} has no tokens")
        if ids.dtype.kind not in "iu":
            raise TypeError(f"prompt {i} must have integers, not {ids.dtype}")
        texts.append(ids.tolist())
    return texts


def padded(
    texts: list[list[int]], cache: Any
) -> tuple[NDArray[np.int64], Any, NDArray[np.int64] | None]:
    """What `step` takes: ids (B, T) with zeros on the right, the cache, and lengths if they differ."""
    lengths = np.array([len(text) for text in texts])
    ids = np.zeros((len(texts), lengths.max()), np.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    return ids, cache, None if lengths.min() == lengths.max() else lengths


def check_room(cache: Any, texts: list[list[int]], new: int) -> None:
    """ValueError unless the cache has the rows of texts, and room for them and `new` more tokens.

    The last new token is not read, so it takes no room.
    """
    if len(cache.lengths) != len(texts):
        raise ValueError(f"{len(texts)} prompts do not fit a cache of {len(cache.lengths)} rows")
    for i, (held, text) in enumerate(zip(cache.lengths.tolist(), texts, strict=True)):
        if held + len(text) + new - 1 > cache.max_len:
            raise ValueError(
                f"row {i}: {held + len(text)} positions and {new} new tokens are too many "
                f"for a cache of {cache.max_len}"
            )


def _stops(stop: int | Iterable[int]) -> frozenset[int]:
    stops = tuple(stop) if isinstance(stop, Iterable) else (stop,)
    return frozenset(check_integer("stop", token) for token in stops)


def _draws(seed: int | None, rows: int) -> list[Draw]:
    """A stream of random numbers for each row."""
    entropy = None if seed is None else check_seed("seed", seed)
    streams = np.random.SeedSequence(entropy).spawn(rows)
    return [np.random.Generator(np.random.PCG64(stream)).random for stream in streams]
