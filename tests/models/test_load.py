"""Folders of pretrained models: read, refused, damaged, and written back."""

import json
import os
import tracemalloc
from fnmatch import fnmatch

import numpy as np
import pytest

from fastnn import models
from fastnn.files.tensors import ModelFileError, mapped, write_tensors
from fastnn.models import families

from .pretrained_models import FOLDER, copy, folders
from .test_published import write_halves

ENCODERS = folders(encoders=True)


def edited(folder, **changes):
    """The folder with other values in its config; None removes a key."""
    values = json.loads((folder / "config.json").read_text()) | changes
    values = {key: value for key, value in values.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def arrays_of(folder):
    return {name: x.array.copy() for name, x in mapped(folder / "model.safetensors").items()}


def same(a, b):
    first, second = dict(a.parameters().named()), dict(b.parameters().named())
    assert first.keys() == second.keys()
    for name, parameter in first.items():
        np.testing.assert_array_equal(parameter.data, second[name].data, err_msg=name)


@pytest.mark.parametrize("folder", ENCODERS, ids=lambda f: f.name)
def test_every_number_comes_from_the_file(folder):
    """No parameter keeps its initial value: the fixtures moved every weight away from it."""
    model = models.load(folder)
    for name, parameter in model.parameters().named():
        assert (parameter.data != 0).mean() > 0.99, name
        assert not (parameter.data == 1).all(), name


@pytest.mark.parametrize("code", ["F16", "BF16"])
def test_half_precision_is_widened_exactly(tmp_path, code):
    folder = copy("bert", tmp_path / "m")
    state = {
        name: (x.view(np.uint32) & 0xFFFF0000).view(np.float32)
        for name, x in arrays_of(folder).items()
    }
    if code == "F16":
        state = {name: x.astype(np.float16).astype(np.float32) for name, x in state.items()}
    write_halves(folder / "model.safetensors", state, code)
    half = models.load(folder)
    assert half.parameters().dtype == np.float32
    write_tensors(folder / "model.safetensors", state, {})
    same(half, models.load(folder))


def test_older_configs_of_modernbert(tmp_path):
    """Without layer_types and rope_parameters, with the bases and the period instead."""
    old = {"global_rope_theta": 160000.0, "local_rope_theta": 10000.0}
    old |= {"global_attn_every_n_layers": 3, "rope_parameters": None, "layer_types": None}
    model = models.load(edited(copy("modernbert", tmp_path / "m"), **old))
    expected = models.load(FOLDER / "modernbert")
    ids = np.arange(3, 33)[None]
    np.testing.assert_array_equal(model(ids), expected(ids))
    other = models.load(edited(tmp_path / "m", local_rope_theta=50.0))
    assert np.abs(other(ids) - expected(ids)).max() > 1e-3


def shards(folder, missing=()):
    """Divide the weights of a folder into three files and an index."""
    arrays = arrays_of(folder)
    (folder / "model.safetensors").unlink()
    places = {name: f"model-{i % 3}.safetensors" for i, name in enumerate(arrays)}
    for file in set(places.values()) - set(missing):
        some = {name: x for name, x in arrays.items() if places[name] == file}
        write_tensors(folder / file, some, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def test_shards(tmp_path):
    same(models.load(shards(copy("bert", tmp_path / "m"))), models.load(FOLDER / "bert"))


@pytest.mark.parametrize("prefix", ["bert.", "0.auto_model.", "model."])
def test_prefixes_and_what_else_old_files_have(tmp_path, prefix):
    folder = copy("bert", tmp_path / "m")
    arrays = {prefix + name: x for name, x in arrays_of(folder).items()}
    arrays = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta"): x
        for name, x in arrays.items()
    }
    arrays[prefix + "embeddings.position_ids"] = np.arange(64)[None]
    arrays["cls.predictions.bias"] = np.zeros(96, np.float32)
    write_tensors(folder / "model.safetensors", arrays, {})
    same(models.load(folder), models.load(FOLDER / "bert"))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("bert", {"model_type": "t5"}, "model_type is 't5'; supported are bert, "),
        ("bert", {"model_type": "distillbert"}, "did you mean 'distilbert'"),
        ("bert", {"model_type": ["bert"]}, "model_type is "),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type is 'rel"),
        ("bert", {"is_decoder": True}, "is_decoder is True, which is not supported: only False"),
        ("bert", {"quantization_config": {"bits": 4}}, "quantization_config is "),
        ("bert", {"hidden_act": "mish"}, "hidden_act is 'mish', which is not supported: only 'ge"),
        ("bert", {"hidden_act": 3}, "hidden_act is 3"),
        ("bert", {"hidden_size": None}, "hidden_size is missing"),
        ("bert", {"hidden_size": 33}, r"d_model 33 must be a multiple of n_heads 4"),
        ("bert", {"hidden_size": "32"}, "hidden_size must be an integer, got "),
        ("bert", {"hidden_size": True}, "hidden_size must be an integer, got bool True"),
        ("bert", {"vocab_size": 97}, "more weights than|has the shape"),
        ("bert", {"vocab_size": 95}, "'embeddings.word_embeddings.weight' has the shape"),
        ("bert", {"intermediate_size": 40}, "intermediate.dense.weight' has the shape"),
        ("bert", {"num_hidden_layers": 1}, "the weights have 'encoder.layer.1.*not describe"),
        ("bert", {"num_hidden_layers": 10**9}, "num_hidden_layers|n_layers"),
        ("bert", {"max_position_embeddings": 2**40}, "max_position_embeddings must be from"),
        ("bert", {"layer_norm_eps": 0}, "layer_norm_eps must be above 0"),
        ("bert", {"layer_norm_eps": float("nan")}, "layer_norm_eps must be"),
        ("bert", {"type_vocab_size": -1}, "type_vocab_size must be"),
        ("roberta", {"pad_token_id": 2**30}, "max_position_embeddings must be from"),
        ("roberta", {"pad_token_id": -1}, "pad_token_id must be"),
        ("distilbert", {"n_heads": 0}, "n_heads must be"),
        ("distilbert", {"dropout": 2}, "dropout must be"),
        ("modernbert", {"norm_bias": True}, "norm_bias is True, which is not supported"),
        ("modernbert", {"layer_types": ["full_attention"] * 2}, "layer_types must have 3 names"),
        ("modernbert", {"layer_types": ["a"] * 3}, "layer_types is 'a'"),
        ("modernbert", {"rope_parameters": [1]}, "rope_parameters must have an object full_att"),
        ("modernbert", {"rope_parameters": {"a": 1}}, "rope_parameters must have an object full"),
        ("modernbert", {"local_attention": -1}, "local_attention must be"),
    ],
)
def test_a_config_that_is_not_supported(tmp_path, name, changes, message):
    folder = edited(copy(name, tmp_path / "m"), **changes)
    with pytest.raises(ModelFileError, match=message) as caught:
        models.load(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("key", ["vocab_size", "hidden_size", "intermediate_size"])
def test_nothing_is_allocated_that_a_config_merely_claims(tmp_path, key):
    folder = edited(copy("bert", tmp_path / "m"), **{key: 2**31 - 4})
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match="more weights than the files hold"):
            models.load(folder)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def damages(folder):
    """Name -> (what damages a folder, the message)."""
    weights, config = folder / "model.safetensors", folder / "config.json"

    def write(path, content):
        return lambda: path.write_bytes(content)

    def change(**arrays):
        return lambda: write_tensors(weights, arrays_of(folder) | arrays, {})

    def without(name):
        def act():
            arrays = arrays_of(folder)
            del arrays[name]
            write_tensors(weights, arrays, {})

        return act

    content, text = weights.read_bytes(), config.read_bytes()
    word, norm = "embeddings.word_embeddings.weight", "embeddings.LayerNorm.weight"
    return {
        "no config": (config.unlink, "has no config.json"),
        "config cut": (write(config, text[: len(text) // 2]), "config.json is not JSON"),
        "config empty": (write(config, b""), "config.json is not JSON"),
        "config latin": (write(config, b'{"a": "\xe9"}'), "config.json is not JSON"),
        "config a list": (write(config, b"[]"), "the config must be an object"),
        "config deep": (write(config, b'{"a":' * 999 + b"1" + b"}" * 999), "nested more than"),
        "no weights": (weights.unlink, "has neither model.safetensors nor"),
        "cut": (write(weights, content[:-100]), "model.safetensors is not a safetensors file, or"),
        "header cut": (write(weights, content[:50]), "is not a safetensors file, or"),
        "empty": (write(weights, b""), "is not a safetensors file, or"),
        "a page of HTML": (write(weights, b"<!DOCTYPE html>" * 99), "is not a safetensors file"),
        "a pointer": (write(weights, b"version https://git-lfs"), "is not a safetensors file"),
        "missing": (without(norm), f"1 of 37 arrays are missing, such as {norm!r}"),
        "unexpected": (change(extra=np.zeros(3, "f4")), "the weights have 'extra'"),
        "shape": (change(**{word: np.zeros((32, 96), "f4")}), "has the shape"),
        "axes": (change(**{word: np.zeros(96 * 32, "f4")}), "has the shape"),
        "integers": (change(**{word: np.zeros((96, 32), "i4")}), "is int32; weights must be"),
    }


@pytest.mark.parametrize("damage", list(damages(FOLDER / "bert")))
def test_a_damaged_folder(tmp_path, damage):
    folder = copy("bert", tmp_path / "m")
    act, message = damages(folder)[damage]
    act()
    with pytest.raises(ModelFileError, match=message) as caught:
        models.load(folder)
    assert str(folder) in str(caught.value)


def test_half_downloaded_shards(tmp_path):
    folder = shards(copy("bert", tmp_path / "m"), missing=["model-1.safetensors"])
    message = "is incomplete: 1 of 3 files with weights are missing, such as 'model-1.safetensors'"
    with pytest.raises(ModelFileError, match=message):
        models.load(folder)


def test_an_index_that_leads_out_of_the_folder_and_arrays_in_two_files(tmp_path):
    folder = shards(copy("bert", tmp_path / "m"))
    index = folder / "model.safetensors.index.json"
    for name in (
        "../m.safetensors",
        "/m",
        "",
        "9" * 300,
        "\u00e9" * 200,
        "a\nb",
        "a\0b",
        "\ud800",
        9,
    ):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(ModelFileError, match="does not name files of the folder"):
            models.load(folder)
    (folder / "b.safetensors").write_bytes((folder / "model-0.safetensors").read_bytes())
    places = {"a": "model-0.safetensors", "b": "b.safetensors"}
    index.write_text(json.dumps({"weight_map": places}))
    with pytest.raises(ModelFileError, match="stands in another file, too"):
        models.load(folder)


def test_what_is_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="No such folder"):
        models.load(tmp_path / "none")
    with pytest.raises(NotADirectoryError, match=r"Not a folder with a config\.json, nor a \.gguf"):
        models.load(FOLDER / "bert" / "config.json")
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        models.load(FOLDER / "bert", dtype="float16")


@pytest.mark.parametrize("folder", folders(True) + folders(False), ids=lambda f: f.name)
def test_saving_gives_the_arrays_back(tmp_path, folder):
    model = models.load(folder)
    models.save(model, tmp_path / "new")
    same(models.load(tmp_path / "new"), model)
    if not (folder / "model.safetensors").exists():
        return
    before, after = arrays_of(folder), arrays_of(tmp_path / "new")
    family = families.FAMILIES[json.loads((folder / "config.json").read_text())["model_type"]]
    for name in before.keys() - after.keys():
        short = name.removeprefix(family.PREFIXES[0])
        assert any(fnmatch(short, pattern) for pattern in family.UNUSED)
    for name, x in after.items():
        np.testing.assert_array_equal(x, before[name], err_msg=name)


def test_a_new_model_is_saved_with_a_config_that_describes_it(tmp_path):
    config = json.loads((FOLDER / "bert" / "config.json").read_text())
    model = models.load(FOLDER / "bert")
    new = type(model)(**{**model.field_values(), "rng": 0})
    with pytest.raises(ValueError, match="not loaded from a folder: give its config"):
        models.save(new, tmp_path / "new")
    with pytest.raises(ValueError, match="save: config describes"):
        models.save(new, tmp_path / "new", config=config | {"hidden_act": "relu"})
    models.save(new, tmp_path / "new", config=config)
    same(models.load(tmp_path / "new"), new)


def test_mutations(tmp_path):
    """Any damage gives a model or one of the two errors; FASTNN_MUTATIONS=10000 for a long run."""
    rng = np.random.default_rng(0)
    for i in range(int(os.environ.get("FASTNN_MUTATIONS", "150"))):
        folder = copy("bert", tmp_path / str(i))
        file = folder / ("model.safetensors" if rng.random() < 0.6 else "config.json")
        content = bytearray(file.read_bytes())
        header = 8 + int.from_bytes(content[:8], "little")
        end = header if file.suffix == ".safetensors" and rng.random() < 0.9 else len(content)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, end))
            kind = rng.integers(4)
            if kind == 0:
                content[at] = int(rng.integers(256))
            elif kind == 1:
                content[at : at + 1] = rng.integers(48, 58, 3).astype(np.uint8).tobytes()
            elif kind == 2:
                del content[at : at + int(rng.integers(1, 40))]
            else:
                content[at:at] = content[at : at + int(rng.integers(1, 40))]
            end = min(end, len(content))
        file.write_bytes(content)
        try:
            models.load(folder)
        except (ModelFileError, OSError) as error:
            assert len(str(error)) < 2000
        for path in folder.iterdir():
            path.unlink()
