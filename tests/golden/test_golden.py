"""Files written by earlier versions load, give the same results and can be resumed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fastnn.cli.vocabularies import load_with_vocabulary
from fastnn.files import load, load_metadata
from fastnn.models import Seq2SeqTransformer, TransformerLM
from fastnn.train import load_checkpoint

from . import cases
from .make import COMMANDS, predicted, run

HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HERE.glob("*/outputs.npz"))
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*-f??.safetensors"))]
MODELS = [path for path in FILES if not path.name.startswith("fit-")]
RUNS = [path for path in FILES if path.name.startswith("fit-")]
EVERY_FOLDER = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
EVERY_MODEL = pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
EVERY_RUN = pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)

# Instruction sets sum in different orders; training accumulates the differences.
CLOSE = {"f32": {"rtol": 1e-4, "atol": 1e-5}, "f64": {"rtol": 1e-10, "atol": 1e-12}}
TRAINED = {"f32": {"rtol": 1e-2, "atol": 1e-3}, "f64": {"rtol": 1e-6, "atol": 1e-8}}


def stored(path):
    """What outputs.npz holds for a file, by the last part of the name."""
    arrays = np.load(path.parent / "outputs.npz")
    prefix = f"{path.name.split('.')[0]}/"
    found = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
    assert found, path
    return found


def split(found):
    """Arguments, named arguments and outputs."""
    args = [found.pop(f"arg{i}") for i in range(sum(key.startswith("arg") for key in found))]
    outs = [found.pop(f"out{i}") for i in range(sum(key.startswith("out") for key in found))]
    return args, found, outs


def test_there_are_files_of_every_kind():
    assert {path.name for path in FOLDERS} >= {"0.1.0"}
    expected = {f"{name}-{dtype}" for name in [*cases.CASES, "fit"] for dtype in cases.DTYPES}
    assert {path.stem for path in FILES} >= expected


@EVERY_MODEL
def test_a_model_computes_what_it_computed_when_it_was_written(path):
    args, named, expected = split(stored(path))
    model = load(path)
    found = cases.outputs(model, args, named)
    assert len(found) == len(expected)
    for y, right in zip(found, expected, strict=True):
        assert y.dtype == right.dtype
        np.testing.assert_allclose(y, right, **CLOSE[path.stem[-3:]])
    assert load_metadata(path)["by"] == "make.py"


@EVERY_MODEL
def test_a_model_is_written_again_with_the_same_architecture(path, tmp_path):
    model = load(path)
    model.save(tmp_path / "again.safetensors")
    again = load(tmp_path / "again.safetensors")
    assert again.config() == model.config()
    for name, value in model.state().items():
        np.testing.assert_array_equal(again.state()[name], value)


@EVERY_RUN
def test_a_run_is_resumed(path):
    suffix = path.stem[-3:]
    expected = stored(path)
    model = load(path)
    found = load_checkpoint(path, model)
    assert found.epoch == 1 and 0 < found.step < 5 and found.history.history["loss"]
    history, weights, average = cases.fit_on(
        load(path), None, cases.DTYPES[suffix], epochs=4, resume=path
    )
    np.testing.assert_allclose(history.history["loss"], expected["loss"], **TRAINED[suffix])
    np.testing.assert_allclose(weights, expected["weights"], **TRAINED[suffix])
    np.testing.assert_allclose(average, expected["average"], **TRAINED[suffix])


@EVERY_FOLDER
@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_of_a_command_is_resumed(folder, name, tmp_path, monkeypatch):
    if name == "translate":
        pytest.importorskip("tokenizers")
    cases.write_texts(tmp_path)
    monkeypatch.chdir(tmp_path)
    for path in folder.glob(f"cli-{name}.safetensors*"):
        shutil.copy(path, tmp_path / path.name.removeprefix("cli-"))
    run(COMMANDS[name].format(cases.ALL), "--resume")
    expected = stored(folder / f"cli-{name}.safetensors")["weights"]
    weights = load(f"{name}.safetensors").parameters().data
    np.testing.assert_allclose(weights, expected, **TRAINED["f32"])


@EVERY_FOLDER
@pytest.mark.parametrize("name", cases.TABLES)
def test_the_model_of_a_table_predicts(folder, name, tmp_path, monkeypatch):
    cases.write_texts(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = folder / f"cli-{name}.safetensors"
    np.testing.assert_allclose(predicted(path), stored(path)["predicted"], **CLOSE["f32"])


@EVERY_FOLDER
def test_models_of_texts_have_their_vocabularies(folder):
    path = os.fspath(folder / "cli-lm.safetensors")
    model, vocab = load_with_vocabulary(path, TransformerLM, "lm")
    assert vocab.decode(vocab.encode("zwölf elf")) == "zwölf elf"
    assert model.embedding.num == len(vocab)


@EVERY_FOLDER
def test_translations_have_their_vocabulary(folder):
    pytest.importorskip("tokenizers")
    path = os.fspath(folder / "cli-translate.safetensors")
    model, vocab = load_with_vocabulary(path, Seq2SeqTransformer, "translate")
    assert vocab.decode(vocab.encode("zwölf eleven")) == "zwölf eleven"
    assert model.embedding.num == len(vocab)
