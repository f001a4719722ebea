"""Vocabularies of characters and words: round trips, specials, JSON, errors."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn import text
from fastnn.text import CharVocab, WordVocab

SPECIALS = ["<pad>", "<unk>", "<bos>", "<eos>"]
SENTENCES = ["the cat sat", "the  dog\tsat ", "", "the <unk> <pad> naïve 犬"]


def any_text():
    return st.text(st.characters(codec=None), max_size=50)  # surrogates and all


@given(any_text().filter(bool))
def test_characters_round_trip(sample):
    vocab = CharVocab.from_text(sample)
    ids = vocab.encode(sample)
    assert ids.dtype == np.int32 and ids.shape == (len(sample),)
    assert vocab.decode(ids) == sample
    assert [vocab.tokens[i] for i in ids] == list(sample)
    assert len(vocab) == len(set(sample)) and vocab.tokens == sorted(set(sample))
    again = text.from_json(vocab.to_json())
    assert type(again) is CharVocab and again.tokens == vocab.tokens
    np.testing.assert_array_equal(again.encode(sample), ids)


def test_characters():
    vocab = CharVocab.from_text("naïve\n犬🐕")
    assert vocab.pad_id is vocab.unk_id is vocab.bos_id is vocab.eos_id is None
    assert vocab.encode("").shape == (0,) and vocab.decode([]) == ""
    assert [ids.tolist() for ids in vocab.encode_batch(["a", "\n"])] == [[1], [0]]
    assert vocab.decode(vocab.encode("🐕\n犬")) == "🐕\n犬"
    assert repr(vocab) == "<CharVocab of 8 tokens>"


@pytest.mark.parametrize("wrong", ["z", "\x00", "🐈", "b"])
def test_unknown_characters(wrong):
    vocab = CharVocab.from_text("acd")
    with pytest.raises(ValueError, match=rf"\(U\+{ord(wrong):04X}\) at 2 is none of the 3"):
        vocab.encode("ac" + wrong)


def test_words():
    vocab = WordVocab.from_sentences(SENTENCES)
    assert vocab.tokens == [*SPECIALS, "the", "sat", "cat", "dog", "naïve", "犬"]
    assert (vocab.pad_id, vocab.unk_id, vocab.bos_id, vocab.eos_id) == (0, 1, 2, 3)
    ids = vocab.encode(" the 犬\nsat on <bos>")
    assert ids.dtype == np.int32 and ids.tolist() == [4, 9, 5, 1, 1]
    assert vocab.decode([2, *ids, 3, 0, 0]) == "the 犬 sat <unk> <unk>"
    assert vocab.encode("").shape == (0,) and vocab.decode([]) == ""
    assert [ids.tolist() for ids in vocab.encode_batch(["cat", "dog dog"])] == [[6], [7, 7]]


def test_words_of_a_frequency_and_number():
    assert WordVocab.from_sentences(SENTENCES, min_freq=2).tokens == [*SPECIALS, "the", "sat"]
    assert WordVocab.from_sentences(SENTENCES, max_size=7).tokens == [
        *SPECIALS,
        "the",
        "sat",
        "cat",
    ]
    assert WordVocab.from_sentences([], max_size=4).tokens == SPECIALS
    with pytest.raises(ValueError, match="max_size must be at least 4, got 3"):
        WordVocab.from_sentences(SENTENCES, max_size=3)
    with pytest.raises(TypeError, match="takes several sentences, got one str"):
        WordVocab.from_sentences("the cat")


@given(st.lists(any_text(), max_size=5))
def test_words_round_trip(sentences):
    vocab = WordVocab.from_sentences(sentences)
    again = text.from_json(vocab.to_json())
    assert type(again) is WordVocab and again.tokens == vocab.tokens
    for sentence in sentences:
        assert vocab.decode(vocab.encode(sentence)) == " ".join(sentence.split())
        np.testing.assert_array_equal(again.encode(sentence), vocab.encode(sentence))


@pytest.mark.parametrize("vocab", [CharVocab("abc"), WordVocab([*SPECIALS, "a", "b"])])
def test_ids_of_no_token(vocab):
    n = len(vocab)
    for wrong in (n, -1, 2**40):
        with pytest.raises(IndexError, match=f"id {wrong} is none of the {n} of this vocabulary"):
            vocab.decode([0, wrong])
    for wrong in ([0.5], [[1]], "ab"):
        with pytest.raises(TypeError, match="ids must be a sequence of integers"):
            vocab.decode(wrong)


def test_tokens_that_are_no_vocabulary():
    for wrong, error in (
        ([], "there are no characters"),
        ("ba", "single characters, sorted"),
        (["ab"], "single characters, sorted"),
        ("aa", "a token is there twice"),
    ):
        with pytest.raises(ValueError, match=error):
            CharVocab(wrong)
    with pytest.raises(ValueError, match="there are no characters"):
        CharVocab.from_text("")
    with pytest.raises(ValueError, match="the first tokens must be"):
        WordVocab(["a", "b"])
    with pytest.raises(ValueError, match="a token is there twice"):
        WordVocab([*SPECIALS, "a", "<unk>"])
    with pytest.raises(TypeError, match="the tokens must be str"):
        WordVocab([*SPECIALS, 5])


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        "5",
        '{"kind":"words"}',
        '{"kind":"words","tokens":5}',
        '{"kind":"words","tokens":["<pad>","<unk>","<bos>","<eos>",null]}',
        '{"kind":"chars","characters":"ba"}',
        '{"kind":"chars","characters":[1]}',
        '{"kind":["chars"],"characters":"ab"}',
        '{"kind":"bytes"}',
    ],
)
def test_damaged_json(wrong):
    with pytest.raises(ValueError, match=r"vocabular|this is no (CharVocab|WordVocab) in JSON"):
        text.from_json(wrong)


def test_json_of_another_kind():
    described = CharVocab("ab").to_json()
    assert json.loads(described) == {"kind": "chars", "characters": "ab"}
    assert "\n" not in described and described.isascii()
    with pytest.raises(ValueError, match="this is no WordVocab in JSON: its kind is 'chars'"):
        WordVocab.from_json(described)


def test_a_vocabulary_in_a_models_file(tmp_path):
    pytest.importorskip("safetensors", reason="reads a model's file where it can be read")
    from fastnn import nn, save
    from fastnn.train import load_metadata

    vocab = CharVocab.from_text("naïve\n犬🐕\ud800")
    save(nn.Linear(2, 3), tmp_path / "m.safetensors", metadata={"vocab": vocab.to_json()})
    again = text.from_json(load_metadata(tmp_path / "m.safetensors")["vocab"])
    assert again.tokens == vocab.tokens
