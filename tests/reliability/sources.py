"""Random calls of everything in `fastnn.data` and `fastnn.text`, one argument being wrong."""

import functools
import itertools
import random

import numpy as np

from fastnn import data, text

from . import common
from .methods import ALLOWANCE, OTHERS, call_one

IDS = [[4, 5], [6, 7, 8], [4]]
STREAM = np.arange(40) % 11
SENTENCES = ["a b c", "b c", "ab ba"] * 4
MARKS = {"bos_id": 2, "eos_id": 3, "pad_id": 0}
X, Y = np.arange(60, dtype=np.float32).reshape(20, 3), np.arange(20)
STRANGE = ["", "\0", "\ud800", "<eos>", "é\u0301", "x" * 3000, "\U0010ffff", " \u2003\t", "²"]
STRANGE += [[s] for s in STRANGE] + [["a"], ["a", "a"], [b"a"], [None], "a b", {"a": 1}]
STRANGE += [[], (), iter("ab"), [[["a"]]], [("a", "b")], [("a", "b"), ("a",)], [-1, 0], [3, 99]]
STRANGE += [np.array([1, 2]), np.array([[1]]), np.array([1.5]), np.array(["a"]), [0.5], [True]]


def drawn(make, **arguments):
    """The first three batches, so that what is checked late is checked too."""
    return list(itertools.islice(make(**arguments), 3))


def resumed(make, state, **arguments):
    """Batches that continue from a state, which may be wrong."""
    made = make(**arguments)
    made.load_state(made.state() if state is None else state)
    return list(itertools.islice(made, 3))


def of_arrays(x, y, **options):
    return data.batches(x, y, **options)


@functools.cache
def vocabularies():
    return {
        "chars": text.CharVocab.from_text("\nabc "),
        "words": text.WordVocab.from_sentences(SENTENCES),
        "bpe": text.BPE.train(SENTENCES, 20),
    }


def data_calls():
    batches = {"batch_size": 6, "shuffle": True, "seed": 1, "drop_last": False, "prefetch": 0}
    pairs = {"src": IDS, "tgt": IDS, "max_tokens": 12, **MARKS, "src_eos": True, "seed": 1}
    crops = {"ids": STREAM, "length": 5, "batch_size": 3, "steps": 2, "seed": 1}
    windows = {"ids": STREAM, "length": 5, "batch_size": 3}
    made = {
        "batches": (of_arrays, {"x": X, "y": Y, **batches}),
        "batches, ahead": (of_arrays, {"x": X, "y": Y, **batches, "prefetch": 1}),
        "token_batches": (data.token_batches, {**pairs, "shuffle": True}),
        "crops": (data.crops, crops),
        "windows": (data.windows, windows),
    }
    calls = {name: (functools.partial(drawn, make), given) for name, (make, given) in made.items()}
    for name in ("batches", "token_batches", "crops"):
        make, given = made[name]
        calls[f"{name}.load_state"] = (functools.partial(resumed, make), {"state": None, **given})
    calls["load_digits"] = (data.load_digits, {"split": "test", "dtype": np.float32})
    calls["read_idx"] = (data.read_idx, {"path": "/no/where"})
    return calls


def text_calls():
    calls = {
        "CharVocab": (text.CharVocab, {"tokens": "abc"}),
        "CharVocab.from_text": (text.CharVocab.from_text, {"text": "abc"}),
        "WordVocab": (text.WordVocab, {"tokens": vocabularies()["words"].tokens}),
        "WordVocab.from_sentences": (
            text.WordVocab.from_sentences,
            {"sentences": SENTENCES, "min_freq": 1, "max_size": 9},
        ),
        "BPE": (text.BPE, {"tokens": vocabularies()["bpe"].tokens, "merges": []}),
        "BPE.train": (
            text.BPE.train,
            {"sentences": SENTENCES, "vocab_size": 20, "min_frequency": 2},
        ),
        "bleu": (text.bleu, {"hypotheses": SENTENCES, "references": SENTENCES}),
        "d2l_bleu": (text.d2l_bleu, {"prediction": "a b", "label": "a c", "k": 2}),
        "from_json": (text.from_json, {"text": vocabularies()["chars"].to_json()}),
    }
    for name, vocab in vocabularies().items():
        calls[f"{name}.encode"] = (vocab.encode, {"text": "ab c"})
        calls[f"{name}.encode_batch"] = (vocab.encode_batch, {"texts": SENTENCES})
        calls[f"{name}.decode"] = (vocab.decode, {"ids": [1, 2]})
        calls[f"{name}.from_json"] = (type(vocab).from_json, {"text": vocab.to_json()})
    return calls


def of_data(seed):
    common.limit_memory(ALLOWANCE)
    return call_one(data_calls(), random.Random(seed), seed, OTHERS)


def of_text(seed):
    vocabularies()
    common.limit_memory(ALLOWANCE)
    return call_one(text_calls(), random.Random(seed), seed, [*OTHERS, *STRANGE, *STRANGE])
