"""Compute BLEU: the n-grams that a translation shares with a reference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..checks import check_integer, given
from ..keywords import explained
from .vocab import one_text


@explained
def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Compute the BLEU of a corpus, 0 to 100, with sacrebleu (`pip install 'fastnn-cpu[text]'`).

    Parameters
    ----------
    hypotheses, references : sequences of str
        Sentences, already tokenized: words and punctuation are separated by spaces and compared
        literally (sacrebleu's `tokenize="none"`, as multi-bleu.perl and fairseq report it).

    Raises
    ------
    ValueError
        There are no sentences, or their numbers differ.
    ModuleNotFoundError
        sacrebleu is not installed.

    References
    ----------
    K. Papineni et al. (2002). BLEU: a Method for Automatic Evaluation of Machine Translation.
    M. Post (2018). A Call for Clarity in Reporting BLEU Scores.

    Examples
    --------
    >>> hypotheses = references = ["the cat is on the mat today"]
    >>> round(fastnn.text.bleu(hypotheses, references))
    100
    """
    for name, sentences in (("hypotheses", hypotheses), ("references", references)):
        if isinstance(sentences, str) or not isinstance(sentences, Sequence):
            one = "one str" if isinstance(sentences, str) else given(sentences)
            raise TypeError(f"{name} must be a sequence of sentences, got {one}")
        for sentence in sentences:
            one_text(f"bleu, {name}:", sentence)
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses, but {len(references)} references")
    if not hypotheses:
        raise ValueError("hypotheses and references are empty")
    metric = _sacrebleu().metrics.BLEU(
        tokenize="none", force=True
    )  # force: no warning about tokenized input
    return float(metric.corpus_score(list(hypotheses), [list(references)]).score)


@explained
def d2l_bleu(prediction: str, label: str, k: int) -> float:
    """Compute the BLEU of one sentence, 0 to 1, as in *Dive into Deep Learning*.

    exp(min(0, 1 - len(label) / len(prediction))) prod_(n=1..k) p_n^(1/2^n), where p_n is the
    fraction of the prediction's n-grams that occur in the label, each counted as often as there.

    Parameters
    ----------
    prediction, label : str
        Words separated by spaces.
    k : int
        Length of the longest n-grams; at most the length of the prediction counts.

    Returns
    -------
    float
        0 for a prediction without words.

    References
    ----------
    A. Zhang et al., Dive into Deep Learning, section 10.7 (Evaluation of Predicted Sequences).

    Examples
    --------
    >>> fastnn.text.d2l_bleu("he is calm .", "he is calm .", k=2)
    1.0
    """
    one_text("d2l_bleu, prediction:", prediction)
    one_text("d2l_bleu, label:", label)
    k = check_integer("k", k)
    words, expected = prediction.split(), label.split()
    if not words:
        return 0.0
    score = math.exp(min(0.0, 1 - len(expected) / len(words)))
    for n in range(1, min(k, len(words)) + 1):
        shared = (_runs(words, n) & _runs(expected, n)).total()
        score *= (shared / (len(words) - n + 1)) ** 0.5**n
    return score


def _runs(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "BLEU needs sacrebleu: pip install 'fastnn-cpu[text]'", name="sacrebleu"
        ) from error
    return sacrebleu
