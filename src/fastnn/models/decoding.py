"""Generate text from a language model token by token, with a KV cache.

The functions depend on the protocol `Stepper` only, so they work with every model that has a cache.
Beam search is in `beam`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_choice, check_count, check_integer, check_number, check_seed, given
from ..keywords import explained
from .sampling import Draw, Sampler, penalized


class Cache(Protocol):
    """Protocol of a cache: the positions that a model has read, for each row of a batch."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Positions held by each row, (B,)."""

    @property
    def max_len(self) -> int:
        """Largest number of positions."""

    def select(self, rows: NDArray[Any]) -> Any:
        """Keep these rows, in this order; rows may be repeated."""


class Stepper(Protocol):
    """Protocol of a model that reads positions step by step."""

    def step(
        self, ids: NDArray[np.int64], cache: Any, lengths: NDArray[np.int64] | None = None
    ) -> NDArray[Any]:
        """Append ids (B, n), of row b the first lengths[b]; return the next logits (B, V)."""


class LanguageModel(Stepper, Protocol):
    """Protocol of a `Stepper` that starts from an empty cache."""

    def new_cache(self, batch: int) -> Any:
        """Return an empty cache for `batch` rows."""


Prompts = NDArray[Any] | Iterable[ArrayLike]


@explained
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
    repetition_penalty: float = 1.0,
    cache_dtype: str | None = None,
) -> list[NDArray[np.int64]]:
    """Generate a continuation of each prompt.

    Row b of the batch draws from its own stream, seeded with (seed, b), so its tokens depend on
    neither the number of threads nor the other rows, apart from rounding differences between
    products with different numbers of rows. A finished row leaves the batch.

    A text longer than the model's ``max_len`` is read through a sliding window. The last max_len
    positions of a prompt count. When the window is full, its last ``max_len // 2`` positions are
    read again as the first ones, so only one token in max_len // 2 takes longer.

    Parameters
    ----------
    model : LanguageModel
        Such as `TransformerLM`.
    prompts : integers of shape (B, T), or a sequence of B sequences of integers
        At least one token each; lengths may differ.
    max_new_tokens : int
        At least 1.
    temperature : float
        Divides the logits; 0 always takes the most likely token (greedy).
    top_k : int, optional
        Draw only from the k most likely tokens.
    top_p : float, optional
        Draw only from the smallest set of tokens with this total probability; see `Sampler`.
    stop : int or iterable of int
        Tokens that end a row.
    seed : int, optional
        From 0 to 2^64 - 1; None takes entropy from the operating system.
    cache : optional
        Start from this cache of B rows instead of an empty one, such as one that holds a sentence
        to translate. It is modified and cannot be reused, and its window does not slide.
    repetition_penalty : float
        Above 0; above 1, tokens that occur in the row's prompt or continuation are less likely.
    cache_dtype : str, optional
        "bf16" or "int8": keys and values of a new cache take 16 or 8 bits (docs/low-precision.md).

    Returns
    -------
    list of B ndarray of int64
        The new tokens of each row, without the prompt; the last is the stop token if one was drawn.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range, a prompt is empty, the cache has no room
        for max_new_tokens, or the logits of a row are NaN.
    IndexError
        A token is not in the model's vocabulary.

    Examples
    --------
    >>> model = fastnn.models.TransformerLM(10, d_model=16, n_heads=2, n_layers=1, max_len=8, rng=0)
    >>> texts = fastnn.models.generate(model, [[1, 2], [3]], 4, temperature=0, seed=0)
    >>> [len(text) for text in texts]
    [4, 4]
    """
    check_model(model)
    sampler = Sampler(temperature, top_k, top_p)
    max_new_tokens = check_count("max_new_tokens", max_new_tokens)
    texts = as_prompts(prompts)
    ends, draws = stops(stop), draws_of(seed, len(texts))
    if cache is not None:
        check_room(cache, texts, max_new_tokens)
    new: list[list[int]] = [[] for _ in texts]
    penalty = check_number("repetition_penalty", repetition_penalty, above=0)
    fresh = new_caches(model, cache_dtype)
    steps = _decode(model, fresh, cache, texts, max_new_tokens, sampler, ends, draws, penalty)
    for rows, tokens in steps:
        for row, token in zip(rows, tokens, strict=True):
            new[row].append(token)
    return [np.array(row, np.int64) for row in new]


