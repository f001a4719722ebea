"""Vocabularies of characters and words: round trips, specials, JSON, errors."""

import json

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
    assert type(ids) is list and len(ids) == len(sample)
    assert all(type(i) is int for i in ids)
    assert vocab.decode(ids) == sample
    assert [vocab.tokens[i] for i in ids] == list(sample)
    assert len(vocab) == len(set(sample)) and vocab.tokens == sorted(set(sample))
    again = text.from_json(vocab.to_json())
    assert type(again) is CharVocab and again.tokens == vocab.tokens
    assert again.encode(sample) == ids


def test_characters():
    vocab = CharVocab.from_text("naïve\n犬🐕")
    assert vocab.pad_id is vocab.unk_id is vocab.bos_id is vocab.eos_id is None
    assert vocab.encode("") == [] and vocab.decode([]) == ""
    assert vocab.encode_batch(["a", "\n"]) == [[1], [0]]
    assert vocab.decode(vocab.encode("🐕\n犬")) == "🐕\n犬"
    assert repr(vocab) == "<CharVocab of 8 tokens>"


@pytest.mark.parametrize("wrong", ["z", "\x00", "🐈", "b"])
def test_unknown_characters(wrong):
    vocab = CharVocab.from_text("acd")
    with pytest.raises(
        ValueError, match=rf"\(U\+{ord(wrong):04X}\) at 2 is not in this vocabulary of 3"
    ):
        vocab.encode("ac" + wrong)


def test_words():
    vocab = WordVocab.from_sentences(SENTENCES)
    assert vocab.tokens == [*SPECIALS, "the", "sat", "cat", "dog", "naïve", "犬"]
    assert (vocab.pad_id, vocab.unk_id, vocab.bos_id, vocab.eos_id) == (0, 1, 2, 3)
    ids = vocab.encode(" the 犬\nsat on <bos>")
    assert ids == [4, 9, 5, 1, 1]
    assert vocab.decode([2, *ids, 3, 0, 0]) == "the 犬 sat <unk> <unk>"
    assert vocab.encode("") == [] and vocab.decode([]) == ""
    assert vocab.encode_batch(["cat", "dog dog"]) == [[6], [7, 7]]


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
    with pytest.raises(TypeError, match=r"takes several texts .*, got one str"):
        WordVocab.from_sentences("the cat")


@given(st.lists(any_text(), max_size=5))
def test_words_round_trip(sentences):
    vocab = WordVocab.from_sentences(sentences)
    again = text.from_json(vocab.to_json())
    assert type(again) is WordVocab and again.tokens == vocab.tokens
    for sentence in sentences:
        assert vocab.decode(vocab.encode(sentence)) == " ".join(sentence.split())
        assert again.encode(sentence) == vocab.encode(sentence)


@pytest.mark.parametrize("vocab", [CharVocab("abc"), WordVocab([*SPECIALS, "a", "b"])])
def test_ids_of_no_token(vocab):
    n = len(vocab)
    for wrong in (n, -1, 2**40):
        with pytest.raises(IndexError, match=f"id {wrong} is not in this vocabulary of {n} tokens"):
            vocab.decode([0, wrong])
    for wrong in ([0.5], [[1]], "ab"):
        with pytest.raises(TypeError, match="ids must be a sequence of integers"):
            vocab.decode(wrong)


def test_tokens_that_are_no_vocabulary():
    for wrong, error in (
        ([], "there are no characters"),
        ("ba", "sorted single characters"),
        (["ab"], "sorted single characters"),
        ("aa", "duplicate token"),
    ):
        with pytest.raises(ValueError, match=error):
            CharVocab(wrong)
    with pytest.raises(ValueError, match="there are no characters"):
        CharVocab.from_text("")
    with pytest.raises(ValueError, match="the first tokens must be"):
        WordVocab(["a", "b"])
    with pytest.raises(ValueError, match="duplicate token"):
        WordVocab([*SPECIALS, "a", "<unk>"])
    with pytest.raises(TypeError, match="tokens must be str"):
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
    with pytest.raises(ValueError, match=r"vocabular|not a (CharVocab|WordVocab) in JSON"):
        text.from_json(wrong)


def test_json_of_another_kind():
    described = CharVocab("ab").to_json()
    assert json.loads(described) == {"kind": "chars", "characters": "ab"}
    assert "\n" not in described and described.isascii()
    with pytest.raises(ValueError, match="not a WordVocab in JSON: its kind is 'chars'"):
        WordVocab.from_json(described)


