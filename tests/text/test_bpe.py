"""Byte-pair encoding: exact spaces, the same pieces in every process, specials, JSON."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn import text
from fastnn.text import BPE
from fastnn.text.bpe import RESERVED, most_pieces

pytest.importorskip("tokenizers", reason="byte-pair encoding comes with fastnn-cpu[text]")

SENTENCES = [
    "low lower lowest , the low tower",
    "a new newer newest tower is lower than the lowest",
    "der größte neue turm ist der neueste",
] * 3
SPECIALS = ["<pad>", "<unk>", "<bos>", "<eos>"]


@pytest.fixture(scope="module")
def bpe():
    return BPE.train(SENTENCES, 60)


def test_training(bpe):
    assert len(bpe) == 60 == len(bpe.tokens) and bpe.tokens[:4] == SPECIALS
    assert (bpe.pad_id, bpe.unk_id, bpe.bos_id, bpe.eos_id) == (0, 1, 2, 3)
    characters = sorted(set("".join(SENTENCES)))
    assert bpe.tokens[4 : 4 + len(characters)] == characters
    assert bpe.tokens[4 + len(characters) :] == [left + right for left, right in bpe.merges]
    few, many = (BPE.train(SENTENCES, n) for n in (40, 10_000))
    assert bpe.tokens[:40] == few.tokens and many.tokens[:60] == bpe.tokens
    assert len(few) == 40 and len(many) < 100
    sizes = [sum(map(len, vocab.encode_batch(SENTENCES))) for vocab in (few, bpe, many)]
    assert sizes[0] > sizes[1] > sizes[2] == len(" ".join(SENTENCES).split())


def test_the_first_merges():
    """By hand: of "ab ab ab b", " a" and "ab" are there 3 times each, and one of them is joined."""
    bpe = BPE.train(["ab ab ab b"], 9)
    assert bpe.tokens[4:7] == [" ", "a", "b"] and len(bpe) == 9
    assert bpe.tokens[-1] == " ab"
    assert bpe.encode("ab b") == [8, 4, 6]


def test_pairs_that_are_rare_stay_apart():
    assert BPE.train(["ab", "cd cd"], 100).tokens[-1] == " cd"
    assert " ab" in BPE.train(["ab", "cd cd"], 100, min_frequency=1).tokens


@pytest.mark.parametrize(
    "sample",
    ["", " ", "  ", "low", " low", "low ", "a  b   c ", "lowlow low", *SENTENCES],
)
def test_spaces_come_back(sample):
    bpe = BPE.train([*SENTENCES, "b c"], 70)
    ids = bpe.encode(sample)
    assert type(ids) is list and all(type(i) is int for i in ids)
    assert bpe.unk_id not in ids and bpe.decode(ids) == sample
    assert (len(ids) == 0) == (sample == "")


@given(st.text(max_size=40))
def test_any_text_of_known_characters_comes_back(sample):
    bpe = BPE.train([sample], 5000, min_frequency=1)
    assert bpe.decode(bpe.encode(sample)) == sample


def test_unknown_characters(bpe):
    ids = bpe.encode("low☃er ☃ low")
    assert ids.count(bpe.unk_id) == 2
    assert bpe.decode(ids) == "low<unk>er <unk> low"


def test_written_specials_are_text(bpe):
    for special in SPECIALS:
        assert not {0, 2, 3} & set(bpe.encode(f"low {special} low"))


def test_letters_that_spell_a_special_stay_letters():
    """The library joins them to the special's own token when they are frequent."""
    for special in SPECIALS:
        often = BPE.train([" ".join(letter + special for letter in "qrstvwxyz") + " q"] * 5, 1000)
        for sample in (f"q{special}", f"qr{special}", special):
            ids = often.encode(sample)
            assert min(ids) > 3 and often.decode(ids) == sample


def test_decoding_leaves_out_what_is_not_text(bpe):
    ids = bpe.encode("the tower")
    assert bpe.decode([2, *ids, 3, 0, 0]) == "the tower"
    assert bpe.decode([]) == "" and bpe.decode([3]) == ""
    with pytest.raises(IndexError, match="id 60 is not in this vocabulary of 60 tokens"):
        bpe.decode([60])


