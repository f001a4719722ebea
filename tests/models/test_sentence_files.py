"""Folders of sentence encoders: saved and loaded, as others write them, and damaged ones."""

import json
import os

import numpy as np
import pytest

from fastnn.files.tensors import ModelFileError
from fastnn.models import SentenceEncoder

from .sentence_models import make, texts, tokenizer

pytest.importorskip("tokenizers")

TEXTS = texts(60)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_saved_and_loaded(tmp_path, pooling):
    first = SentenceEncoder.load(make(tmp_path / "m", pooling, normalize=pooling != "cls"))
    first.save(tmp_path / "new")
    second = SentenceEncoder.load(tmp_path / "new")
    for name in ("pooling", "normalize", "max_len", "prompts", "default_prompt", "lowercase"):
        assert getattr(second, name) == getattr(first, name)
    np.testing.assert_array_equal(second.encode(TEXTS), first.encode(TEXTS))


def test_without_modules_it_is_the_mean(tmp_path):
    folder = make(tmp_path / "m", "cls")
    (folder / "modules.json").unlink()
    encoder = SentenceEncoder.load(folder)
    assert (encoder.pooling, encoder.normalize) == ("mean", False)


def test_the_transformer_in_a_folder_of_its_own(tmp_path):
    """As the first versions of sentence-transformers wrote it."""
    folder = make(tmp_path / "m")
    inner = folder / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "sentence_bert_config.json"):
        (folder / name).rename(inner / name)
    edit(folder / "modules.json", lambda modules: modules[0].update(path="0_Transformer"))
    assert SentenceEncoder.load(folder).max_len == 24


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def pooling_of(**values):
    return lambda f: edit(f / "1_Pooling" / "config.json", lambda old: old.update(values))


def module(i, **values):
    return lambda f: edit(f / "modules.json", lambda old: old[i].update(values))


def text(name, content):
    return lambda f: (f / name).write_text(content)


SIZES = "sentence_bert_config.json"
DAMAGES = {
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "tokenizer cut": (text("tokenizer.json", '{"version":'), "is not a tokenizer, or damaged"),
    "tokenizer empty": (text("tokenizer.json", ""), "is not a tokenizer, or damaged"),
    "tokenizer of others": (text("tokenizer.json", "{}"), "is not a tokenizer, or damaged"),
    "modules cut": (text("modules.json", "[{"), "modules.json is not JSON"),
    "modules no list": (text("modules.json", "{}"), "modules.json: it must be a list"),
    "no modules": (text("modules.json", "[]"), r"modules.json: modules \[\] are not in"),
    "module unknown": (module(1, type="a.b.Dense"), "its module 1 is 'a.b.Dense'; supported are"),
    "module twice": (module(1, type="a.Transformer"), "its module 1 is 'a.Transformer'"),
    "module outside": (module(1, path="../x"), "'../x' is no folder in it"),
    "module absolute": (module(1, path="/x"), "'/x' is no folder in it"),
    "module long": (module(1, path="x" * 5000), "'xxx.* is no folder in it"),
    "module of lines": (module(1, path="a\nb"), "is no folder in it"),
    "module of a zero": (module(1, path="a\0b"), "is no folder in it"),
    "module of a number": (module(1, path=1), "1 is no folder in it"),
    "max": (
        pooling_of(pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True),
        r"config.json: the pooling is \['pooling_mode_max_tokens'\], supported is one of",
    ),
    "two": (pooling_of(pooling_mode_cls_token=True), "the pooling is .*, supported is one of"),
    "named": (pooling_of(pooling_mode="max"), "pooling_mode must be 'mean', 'cls' or 'lasttoken'"),
    "prompt left out": (pooling_of(include_prompt=False), "include_prompt is False, which is not"),
    "size 0": (text(SIZES, '{"max_seq_length": 0}'), f"{SIZES}: max_seq_length must be"),
    "size text": (text(SIZES, '{"max_seq_length": "9"}'), f"{SIZES}: max_seq_length must be"),
    "prompts": (
        text("config_sentence_transformers.json", '{"prompts": {"a": 3}}'),
        "config_sentence_transformers.json: prompts must be texts",
    ),
    "default": (
        text("config_sentence_transformers.json", '{"default_prompt_name": "a"}'),
        "default_prompt_name is 'a', which is no prompt",
    ),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_folder(tmp_path, damage):
    folder = make(tmp_path / "m")
    act, message = DAMAGES[damage]
    act(folder)
    with pytest.raises(ModelFileError, match=message) as caught:
        SentenceEncoder.load(folder)
    assert str(folder) in str(caught.value)


def test_a_tokenizer_with_more_tokens_than_the_model(tmp_path):
    folder = make(tmp_path / "m")
    found = tokenizer()
    found.add_tokens([f"word{i}" for i in range(99)])
    (folder / "tokenizer.json").write_text(found.to_str())
    with pytest.raises(ModelFileError, match="tokens, but the model has vectors for 96"):
        SentenceEncoder.load(folder)


def test_newer_files_name_the_pooling(tmp_path):
    folder = make(tmp_path / "m")
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "lasttoken"}')
    assert SentenceEncoder.load(folder).pooling == "last"


def test_mutations(tmp_path):
    """Any damage gives vectors or a named error; FASTNN_MUTATIONS=10000 for a long run."""
    rng = np.random.default_rng(0)
    folder = make(tmp_path / "m")
    files = [f for f in folder.rglob("*.json") if f.name != "config.json" or f.parent != folder]
    for _ in range(int(os.environ.get("FASTNN_MUTATIONS", "150"))):
        file = files[rng.integers(len(files))]
        before = file.read_bytes()
        content = bytearray(before)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(content)))
            content[at : at + int(rng.integers(0, 3))] = [b'0159-"}{[]:,tnae.'[rng.integers(17)]]
        file.write_bytes(content)
        try:
            SentenceEncoder.load(folder).encode(["the cat", "zebra"])
        except (ModelFileError, ValueError, IndexError, OSError) as error:
            assert len(str(error)) < 2000
        file.write_bytes(before)
