"""Beam search: the most likely output sequences of a model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..checks import check_count, check_flag, check_integer, check_number, given, value_of
from ..keywords import explained
from .decoding import Prompts, as_prompts, check_cache, check_model, check_room, padded
from .sampling import largest

# Limit of |alpha|: L^alpha is then finite for all L below 2^31.
MOST_PENALTY = 32.0


class Hypothesis(NamedTuple):
    """A sequence found by beam search.

    Attributes
    ----------
    tokens : ndarray of int64, shape (L,)
        Without the prompt; the last is `eos`, unless `max_len` cut the sequence.
    score : float
        log P / L^alpha.
    log_prob : float
        log P of the tokens, natural logarithm.

    Examples
    --------
    >>> best = fastnn.models.Hypothesis(np.array([4, 5]), score=-0.5, log_prob=-1.0)
    >>> best.tokens, best.score
    (array([4, 5]), -0.5)
    """

    tokens: NDArray[np.int64]
    score: float
    log_prob: float


@explained
def beam_search(
    model: Any,
    cache: Any,
    *,
    bos: int | Prompts,
    eos: int | None,
    max_len: ArrayLike,
    beams: int = 5,
    length_penalty: float = 0.75,
    n_best: int = 1,
    early_stopping: bool = True,
) -> list[list[Hypothesis]]:
    """Return the best sequences for each sentence of a batch, by log P / L^alpha.

    L counts the new tokens including `eos`. This is the score of *Dive into Deep Learning*, section
    10.8 (alpha 0.75), and of fairseq (`lenpen`, 1 by default), not the ((5 + L) / 6)^alpha of Wu et
    al. (2016). alpha = 0 is log P itself; a larger alpha favors longer sequences.

    Each step extends all beams by all tokens and takes the 2 * beams most likely: those among the
    first `beams` that end become hypotheses, and the `beams` most likely others are extended. Ties
    go to the better beam, then to the smaller token. A finished sentence leaves the batch.

    Parameters
    ----------
    model : Stepper
        Such as `Seq2SeqTransformer` or `TransformerLM`.
    cache : Cache
        One row per sentence (S rows), such as ``model.new_cache(src, src_lengths)``; it is
        modified and cannot be reused.
    bos : int, or prompts as in `generate`
        The first token of every sentence, or a prompt for each.
    eos : int or None
        The token that ends a sequence. With None all sequences have max_len tokens.
    max_len : int or integers of shape (S,)
        Largest number of tokens in a sequence including `eos`; longer ones end without `eos`.
    beams : int
        Beam width, at least 1; 1 is greedy search.
    length_penalty : float
        alpha, from -32 to 32.
    n_best : int
        Number of sequences to return, at most `beams`.
    early_stopping : bool
        If True, a sentence is finished when `beams` hypotheses have ended (fairseq's rule). If
        False, it is finished when no beam can reach a better score than the n_best kept, which
        takes longer.

    Returns
    -------
    list of S lists of Hypothesis
        Best first; fewer than n_best if no more were found.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range, shapes differ, the cache has no room for
        max_len tokens, or the log-probabilities of a row are NaN.

    Examples
    --------
    >>> model = fastnn.models.TransformerLM(10, d_model=16, n_heads=2, n_layers=1, max_len=8, rng=0)
    >>> cache = model.new_cache(1)
    >>> found = fastnn.models.beam_search(model, cache, bos=1, eos=None, max_len=4, beams=2)
    >>> len(found[0][0].tokens)
    4
    """
    beams, n_best = check_count("beams", beams), check_count("n_best", n_best)
    if n_best > beams:
        raise ValueError(
            f"n_best must be at most beams = {value_of(beams)}, got {value_of(n_best)}"
        )
    limit = MOST_PENALTY
    alpha = check_number("length_penalty", length_penalty, least=-limit, most=limit)
    check_model(model)
    check_cache(cache)
    sentences = len(cache.lengths)
    eos = None if eos is None else check_integer("eos", eos)
    early_stopping = check_flag("early_stopping", early_stopping)
    texts = as_prompts([[int(bos)]] * sentences if isinstance(bos, (int, np.integer)) else bos)
    limits = _limits(max_len, sentences)
    if not sentences:
        return []
    check_room(cache, texts, int(limits.max()))
    search = _Search(limits, beams, eos, alpha, n_best, early_stopping)
    logits = model.step(*padded(texts, cache))
    while True:
        rows = search.extend(kernels.log_softmax(logits))
        if len(rows) == 0:
            return search.kept
        if len(rows) != len(logits) or (rows != np.arange(len(rows))).any():
            cache.select(rows)
        logits = model.step(search.tokens[:, :, -1].reshape(-1, 1), cache)


def _limits(max_len: ArrayLike, sentences: int) -> NDArray[np.int64]:
    limits = np.asarray(max_len)
    if limits.dtype.kind not in "iu":
        raise TypeError(f"max_len must be an integer or several, got {given(max_len)}")
    if limits.shape not in ((), (sentences,)):
        raise ValueError(f"max_len must have the shape ({sentences},), got {limits.shape}")
    if limits.size and limits.min() < 1:
        raise ValueError(f"max_len must be at least 1, got {limits.min()}")
    return np.broadcast_to(limits, (sentences,)).astype(np.int64)


class _Search:
    """The beams of unfinished sentences, and the hypotheses of all sentences.

    There are S unfinished sentences with W beams each: one at first, then at most `beams`.
    """

    def __init__(
        self,
        limits: NDArray[np.int64],
        beams: int,
        eos: int | None,
        alpha: float,
        n_best: int,
        early: bool,
    ) -> None:
        sentences = len(limits)
        self.beams, self.alpha, self.n_best, self.early = beams, alpha, n_best, early
        self.eos = -1 if eos is None else eos  # no token is -1
        self.kept: list[list[Hypothesis]] = [[] for _ in limits]
        self.limits = limits  # (S,)
        self.sentences = np.arange(sentences)  # index into kept
        self.ended = np.zeros(sentences, np.int64)  # hypotheses that have ended so far
        self.worst = np.full(sentences, -np.inf)  # the score a new one must exceed
        self.tokens = np.empty((sentences, 1, 0), np.int64)  # (S, W, t)
        self.log_probs = np.zeros((sentences, 1))  # (S, W); -inf: no beam

    def extend(self, log_probs: NDArray[Any]) -> NDArray[np.int64]:
        """Extend by one token, given log-probabilities (S W, V); return the S' W' rows to keep."""
        if np.isnan(log_probs[:, 0]).any():  # one NaN makes a whole row of log_softmax NaN
            row = int(np.isnan(log_probs[:, 0]).argmax())
            sentence = self.sentences[row // self.tokens.shape[1]]
            raise ValueError(f"sentence {sentence}: the logits have NaN or infinity")
        totals, parents, tokens = self._best(log_probs)
        length = self.tokens.shape[2] + 1
        ends = (tokens == self.eos) | (self.limits == length)[:, None]
        done = ends & np.isfinite(totals)
        done[:, self.beams :] = False
        for s, i in np.argwhere(done).tolist():
            self._keep(s, [*self.tokens[s, parents[s, i]].tolist(), tokens[s, i]], totals[s, i])
        # most likely unfinished ones; if there are too few, ended ones fill up with log P = -inf
        totals[ends] = -np.inf
        on = np.argsort(ends, axis=1, kind="stable")[:, : self.beams]
        totals, parents, tokens = (
            np.take_along_axis(part, on, axis=1) for part in (totals, parents, tokens)
        )
        stay = np.flatnonzero(~self._done(totals.max(axis=1), length))
        return self._go_on(stay, totals[stay], parents[stay], tokens[stay])

    def _best(self, log_probs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Return log P, beam and token of each sentence's 2 * beams most likely, each (S, n)."""
        sentences, width = self.log_probs.shape
        values, columns = largest(log_probs, min(2 * self.beams, log_probs.shape[1]))
        each = values.shape[1]
        totals = self.log_probs[:, :, None] + values.reshape(sentences, width, each)
        totals = totals.reshape(sentences, width * each)
        best = np.argsort(-totals, axis=1, kind="stable")[:, : 2 * self.beams]
        tokens = np.take_along_axis(columns.reshape(sentences, width * each), best, axis=1)
        return np.take_along_axis(totals, best, axis=1), best // each, tokens

    def _keep(self, s: int, tokens: list[int], log_prob: float) -> None:
        """Add a hypothesis of sentence s if it is one of the n_best."""
        self.ended[s] += 1
        score = log_prob / len(tokens) ** self.alpha
        if score <= self.worst[s]:
            return
        kept = self.kept[self.sentences[s]]
        kept.append(Hypothesis(np.array(tokens, np.int64), float(score), float(log_prob)))
        kept.sort(key=lambda hypothesis: -hypothesis.score)
        del kept[self.n_best :]
        if len(kept) == self.n_best:
            self.worst[s] = kept[-1].score

    def _done(self, log_probs: NDArray[np.float64], length: int) -> NDArray[np.bool_]:
        """Return which sentences are finished, (S,), given log P of their best beams, (S,).

        log P is at most 0 and never increases, so the best reachable score is the current log P
        divided by the largest L^alpha.
        """
        first, last = (length + 1.0) ** self.alpha, self.limits**self.alpha
        hopeless: NDArray[np.bool_] = log_probs / np.maximum(first, last) <= self.worst
        return hopeless | (self.ended >= self.beams) if self.early else hopeless

    def _go_on(
        self,
        stay: NDArray[np.int64],
        log_probs: NDArray[np.float64],
        parents: NDArray[np.int64],
        tokens: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Replace the beams by their children; return the row of each child's parent."""
        width = self.tokens.shape[1]
        before = self.tokens[stay[:, None], parents]
        self.tokens = np.concatenate([before, tokens[:, :, None]], axis=2)
        self.log_probs = log_probs
        self.sentences, self.ended = self.sentences[stay], self.ended[stay]
        self.worst, self.limits = self.worst[stay], self.limits[stay]
        return (stay[:, None] * width + parents).ravel()
