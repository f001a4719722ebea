"""Texts from GGUF files, whose tokenizer stands in the metadata."""

import string
import struct

import numpy as np
import pytest

from fastnn import models
from fastnn.cli import main
from fastnn.files.tensors import ModelFileError

from ..files.test_gguf import text
from .test_gguf_models import convert

pytest.importorskip("tokenizers")

TOKENS = ["<s>", "</s>", "Ġ", *string.ascii_lowercase, *string.digits, "'", "th", "the", "Ġthe"]
TOKENS += ["12", "<own>"]
MERGES = ["t h", "th e", "Ġ the", "1 2"]


def texts(values):
    return 9, struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values))


def numbers(values):
    return 9, struct.pack(f"<IQ{len(values)}i", 5, len(values), *values)


def metadata(**changes):
    types = [3, 3, *[1] * (len(TOKENS) - 3), 4]
    values = {
        "ggml.model": (8, text("gpt2")),
        "ggml.pre": (8, text("smollm")),
        "ggml.tokens": texts(TOKENS),
        "ggml.merges": texts(MERGES),
        "ggml.token_type": numbers(types),
        "ggml.bos_token_id": (4, struct.pack("<I", 0)),
        "ggml.eos_token_id": (4, struct.pack("<I", 1)),
        "chat_template": (8, text("{{ bos_token }}{{ messages[0].content }}")),
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    return {f"tokenizer.{key}": value for key, value in values.items() if value is not None}


def load(folder, **changes):
    (folder / "m.gguf").write_bytes(convert(metadata(**changes)))
    return models.TextModel.load(folder / "m.gguf")


def words(model, value):
    return [TOKENS[i] for i in model.tokenizer.encode(value).ids]


@pytest.mark.parametrize(
    ("pre", "expected"),
    [
        ("smollm", ["the", "Ġthe", "Ġ", "1", "2", "'", "s", "</s>", "<own>"]),
        ("gpt-2", ["the", "Ġthe", "Ġ", "12", "'", "s", "</s>", "<own>"]),
        ("qwen2", ["the", "Ġthe", "Ġ", "1", "2", "'", "s", "</s>", "<own>"]),
        ("llama-bpe", ["the", "Ġthe", "Ġ", "12", "'", "s", "</s>", "<own>"]),
    ],
)
def test_tokens(tmp_path, pre, expected):
    model = load(tmp_path, ggml__pre=(8, text(pre)))
    assert words(model, "the the 12's</s><own>") == expected
    assert model.tokenizer.decode(model.tokenizer.encode("the the 12").ids) == "the the 12"
    assert model.stop == {1}


def test_the_first_token(tmp_path):
    model = load(tmp_path, ggml__add_bos_token=(7, b"\1"))
    assert words(model, "the") == ["<s>", "the"]


def test_continuations_are_those_of_the_model(tmp_path, capsys):
    model = load(tmp_path)
    ids = model.tokenizer.encode("the 12").ids
    vocabulary = len(TOKENS)
    found = models.generate(model.model, [ids], 6, temperature=0, stop=model.stop)[0]
    known = found[: np.argmax(np.append(found >= vocabulary, True))]
    text_of = model.generate("the 12", 6, temperature=0)
    assert text_of.startswith(model.tokenizer.decode([t for t in known if t != 1])[:2])
    options = ["--prompt", "the 12", "--temperature", "0", "--max_new_tokens", "6"]
    assert main(["generate", str(tmp_path / "m.gguf"), *options]) == 0
    assert capsys.readouterr().out == f"the 12{text_of}\n"


def test_chat(tmp_path):
    pytest.importorskip("jinja2")
    model = load(tmp_path)
    assert model.template.render([{"role": "user", "content": "the"}]) == "<s>the"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ggml__tokens": None}, "tokenizer.ggml.tokens is None, which is not supported"),
        ({"ggml__model": (8, text("llama"))}, "ggml.model is .*'llama', which is not supported"),
        ({"ggml__pre": (8, text("tekken"))}, "ggml.pre is .*'tekken', which is not supported"),
        ({"ggml__tokens": texts(["a", "a"])}, "tokens occur twice"),
        ({"ggml__merges": texts(["a b c"])}, "merges are not pairs"),
        ({"ggml__merges": texts(["a zz"])}, "its tokenizer is damaged"),
        ({"ggml__eos_token_id": (4, struct.pack("<I", 999))}, "eos_token_id is"),
        ({"ggml__tokens": texts([*TOKENS, *map(str, range(99, 200))])}, "vectors for 96"),
        ({"chat_template": (4, struct.pack("<I", 9))}, "chat_template is"),
    ],
)
def test_tokenizers_that_are_refused(tmp_path, changes, message):
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path, **changes)
