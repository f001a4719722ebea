"""`fastnn show`, `evaluate`, `export`, `--json`, `--quiet`, and the help of `fastnn` alone."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from fastnn import models, nn, text
from fastnn.cli import main, options
from fastnn.cli.export import torch_state
from fastnn.files import save
from fastnn.files.tensors import open_tensors

from .command_line import run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a model of every kind and its data."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    rows = [
        f"{a:.3f},{'xyz'[i % 3]},{'no' if a < 0 else 'yes'}"
        for i, a in enumerate(rng.normal(size=120))
    ]
    (folder / "t.csv").write_text("\n".join(["a,b,kind", *rows]))
    argv = [
        "train",
        "csv",
        folder / "t.csv",
        "--target",
        "kind",
        "--output",
        folder / "table",
        "--lr",
        "0.01",
        "-q",
    ]
    assert main(list(map(str, argv))) == 0
    argv = ["train", "digits", "--epochs", "3", "--output", folder / "digits", "--quiet"]
    assert main(list(map(str, argv))) == 0
    vocab = text.CharVocab.from_text("abcd\n")
    save(
        models.TransformerLM(5, 16, 2, 2, 8, rng=0),
        folder / "lm",
        metadata={"vocabulary": vocab.to_json()},
    )
    (folder / "abc.txt").write_text("abcd\nabca\n" * 5)
    lines = ["a b c", "c d a", "b b d"] * 4
    (folder / "lines").write_text("\n".join(lines) + "\n")
    bpe = text.BPE.train(lines, 60)
    size = len(bpe)
    save(
        models.Seq2SeqTransformer(size, d_model=16, n_heads=2, n_layers=1, max_len=40, rng=0),
        folder / "seq",
        metadata={"vocabulary": bpe.to_json()},
    )
    return folder


def test_fastnn_alone_shows_groups_and_examples(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    for group, commands in options.GROUPS.items():
        assert f"\n{group}:\n" in out
        for name, about in commands.items():
            assert re.search(rf"^  {name} +{re.escape(about)}$", out, re.M)
    assert "Examples:\n  fastnn train digits\n" in out


@pytest.mark.parametrize("name", options.ABOUT)
def test_every_command_has_help(capsys, name):
    with pytest.raises(SystemExit) as stopped:
        main([*name.split(), "--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0 and out.startswith(f"usage: fastnn {name}")


def test_show(made, capsys):
    code, out, err = run(capsys, "show", made / "table")
    assert (code, err) == (0, "")
    assert out.startswith("MLP, 4,610 parameters, float32\n")
    assert re.search(r"^0 +Linear +320  weight \(4, 64\)", out, re.M)
    assert "predicts kind: 2 classes (no, yes)" in out
    assert re.search(r"^b +text +3  3 texts: x, y, z$", out, re.M)
    code, out, _ = run(capsys, "show", made / "table", "--json")
    described = json.loads(out)
    assert described["parameters"] == 4610 and described["shapes"]["2.bias"] == [2]
    assert described["table"]["target"]["classes"] == ["no", "yes"]
    code, out, _ = run(capsys, "show", made / "lm")
    assert code == 0 and "CharVocab of 5 tokens: '\\n' 'a' 'b'" in out


def test_evaluate_a_table(made, directory, capsys):
    code, out, err = run(capsys, "evaluate", made / "table", made / "t.csv", "--json")
    assert (code, err) == (0, "")
    scores = json.loads(out)
    assert scores["rows"] == 120 and scores["scores"]["model"]["accuracy"] > 0.9
    assert scores["classes"]["no"]["rows"] + scores["classes"]["yes"]["rows"] == 120
    _, predicted, _ = run(capsys, "predict", made / "table", made / "t.csv", "--keep", "kind")
    pairs = [line.split(",") for line in predicted.splitlines()[1:]]
    right = sum(a == b for a, b in pairs)
    assert scores["scores"]["model"]["accuracy"] == pytest.approx(right / 120)
    Path("u.csv").write_text("a,b,kind\n1,x,maybe\n")
    code, _, err = run(capsys, "evaluate", made / "table", "u.csv")
    assert code == 2 and "line 2: 'maybe' in column 'kind' is none of the classes" in err
    Path("u.csv").write_text("a,b,kind\n1,x,\n")
    assert (
        "no row has a value in column 'kind'" in run(capsys, "evaluate", made / "table", "u.csv")[2]
    )
    assert "evaluate needs FILE" in run(capsys, "evaluate", made / "table")[2]


def test_evaluate_other_models(made, directory, capsys):
    code, out, _ = run(capsys, "evaluate", made / "digits")
    assert code == 0 and out.startswith("360 test images\n") and "macro F1" in out
    code, out, _ = run(capsys, "evaluate", made / "lm", made / "abc.txt", "--json")
    scores = json.loads(out)
    assert code == 0 and scores["tokens"] == 50
    assert scores["perplexity"] == pytest.approx(np.exp(scores["loss"]))
    assert scores["bits_per_character"] == pytest.approx(scores["loss"] / np.log(2) * 49 / 50)
    pytest.importorskip("sacrebleu")
    code, out, _ = run(capsys, "evaluate", made / "seq", made / "lines", made / "lines")
    assert code == 0 and re.search(r"^BLEU: \d+\.\d{4}$", out, re.M)
    for argv, message in (
        (["seq", "lines"], "needs REFERENCE"),
        (["lm", "lines", "lines"], "REFERENCE is for"),
        (["digits", "lines"], "does not say what it was trained on"),
        (["lm"], "needs FILE"),
        (["missing"], "No such file"),
    ):
        code, _, err = run(capsys, "evaluate", *(made / name for name in argv))
        assert code == 2 and message in err and err.count("\n") == 1


@pytest.mark.parametrize("name", ["table", "digits", "lm", "seq"])
def test_export_to_onnx(made, directory, capsys, name):
    pytest.importorskip("onnx")
    code, out, err = run(capsys, "export", made / name, "m.onnx")
    assert (code, err) == (0, "") and Path("m.onnx").stat().st_size > 100
    pytest.importorskip("onnxruntime")
    assert "run by onnxruntime: outputs differ by at most" in out


@pytest.mark.parametrize("name", ["table", "digits", "lm", "seq"])
def test_export_to_torch(made, directory, capsys, name):
    code, out, err = run(capsys, "export", made / name, "m.safetensors", "--json")
    assert (code, err) == (0, "")
    with open_tensors("m.safetensors") as file:
        assert sorted(file.keys()) == sorted(json.loads(out)["names"])


def test_an_exported_mlp_is_a_state_of_torch():
    model = nn.MLP((4, 3, 2), rng=0)
    state = torch_state(model)
    assert {name: array.shape for name, array in state.items()} == {
        "0.weight": (3, 4),
        "0.bias": (3,),
        "2.weight": (2, 3),
        "2.bias": (2,),
    }
    np.testing.assert_array_equal(state["0.weight"].T, model[0].weight.data)


def test_what_cannot_be_exported(made, directory, capsys):
    save(nn.Sequential(nn.Linear(3, 3, rng=0), nn.Residual(nn.ReLU())), "own")
    for argv, message in (
        ([made / "table", "m.txt"], "must end in .onnx"),
        ([made / "t.csv", "m.onnx"], "not a safetensors file"),
        ([made / "missing", "m.onnx"], "No such file"),
        ([made / "table", "no/m.onnx"], "No such file"),
        (["own", "own"], "must end in"),
        (["own", "own", "--format", "torch"], "MODEL and OUT are the same file"),
        (["own", "m.safetensors"], "PyTorch has no counterpart of Residual"),
    ):
        code, _, err = run(capsys, "export", *argv)
        assert code == 2 and message in err and err.count("\n") == 1, err


def test_json_and_quiet_of_a_training(made, directory, capsys):
    argv = ["train", "csv", made / "t.csv", "--target", "kind", "--epochs", 3]
    code, out, _ = run(capsys, *argv, "--json")
    found = json.loads(out)
    assert code == 0 and found["model"] == "model.safetensors" and found["epochs"] == 3
    assert len(found["history"]["loss"]) == 3 and "accuracy" in found["scores"]["model"]
    code, out, _ = run(capsys, *argv, "-q")
    assert (code, out) == (0, "")
    code, out, _ = run(capsys, "predict", made / "table", made / "t.csv", "--json", "--proba")
    rows = json.loads(out)["rows"]
    assert len(rows) == 120 and set(rows[0]) == {"kind", "P(no)", "P(yes)"}
    code, out, _ = run(capsys, "predict", made / "digits", "--digit", 3, "--json")
    assert json.loads(out)["digit"] == 3
    code, out, _ = run(capsys, "info", "--json")
    assert "threads" in json.loads(out)


def test_losses_of_language_models_are_plotted(made, directory, capsys):
    pytest.importorskip("matplotlib")
    Path("long.txt").write_text("abcd\nabca\n" * 60)
    argv = ["--text", "long.txt", "--max_iters", 4, "--eval_interval", 2, "--n_layer", 1]
    argv += ["--n_embd", 8, "--n_head", 1, "--block_size", 8, "--eval_iters", 1]
    code, out, _ = run(
        capsys, "train", "lm", *argv, "--plot-loss", "loss.svg", "--plot-attention", "heads.svg"
    )
    assert code == 0 and "curves written to loss.svg" in out
    assert Path("loss.svg").exists() and Path("heads.svg").exists()
    code, _, err = run(capsys, "train", "lm", *argv, "--plot-loss", "loss.txt")
    assert code == 2 and "loss.txt" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(capsys, shell):
    pytest.importorskip("shtab")
    code, out, _ = run(capsys, "completion", shell)
    assert code == 0 and "evaluate" in out and "--class-weight" in out
