"""Batch pairs of sequences of similar lengths, with about equally many tokens per batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_count, check_flag, check_generator, given
from ..keywords import explained
from .generators import generator_state, load_generator

MOST = 2**63 - 1  # ids are int64
IGNORED = -100  # the label that losses ignore: their `ignore_index`

Ids = NDArray[np.int64]
PairBatch = tuple[tuple[Ids, Ids, Ids], Ids]


@explained
class TokenBatches:
    """Result of `token_batches`: each `iter()` is one epoch, `len()` is the number of batches.

    Attributes
    ----------
    padding : float
        Fraction of padding among all tokens of an epoch, sources and targets together.

    Examples
    --------
    >>> pairs = [[7, 8], [9]], [[4], [5, 6]]
    >>> batches = fastnn.data.token_batches(*pairs, max_tokens=8, bos_id=1, eos_id=2, pad_id=0)
    >>> type(batches).__name__, len(batches)
    ('TokenBatches', 1)
    """

    def __init__(
        self,
        src: Ragged,
        tgt: Ragged,
        max_tokens: int,
        pad_id: int,
        shuffle: bool,
        seed: int | np.random.Generator | None,
    ) -> None:
        self.src, self.tgt = src, tgt
        self.max_tokens, self.pad_id, self.shuffle = max_tokens, pad_id, shuffle
        self.rng = check_generator("seed", seed)
        # A target counts with either <bos> (decoder input) or <eos> (label).
        self.n_src, self.n_tgt = src.lengths, tgt.lengths - 1
        self.longer = np.maximum(self.n_src, self.n_tgt)
        # Sort by the longer side, then by the difference, alternately up and down, so that no
        # batch holds both extremes: half the padding of sorting by source (docs/tuning.md).
        turn = np.where(self.longer % 2, -1, 1)
        self.keys = ((self.n_src - self.n_tgt) * turn, self.longer)
        self.cuts = _cuts(np.sort(self.longer), max_tokens)
        cells = 0
        for rows in self._batches(np.lexsort(self.keys)):
            cells += len(rows) * int(self.n_src[rows].max() + self.n_tgt[rows].max())
        self.padding = 1 - int(self.n_src.sum() + self.n_tgt.sum()) / cells

    def __len__(self) -> int:
        return len(self.cuts) - 1

    def __iter__(self) -> Iterator[PairBatch]:
        if not self.shuffle:
            yield from map(self._padded, self._batches(np.lexsort(self.keys)))
            return
        # lexsort is stable: pairs of the same two lengths keep the order of the permutation.
        order = self.rng.permutation(len(self.longer))
        order = order[np.lexsort([key[order] for key in self.keys])]
        batches = self._batches(order)
        for i in self.rng.permutation(len(batches)):
            yield self._padded(batches[i])

    def state(self) -> dict[str, Any]:
        """Return the state of the random generator, which determines the next epochs."""
        return generator_state(self.rng)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue with the epochs after a `state()`; an error for any other state."""
        load_generator(self.rng, state)

    def _batches(self, order: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        return np.split(order, self.cuts[1:-1])

    def _padded(self, rows: NDArray[np.intp]) -> PairBatch:
        src = self.src.padded(rows, self.pad_id)
        tgt_in = self.tgt.padded(rows, self.pad_id, last=False)
        tgt_out = self.tgt.padded(rows, IGNORED, first=False)
        return (src, tgt_in, self.n_src[rows]), tgt_out


@explained
def token_batches(
    src: Sequence[ArrayLike],
    tgt: Sequence[ArrayLike],
    max_tokens: int,
    *,
    bos_id: int,
    eos_id: int,
    pad_id: int,
    src_eos: bool = True,
    shuffle: bool = True,
    seed: int | np.random.Generator | None = None,
) -> TokenBatches:
    """Make batches of pairs for an encoder-decoder, bounded by tokens instead of rows.

    Parameters
    ----------
    src, tgt : sequences of sequences of int
        Ids of sources and targets, pair by pair, without <bos> and <eos>.
    max_tokens : int
        Upper bound of rows x longest sequence on either side, padding included
        (fairseq's `--max-tokens`).
    bos_id, eos_id, pad_id : int
        <bos> begins the decoder input; <eos> ends a source and the labels.
    src_eos : bool
        Append <eos> to sources.
    shuffle : bool
        Shuffle the batches in every epoch, and redraw which pairs of the same two lengths share a
        batch. Otherwise the batches come from short to long.
    seed : None, int or numpy.random.Generator
        Seed of these orders. The same seed gives the same epochs.

    Returns
    -------
    TokenBatches
        Iterate over it once per epoch: `((src, tgt_in, src_lengths), tgt_out)`, each int64. src
        (rows, S) and tgt_in (rows, T) are padded with pad_id, tgt_out (rows, T) with -100, which
        losses ignore. Its attribute `padding` is the fraction of padding. `len()` is the same in
        every epoch, and each epoch has each pair once.

    Raises
    ------
    ValueError
        There are no pairs, the sides differ in number, a sequence is empty (a source without
        <eos>), or a pair is longer than max_tokens.
    TypeError
        A sequence does not hold integers.

    Examples
    --------
    >>> ids = {"bos_id": 2, "eos_id": 3, "pad_id": 0}
    >>> found = fastnn.data.token_batches([[5, 6], [7]], [[8], [9]], 8, **ids, seed=0)
    >>> (src, tgt_in, src_lengths), tgt_out = next(iter(found))
    >>> src.tolist(), tgt_in.tolist(), src_lengths.tolist(), tgt_out.tolist()
    ([[7, 3, 0], [5, 6, 3]], [[2, 9], [2, 8]], [2, 3], [[9, 3], [8, 3]])
    """
    max_tokens = check_count("max_tokens", max_tokens, 1)
    ids = {"bos_id": bos_id, "eos_id": eos_id, "pad_id": pad_id}
    bos, eos, pad = (check_count(name, value, 0, MOST) for name, value in ids.items())
    for name, sequences in (("src", src), ("tgt", tgt)):
        if not isinstance(sequences, Sized):
            raise TypeError(f"{name} must be a sequence of sequences, got {given(sequences)}")
    if len(src) != len(tgt):
        raise ValueError(f"src has {len(src)} sequences, but tgt has {len(tgt)}")
    if len(src) == 0:
        raise ValueError("src and tgt are empty: give at least one pair")
    sources = Ragged("src", src, [], [eos] if src_eos else [])
    targets = Ragged("tgt", tgt, [bos], [eos])
    if (empty := np.flatnonzero(sources.lengths == 0)).size:
        raise ValueError(f"src[{empty[0]}] is empty")
    for name, lengths in (("src", sources.lengths), ("tgt", targets.lengths - 1)):
        if (long := np.flatnonzero(lengths > max_tokens)).size:
            raise ValueError(
                f"{name}[{long[0]}] has {lengths[long[0]]} tokens, max_tokens is {max_tokens}"
            )
    return TokenBatches(sources, targets, max_tokens, pad, check_flag("shuffle", shuffle), seed)


class Ragged:
    """Sequences of different lengths, concatenated, each between two marks."""

    def __init__(
        self, name: str, sequences: Sequence[ArrayLike], before: list[int], after: list[int]
    ) -> None:
        arrays = [_checked_ids(f"{name}[{i}]", ids) for i, ids in enumerate(sequences)]
        marks = len(before) + len(after)
        self.lengths = np.array([len(ids) + marks for ids in arrays], np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        parts = [part for ids in arrays for part in (before, ids, after)]
        self.flat = np.concatenate(parts, dtype=np.int64, casting="unsafe")

    def padded(
        self, rows: NDArray[np.intp], pad: int, *, first: bool = True, last: bool = True
    ) -> Ids:
        """Return padded sequences (len(rows), longest), without their first or last token."""
        starts = self.starts[rows, None] + (not first)
        lengths = self.lengths[rows, None] - (not first) - (not last)
        columns = np.arange(lengths.max())
        inside = columns < lengths
        return np.where(inside, self.flat[np.where(inside, starts + columns, 0)], pad)


def _checked_ids(name: str, ids: ArrayLike) -> NDArray[Any]:
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise TypeError(f"{name} must be a sequence of integers, got {given(ids)}")
    return array


def _cuts(longer: NDArray[np.int64], max_tokens: int) -> NDArray[np.intp]:
    """Return the batch boundaries, each batch as large as fits; `longer` is sorted."""
    cuts = [0]
    for i, n in enumerate(longer.tolist()):
        if n * (i + 1 - cuts[-1]) > max_tokens:
            cuts.append(i)
    return np.array([*cuts, len(longer)], np.intp)
