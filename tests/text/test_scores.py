"""BLEU of a corpus and of the book's sentences."""

import math
import sys

import pytest

from fastnn.text import bleu, d2l_bleu

HYPOTHESES = ["the cat sat on the mat .", "a dog runs fast , very fast"]
REFERENCES = ["the cat is on the mat .", "a dog runs very fast"]


def by_hand(hypotheses, references):
    """Papineni et al.: the geometric mean of four precisions of the corpus, times the penalty."""
    product, n_hypotheses, n_references = 1.0, 0, 0
    for h, r in zip(hypotheses, references, strict=True):
        n_hypotheses, n_references = n_hypotheses + len(h.split()), n_references + len(r.split())
    for n in range(1, 5):
        matches = total = 0
        for h, r in zip(hypotheses, references, strict=True):
            h, r = h.split(), r.split()
            runs = [tuple(h[i : i + n]) for i in range(len(h) - n + 1)]
            left = [tuple(r[i : i + n]) for i in range(len(r) - n + 1)]
            total += len(runs)
            for run in runs:
                if run in left:
                    left.remove(run)
                    matches += 1
        product *= matches / total
    return 100 * product**0.25 * math.exp(min(0, 1 - n_references / n_hypotheses))


def test_of_a_corpus():
    pytest.importorskip("sacrebleu", reason="BLEU of a corpus comes with fastnn-cpu[text]")
    pairs = [(HYPOTHESES * 3, [*REFERENCES, *HYPOTHESES, *REFERENCES])]
    pairs.append((pairs[0][1], pairs[0][0]))  # shorter than the references
    for hypotheses, references in pairs:
        found = bleu(hypotheses, references)
        assert isinstance(found, float)
        assert found == pytest.approx(by_hand(hypotheses, references), rel=1e-9)
    assert bleu(REFERENCES, tuple(REFERENCES)) == pytest.approx(100)
    assert bleu(["Low . x y"] * 2, ["low . x y"] * 2) < 100


def test_sentences_that_end_in_a_mark_raise_no_warning(caplog):
    pytest.importorskip("sacrebleu", reason="BLEU of a corpus comes with fastnn-cpu[text]")
    assert bleu(["the end of it ."] * 200, ["the end of it ."] * 200) == pytest.approx(100)
    assert not caplog.records


def test_refused():
    with pytest.raises(ValueError, match="2 hypotheses, but 1 references"):
        bleu(HYPOTHESES, REFERENCES[:1])
    with pytest.raises(ValueError, match="are empty"):
        bleu([], [])
    with pytest.raises(TypeError, match="references must be a sequence of sentences, got one str"):
        bleu(["a"], "a")


def test_without_sacrebleu(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ModuleNotFoundError, match=r"sacrebleu: pip install 'fastnn-cpu\[text\]'"):
        bleu(HYPOTHESES, REFERENCES)


def test_the_books_examples():
    """Section 10.7: label A B C D E F, prediction A B B C D: p_1..p_4 = 4/5, 3/4, 1/3, 0."""
    factors = [(4 / 5) ** (1 / 2), (3 / 4) ** (1 / 4), (1 / 3) ** (1 / 8), 0]
    penalty = math.exp(1 - 6 / 5)
    for k in (1, 2, 3, 4):
        expected = penalty * math.prod(factors[:k])
        assert d2l_bleu("A B B C D", "A B C D E F", k) == pytest.approx(expected, rel=1e-12)
    # the penalty of a short prediction: exp(1 - 6/2), about 0.14
    assert d2l_bleu("A B", "A B C D E F", 2) == pytest.approx(math.exp(-2), rel=1e-12)


def test_sentences_of_the_book():
    assert d2l_bleu("je suis calme .", "je suis calme .", 2) == 1.0
    assert d2l_bleu("je suis calme . .", "je suis calme .", 1) == pytest.approx(math.sqrt(4 / 5))
    assert d2l_bleu("moi", "moi", 4) == 1.0  # runs no longer than the prediction
    assert d2l_bleu("", "moi", 2) == 0.0 == d2l_bleu("toi", "moi", 1)
    assert d2l_bleu("moi moi", "moi", 1) == pytest.approx(math.sqrt(1 / 2))
