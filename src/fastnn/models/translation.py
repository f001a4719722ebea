"""Translate sentences with an encoder-decoder and its vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import check_count, given
from ..keywords import explained
from .beam import beam_search

if TYPE_CHECKING:
    from ..text import Vocab

# A translation may be this many tokens longer than the longest source in its batch.
LONGER = 30


@explained
def translate(
    model: Any,
    vocab: Vocab,
    sentences: Sequence[str],
    *,
    tgt_vocab: Vocab | None = None,
    beams: int = 5,
    length_penalty: float = 1.0,
    rows: int = 100,
) -> list[str]:
    """Translate each sentence by beam search, in batches of similar length.

    Parameters
    ----------
    model : Seq2SeqTransformer, or a frozen one
        Trained on batches of `data.token_batches`: sources end with <eos>.
    vocab : text.Vocab
        Vocabulary of the sources, with the special tokens; of both sides by default.
    sentences : sequence of str
    tgt_vocab : text.Vocab, optional
        Vocabulary of the translations, for a model with two.
    beams, length_penalty
        As in `models.beam_search`.
    rows : int
        Sentences in a batch; more take more memory.

    Returns
    -------
    list of str
        In the order of the sentences; "" for a sentence without tokens.

    Raises
    ------
    ValueError
        A sentence with <eos> has more tokens than the model's max_len, rows is below 1, or the
        vocabulary has no special tokens.
    TypeError
        sentences is a single str, or the vocabulary or the model has the wrong type.

    Examples
    --------
    >>> vocab = fastnn.text.WordVocab.from_sentences(["go away", "go home"])
    >>> model = fastnn.models.Seq2SeqTransformer(len(vocab), d_model=16, n_layers=1, rng=0)
    >>> len(fastnn.models.translate(model, vocab, ["go", "go home"], beams=2))  # not trained yet
    2
    """
    if isinstance(sentences, str):
        raise TypeError("translate takes several sentences, got one str")
    rows = check_count("rows", rows)
    if not hasattr(model, "vocab_sizes"):
        raise TypeError(f"model must be a Seq2SeqTransformer, got {given(model)}")
    src_size, tgt_size = model.vocab_sizes
    _check_vocab("vocab", vocab, src_size)
    if tgt_vocab is None and not model.shared:
        raise ValueError("the model has two vocabularies: give tgt_vocab, that of the translations")
    tgt_vocab = vocab if tgt_vocab is None else tgt_vocab
    _check_vocab("tgt_vocab", tgt_vocab, tgt_size)
    bos, eos = tgt_vocab.bos_id, tgt_vocab.eos_id
    assert bos is not None and eos is not None and vocab.eos_id is not None
    sources = [np.append(ids, vocab.eos_id) for ids in vocab.encode_batch(sentences)]
    for i, source in enumerate(sources):
        if len(source) > model.max_len:
            raise ValueError(
                f"sentence {i} has {len(source)} tokens, the model takes {model.max_len}"
            )
    full = [i for i, source in enumerate(sources) if len(source) > 1]
    order = sorted(full, key=lambda i: len(sources[i]))
    found = [""] * len(sources)
    for start in range(0, len(order), rows):
        some = order[start : start + rows]
        lengths = np.array([len(sources[i]) for i in some])
        src = np.full((len(some), lengths.max()), vocab.pad_id)
        for row, i in enumerate(some):
            src[row, : lengths[row]] = sources[i]
        longest = min(int(lengths.max()) + LONGER, model.max_len)
        best = beam_search(
            model,
            model.new_cache(src, lengths, max_len=longest),
            bos=bos,
            eos=eos,
            max_len=longest,
            beams=beams,
            length_penalty=length_penalty,
        )
        for i, hypotheses in zip(some, best, strict=True):
            found[i] = tgt_vocab.decode(hypotheses[0].tokens)
    return found


def _check_vocab(name: str, vocab: Vocab, size: int) -> None:
    """Raise TypeError or ValueError unless it is a vocabulary of a side of the model."""
    if not hasattr(vocab, "encode_batch"):
        raise TypeError(f"{name} must be a text.Vocab, got {given(vocab)}")
    if vocab.bos_id is None or vocab.eos_id is None or vocab.pad_id is None:
        raise ValueError(f"translate needs a vocabulary with <bos>, <eos> and <pad>, got {vocab!r}")
    if len(vocab) > size:
        raise ValueError(f"{name} has {len(vocab)} tokens, this side of the model {size}")
