"""Files that a command must not lose: its inputs, and those of an earlier run."""

import re
from pathlib import Path

import numpy as np
import pytest

from fastnn import nn
from fastnn.cli import main
from fastnn.cli.table import METADATA_KEY
from fastnn.cli.vocabularies import VOCABULARY_KEY
from fastnn.data.csv_file import Table
from fastnn.data.target import class_labels
from fastnn.files import save
from fastnn.files.model import describe
from fastnn.files.tensors import write_tensors
from fastnn.models import TransformerLM

QUICK = ["--epochs", "1", "--hidden", "4"]


def refusal(capsys, *argv, code=2):
    """The one line on stderr of a command that must fail with this exit code."""
    assert main(list(map(str, argv))) == code
    *warnings, error = capsys.readouterr().err.splitlines()
    assert all(line.startswith("fastnn: warning: ") for line in warnings)
    assert error.startswith("fastnn: error: ")
    return error


@pytest.fixture
def contents(tmp_path, monkeypatch, capsys):
    """A table and a model of it in the working directory; returns what reads all files there."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=60)
    rows = [f"{a:.3f},{2 * a:.3f}" for a in x]
    Path("rows.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    assert main(["train", "csv", "rows.csv", "--target", "y", *QUICK, "--output", "m.st"]) == 0
    capsys.readouterr()
    return lambda: {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_file_is_not_written_over_another_of_the_same_command(contents, capsys):
    Path("link.csv").symlink_to("rows.csv")
    before = contents()
    train = ["train", "csv", "rows.csv", "--target", "y", *QUICK]
    for argv, names in (
        ([*train, "--output", "rows.csv"], "FILE and --output"),
        ([*train, "--output", "./link.csv"], "FILE and --output"),
        ([*train, "--plot", Path("link.csv").absolute()], "FILE and --plot"),
        ([*train, "--output", "m.png", "--plot", "./m.png"], "--output and --plot"),
        (["train", "digits", "--output", "m.png", "--plot", "m.png"], "--output and --plot"),
        (["predict", "m.st", "rows.csv", "--output", "link.csv"], "FILE and --output"),
        (["predict", "m.st", "rows.csv", "--output", "m.st"], "MODEL and --output"),
    ):
        assert re.search(f"{names} are the same file, ", refusal(capsys, *argv))
    assert contents() == before


@pytest.mark.filterwarnings("default:the loss of epoch:RuntimeWarning")
@pytest.mark.parametrize("task", [["csv", "rows.csv", "--target", "y"], ["digits"]])
def test_a_training_that_went_wrong_leaves_the_old_model(contents, capsys, task):
    before = contents()
    argv = ["train", *task, *QUICK, "--lr", "1e38", "--epochs", "2"]
    error = refusal(capsys, *argv, "--output", "m.st", "--plot", "curve.png", code=1)
    assert re.search("NaN or infinite weights, m.st is not written: a smaller --lr", error)
    assert contents() == before


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["01234", "1234", "00077"], ("00077", "01234", "1234")),
        (["12345678901234567", "12345678901234568"], ("12345678901234567", "12345678901234568")),
        (["10", "9.0", "9", "10."], ("9", "10")),
        (["-1", "1"], ("-1", "1")),
    ],
)
def test_classes_keep_their_spelling(cells, classes):
    rows = [[cell] for cell in cells]
    target, labels = class_labels(Table("t.csv", ("y",), rows, list(range(len(rows)))), "y")
    assert target.classes == classes
    assert len(set(labels)) == len(classes)


def test_the_target_cannot_be_dropped(contents, capsys):
    before = contents()
    argv = ["train", "csv", "rows.csv", "--target", "y", "--drop", "y", *QUICK]
    assert "'y' cannot be both the target and dropped" in refusal(capsys, *argv)
    assert contents() == before


DEEP = "[" * 1000 + "]" * 1000


def test_deep_json_is_one_error(contents, capsys):
    """Each nested part of a model file: its config, its table or its vocabulary."""
    save(nn.MLP((64, 10), rng=0), "table", metadata={METADATA_KEY: DEEP})
    write_tensors("config", {}, {"fastnn": f'{{"version": 1, "model": {DEEP}}}'})
    language = TransformerLM(3, 8, 2, 1, 8, rng=0)
    save(language, "lm", metadata={VOCABULARY_KEY: f'{{"kind": "chars", "characters": {DEEP}}}'})
    write_tensors("new.run", {}, {"fastnn": describe(nn.ReLU()), "fastnn.run": DEEP})
    for argv in (
        ["predict", "table", "rows.csv"],
        ["predict", "config", "rows.csv"],
        ["predict", "config", "--digit", "1"],
        ["generate", "lm"],
        ["generate", "config"],
        ["translate", "config", "rows.csv"],
        ["train", "lm", "--output", "new", "--resume"],
    ):
        assert re.search("nested more than 200 levels deep", refusal(capsys, *argv)), argv


@pytest.mark.parametrize("size", [10**9, 2**63, 10**30])
def test_a_huge_vocabulary_is_as_large_as_its_text(contents, capsys, size):
    pytest.importorskip("tokenizers", reason="byte-pair encoding comes with fastnn-cpu[text]")
    Path("text").write_text("ab cab\n" * 60)
    tiny = ["--n_embd", "4", "--n_head", "1", "--n_layer", "1", "--block_size", "4"]
    argv = ["--text", "text", "--vocab", "bpe", "--max_iters", "1", "--output", "lm", *tiny]
    assert main(["train", "lm", *argv, "--vocab_size", str(size)]) == 0
    assert int(re.search(r"vocabulary: (\d+)", capsys.readouterr().out)[1]) < 50
    tiny = ["--d-model", "4", "--n-heads", "1", "--n-layers", "1", "--d-ff", "4"]
    argv = ["--src", "text", "--tgt", "text", "--updates", "1", "--output", "tr", *tiny]
    assert main(["train", "translate", *argv, "--vocab-size", str(size)]) == 0
    assert int(re.search(r"vocabulary: (\d+)", capsys.readouterr().out)[1]) < 50