def test_a_vocabulary_in_a_models_file(tmp_path):
    pytest.importorskip("safetensors", reason="reads a model's file where it can be read")
    from fastnn import nn, save
    from fastnn.files import load_metadata

    vocab = CharVocab.from_text("naïve\n犬🐕\ud800")
    save(nn.Linear(2, 3), tmp_path / "m.safetensors", metadata={"vocab": vocab.to_json()})
    again = text.from_json(load_metadata(tmp_path / "m.safetensors")["vocab"])
    assert again.tokens == vocab.tokens


def deep(levels, shape):
    """JSON of this depth: lists in lists, objects in objects, or layers in layers."""
    opening, inner, closing = {
        "lists": ("[", "", "]"),
        "objects": ('{"a":', "1", "}"),
        "layers": ('{"type":"Sequential","layers":[', '{"type":"ReLU"}', "]}"),
    }[shape]
    return opening * levels + inner + closing * levels


@pytest.mark.parametrize("levels", [150, 250, 950, 1000, 100_000])
@pytest.mark.parametrize("shape", ["lists", "objects", "layers"])
def test_deep_json(levels, shape):
    nested = deep(levels, shape)
    for described in (
        nested,
        f'{{"kind":{nested}}}',
        f'{{"kind":"words","tokens":{nested}}}',
        f'{{"kind":"chars","characters":[{nested}]}}',
        f'{{"kind":"bpe","tokens":["<pad>","<unk>","<bos>","<eos>"],"merges":[{nested}]}}',
    ):
        for read in (text.from_json, WordVocab.from_json, CharVocab.from_json):
            with pytest.raises(ValueError, match=r"JSON|a vocabulary") as caught:
                read(described)
            assert levels < 200 or "nested more than 200 levels deep" in str(caught.value)


VOCABULARIES = [CharVocab("ab"), WordVocab([*SPECIALS, "a", "b"])]


@pytest.mark.parametrize("vocab", VOCABULARIES, ids=["chars", "words"])
def test_ids_are_lists(vocab):
    """An id can be put behind them: an array would add it to each of them."""
    ids = vocab.encode("a") + [7]  # noqa: RUF005 (an array would take it)
    assert len(ids) == 2 and ids[1] == 7


@pytest.mark.parametrize("wrong", [None, 5, b"ab", ["ab"], {"a": 1}])
@pytest.mark.parametrize("vocab", VOCABULARIES, ids=["chars", "words"])
def test_texts_of_another_type(vocab, wrong):
    given = type(wrong).__name__
    for name, call in (
        ("encode", vocab.encode),
        ("from_json", text.from_json),
        ("from_json", type(vocab).from_json),
        ("from_text", CharVocab.from_text),
    ):
        with pytest.raises(TypeError, match=rf"^{name} takes a str, got {given}$"):
            call(wrong)
    with pytest.raises(TypeError, match=rf"^encode_batch, text 1: takes a str, got {given}$"):
        vocab.encode_batch(["a", wrong])
    with pytest.raises(TypeError, match=rf"^from_sentences, text 0: takes a str, got {given}$"):
        WordVocab.from_sentences([wrong])
    with pytest.raises(TypeError, match=r"^encode_batch takes several texts .*, got one str$"):
        vocab.encode_batch("ab")


@pytest.mark.parametrize("wrong", [None, 5, 1.5])
def test_what_cannot_be_iterated(wrong):
    given = type(wrong).__name__
    for call in (CharVocab, WordVocab):
        with pytest.raises(TypeError, match=f"tokens must be a sequence of str, got {given}"):
            call(wrong)
    for call in (WordVocab.from_sentences, VOCABULARIES[0].encode_batch):
        with pytest.raises(TypeError, match=rf"takes several texts \(a list of str\), got {given}"):
            call(wrong)


@pytest.mark.parametrize(("name", "least"), [("min_freq", 1), ("max_size", 4)])
def test_counts_of_words(name, least):
    for wrong in (True, 2.5, "5", [5]):
        with pytest.raises(TypeError, match=f"{name} must be an integer"):
            WordVocab.from_sentences(SENTENCES, **{name: wrong})
    with pytest.raises(ValueError, match=f"{name} must be at least {least}, got -1"):
        WordVocab.from_sentences(SENTENCES, **{name: -1})
    assert len(WordVocab.from_sentences(SENTENCES, max_size=10**30)) == 10


def test_a_vocabulary_says_how_it_is_read():
    class Unfinished(text.Vocab):
        kind = "other"

        def encode(self, text):
            return []

        def decode(self, ids):
            return ""

    with pytest.raises(ValueError, match="Unfinished in JSON: Unfinished has no _from_described"):
        Unfinished.from_json('{"kind": "other"}')
