"""Byte-pair encoding: exact spaces, the same pieces in every process, specials, JSON."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn import text
from fastnn.text import BPE

pytest.importorskip("tokenizers", reason="byte-pair encoding comes with fastnn[text]")

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
    assert bpe.encode("ab b").tolist() == [8, 4, 6]


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
    assert ids.dtype == np.int32 and ids.ndim == 1
    assert bpe.unk_id not in ids and bpe.decode(ids) == sample
    assert (len(ids) == 0) == (sample == "")


@given(st.text(max_size=40))
def test_any_text_of_known_characters_comes_back(sample):
    bpe = BPE.train([sample], 5000, min_frequency=1)
    assert bpe.decode(bpe.encode(sample)) == sample


def test_unknown_characters(bpe):
    ids = bpe.encode("low☃er ☃ low")
    assert (ids == bpe.unk_id).sum() == 2
    assert bpe.decode(ids) == "low<unk>er <unk> low"


def test_written_specials_are_text(bpe):
    for special in SPECIALS:
        assert not {0, 2, 3} & set(bpe.encode(f"low {special} low").tolist())


def test_letters_that_spell_a_special_stay_letters():
    """The library joins them to the special's own token when they are frequent."""
    for special in SPECIALS:
        often = BPE.train([" ".join(letter + special for letter in "qrstvwxyz") + " q"] * 5, 1000)
        for sample in (f"q{special}", f"qr{special}", special):
            ids = often.encode(sample)
            assert ids.min() > 3 and often.decode(ids) == sample


def test_decoding_leaves_out_what_is_not_text(bpe):
    ids = bpe.encode("the tower")
    assert bpe.decode([2, *ids, 3, 0, 0]) == "the tower"
    assert bpe.decode([]) == "" and bpe.decode([3]) == ""
    with pytest.raises(IndexError, match="id 60 is none of the 60 of this vocabulary"):
        bpe.decode([60])


def test_batches(bpe):
    samples = [*SENTENCES, "", "☃"]
    found = bpe.encode_batch(iter(samples))
    assert len(found) == len(samples)
    for sample, ids in zip(samples, found, strict=True):
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, bpe.encode(sample))


def test_other_processes_learn_the_same(bpe):
    """Each with hash tables and numbers of threads of its own."""
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
        np.testing.assert_array_equal(again.encode(sample), bpe.encode(sample))


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
        with pytest.raises(ValueError, match=r"this is no BPE in JSON"):
            BPE.from_json(json.dumps(described | change))


def test_refused():
    with pytest.raises(ValueError, match="vocab_size is 20, but the specials and the characters"):
        BPE.train(SENTENCES, 20)
    with pytest.raises(TypeError, match="takes several sentences, got one str"):
        BPE.train("low lower", 100)
    with pytest.raises(ValueError, match="the first tokens must be"):
        BPE(["a"], [])

    def broken():
        yield "low"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        BPE.train(broken(), 100)


def test_without_tokenizers(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModuleNotFoundError, match=r"tokenizers: pip install 'fastnn\[text\]'"):
        BPE.train(SENTENCES, 60)