def test_batches(bpe):
    samples = [*SENTENCES, "", "☃"]
    found = bpe.encode_batch(iter(samples))
    assert len(found) == len(samples)
    for sample, ids in zip(samples, found, strict=True):
        assert ids == bpe.encode(sample)


def test_other_processes_learn_the_same(bpe):
    """Processes with different hash seeds and numbers of threads."""
    code = f"from fastnn.text import BPE; print(BPE.train({SENTENCES!r}, 60).to_json())"
    for threads in ("1", "3"):
        found = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "RAYON_NUM_THREADS": threads},
        )
        assert found.stdout.strip() == bpe.to_json()


def test_json(bpe):
    described = bpe.to_json()
    assert described.isascii() and "\n" not in described
    again = text.from_json(described)
    assert type(again) is BPE and again.tokens == bpe.tokens and again.merges == bpe.merges
    for sample in (*SENTENCES, "☃ lowestest"):
        assert again.encode(sample) == bpe.encode(sample)


def test_damaged_json(bpe):
    described = json.loads(bpe.to_json())
    for change in (
        {"merges": [[4, 10**6]]},
        {"merges": [[0, 1]]},
        {"merges": [[5]]},
        {"merges": None},
        {"tokens": described["tokens"][1:]},
        {"tokens": [*described["tokens"][:-1], 5]},
        {"kind": "words"},
    ):
        with pytest.raises(ValueError, match=r"not a BPE in JSON"):
            BPE.from_json(json.dumps(described | change))


def test_refused():
    with pytest.raises(ValueError, match="vocab_size is 20, but the specials and the characters"):
        BPE.train(SENTENCES, 20)
    with pytest.raises(TypeError, match=r"takes several texts .*, got one str"):
        BPE.train("low lower", 100)
    with pytest.raises(ValueError, match="the first tokens must be"):
        BPE(["a"], [])

    def broken():
        yield "low"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        BPE.train(broken(), 100)


@given(st.lists(st.text("ab c", max_size=12), max_size=4), st.integers(1, 3))
def test_no_text_has_more_pieces_than_the_bound(sentences, min_frequency):
    found = BPE.train(sentences, 5000, min_frequency=min_frequency)
    assert len(found) <= most_pieces(sentences)


@pytest.mark.parametrize("vocab_size", [RESERVED + 1, 10**9, 2**63, 10**30])
def test_a_huge_vocabulary_takes_no_memory(bpe, vocab_size):
    """The library reserves memory for all requested tokens, and aborts if it cannot."""
    found = BPE.train(iter(SENTENCES), vocab_size)
    assert found.to_json() == BPE.train(SENTENCES, 10_000).to_json()


def test_counts_that_are_refused():
    for name in ("vocab_size", "min_frequency"):
        for wrong in (True, 60.0, "60", None, [60]):
            with pytest.raises(TypeError, match=f"{name} must be an integer"):
                BPE.train(SENTENCES, **{"vocab_size": 60, name: wrong})
        for wrong in (0, -1, -(10**30)):
            with pytest.raises(ValueError, match=f"{name} must be at least 1, got {wrong}"):
                BPE.train(SENTENCES, **{"vocab_size": 60, name: wrong})
    assert len(BPE.train(["ab ab"], 60, min_frequency=10**30)) == 4 + 3


@pytest.mark.parametrize("wrong", [None, 5, b"low", ["low"]])
def test_texts_of_another_type(bpe, wrong):
    given = type(wrong).__name__
    with pytest.raises(TypeError, match=f"encode takes a str, got {given}"):
        bpe.encode(wrong)
    for call in (bpe.encode_batch, lambda texts: BPE.train(texts, 60)):
        with pytest.raises(TypeError, match=rf"text 1: takes a str, got {given}"):
            call(["low", wrong])
        with pytest.raises(TypeError, match="takes several texts"):
            call("low" if wrong is None else 5)
    with pytest.raises(TypeError, match="merges must be pairs of str"):
        BPE(bpe.tokens, [wrong])


def test_ids_are_lists(bpe):
    ids = bpe.encode("low") + [bpe.eos_id]  # noqa: RUF005
    assert ids == [*bpe.encode("low"), 3]


def test_without_tokenizers(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModuleNotFoundError, match=r"tokenizers: pip install 'fastnn-cpu\[text\]'"):
        BPE.train(SENTENCES, 60)