@explained
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
    repetition_penalty: float = 1.0,
    cache_dtype: str | None = None,
) -> Iterator[int]:
    """Generate a continuation of one prompt, yielding each token as soon as it is drawn.

    The tokens are those of ``generate(model, [prompt], ...)[0]``. With `max_new_tokens` None,
    generation continues until a stop token is drawn or the iterator is closed. Arguments are
    checked immediately.

    Parameters
    ----------
    prompt : integers of shape (T,)
    max_new_tokens : int, optional
    temperature, top_k, top_p, stop, seed, repetition_penalty, cache_dtype
        As in `generate`, with the same errors.

    Yields
    ------
    int
        The next token; a stop token is the last.

    Examples
    --------
    >>> model = fastnn.models.TransformerLM(10, d_model=16, n_heads=2, n_layers=1, max_len=8, rng=0)
    >>> len(list(fastnn.models.stream(model, [1, 2], 4, seed=0)))
    4
    """
    check_model(model)
    sampler = Sampler(temperature, top_k, top_p)
    if max_new_tokens is not None:
        max_new_tokens = check_count("max_new_tokens", max_new_tokens)
    texts = as_prompts([prompt])
    ends, draws = stops(stop), draws_of(seed, 1)
    penalty = check_number("repetition_penalty", repetition_penalty, above=0)
    fresh = new_caches(model, cache_dtype)
    steps = _decode(model, fresh, None, texts, max_new_tokens, sampler, ends, draws, penalty)
    return (tokens[0] for _, tokens in steps)


def new_caches(model: Any, dtype: str | None) -> Callable[..., Any]:
    """Return the `new_cache` of a model, for keys and values in this format."""
    kinds = (None, "bf16", "int8")
    if check_choice("cache_dtype", dtype, kinds) is None:
        return lambda *sizes: model.new_cache(*sizes)
    return partial(model.new_cache, dtype=dtype)


def _decode(
    model: Any,
    new_cache: Callable[[int], Any],
    cache: Any,
    texts: list[list[int]],
    limit: int | None,
    sampler: Sampler,
    ends: frozenset[int],
    draws: list[Draw],
    penalty: float,
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield active rows and their next tokens, until all have ended or have `limit` tokens."""
    if not texts:
        return
    slides = cache is None
    if slides:
        cache = new_cache(len(texts))
        texts = [text[-cache.max_len :] for text in texts]
    rows = list(range(len(texts)))
    logits = model.step(*padded(texts, cache))
    count = 0
    while True:
        tokens = sampler(penalized(logits, texts, penalty), draws, rows)
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
            # All rows are read again, since the cache is one block; only full rows lose tokens.
            half = max(1, cache.max_len // 2)
            texts = [text[-half:] if len(text) > cache.max_len else text for text in texts]
            cache = new_cache(len(texts))
            logits = model.step(*padded(texts, cache))
        else:
            logits = model.step(tokens[:, None], cache)


def check_model(model: Any) -> None:
    """TypeError unless a model, or a frozen one, can decode."""
    if isinstance(model, type) or not callable(getattr(model, "step", None)):
        raise TypeError(f"model must have `step`, such as models.TransformerLM, got {given(model)}")


def check_cache(cache: Any) -> None:
    """TypeError unless it can be what `new_cache` returned."""
    if not all(hasattr(cache, name) for name in ("lengths", "max_len", "select")):
        raise TypeError(f"cache must be one that new_cache returned, got {given(cache)}")


def as_prompts(prompts: Prompts) -> list[list[int]]:
    """Return the tokens of each prompt; raise TypeError or ValueError if they are not integers."""
    if isinstance(prompts, np.ndarray) and prompts.ndim != 2:
        raise ValueError(f"prompts must have the shape (B, T), got {prompts.shape}")
    if not isinstance(prompts, Iterable):
        raise TypeError(f"prompts must be sequences of integers, got {given(prompts)}")
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
            raise TypeError(f"prompt {i} must have integers, got {ids.dtype}")
        if ids.max() >= 1 << 63:
            raise IndexError(f"prompt {i} has the token {ids.max()}, which no vocabulary has")
        texts.append(ids.tolist())
    return texts


def padded(
    texts: list[list[int]], cache: Any
) -> tuple[NDArray[np.int64], Any, NDArray[np.int64] | None]:
    """Return the arguments of `step`: zero-padded ids (B, T), the cache, and lengths if unequal."""
    lengths = np.array([len(text) for text in texts])
    ids = np.zeros((len(texts), lengths.max()), np.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    return ids, cache, None if lengths.min() == lengths.max() else lengths


def check_room(cache: Any, texts: list[list[int]], new: int) -> None:
    """Raise ValueError unless the cache has a row per text and room for `new` more tokens.

    The last new token is never read, so it needs no room.
    """
    if len(cache.lengths) != len(texts):
        raise ValueError(f"{len(texts)} prompts do not fit a cache of {len(cache.lengths)} rows")
    for i, (held, text) in enumerate(zip(cache.lengths.tolist(), texts, strict=True)):
        if held + len(text) + new - 1 > cache.max_len:
            raise ValueError(
                f"row {i}: {held + len(text)} positions and {new} new tokens are too many "
                f"for a cache of {cache.max_len}"
            )


def stops(stop: int | Iterable[int]) -> frozenset[int]:
    stops = tuple(stop) if isinstance(stop, Iterable) else (stop,)
    return frozenset(check_integer("stop", token) for token in stops)


def draws_of(seed: int | None, rows: int) -> list[Draw]:
    """Return a stream of random numbers for each row."""
    entropy = None if seed is None else check_seed("seed", seed)
    streams = np.random.SeedSequence(entropy).spawn(rows)
    return [np.random.Generator(np.random.PCG64(stream)).random for stream in streams]
