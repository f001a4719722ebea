"""`fastnn train csv` and `fastnn predict MODEL FILE.csv`."""

import csv
import io
import re

import numpy as np
import pytest

from fastnn import nn
from fastnn.cli import main, report, scores, training
from fastnn.cli.table import METADATA_KEY
from fastnn.data import load_digits
from fastnn.files import load, load_metadata, save

from .command_line import assert_refused
from .command_line import run_lines as run


def write(name, header, rows):
    with open(name, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def flowers(n=90, seed=0):
    """Rows of three kinds told apart by a number, a text or both; some cells are missing."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        kind = i % 3
        length = f"{10 * (kind == 1) + rng.normal():.3f}" if rng.random() > 0.03 else "NA"
        colour = ("red", "red", "blue")[kind] if rng.random() > 0.03 else ""
        rows.append([length, colour, f"id{i}", ("rose", "tulip", "iris")[kind]])
    return ["length", "colour", "id", "kind"], rows


def houses(n=120, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        area, rooms = rng.uniform(50, 200), rng.integers(1, 6)
        rows.append(
            [f"{area:.1f}", rooms, f"{1000 * area + 5000 * rooms + rng.normal(0, 500):.2f}"]
        )
    return ["area", "rooms", "price"], rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The files of a model for flowers and one for houses."""
    folder = tmp_path_factory.mktemp("tables")
    argv = ["--epochs", "60", "--hidden", "16", "--lr", "0.01"]
    for name, (header, rows), target in (
        ("flowers", flowers(), "kind"),
        ("houses", houses(), "price"),
    ):
        write(folder / f"{name}.csv", header, rows)
        files = [str(folder / f"{name}.csv"), "--output", str(folder / name)]
        drop = ["--drop", "id"] if name == "flowers" else []
        assert main(["train", "csv", *files, "--target", target, *drop, *argv]) == 0
    return folder


def test_classification(directory, capsys):
    header, rows = flowers()
    write("flowers.csv", header, [*rows, ["1.0", "red", "idx", ""], ["1.0", "red", "idy", "NaN"]])
    argv = ["flowers.csv", "--target", "kind", "--drop", "id", "--epochs", 60, "--lr", 0.01]
    code, out, err = run(capsys, "train", "csv", *argv, "--plot", "curve.svg")
    assert code == 0 and err == ""
    assert out[0] == "target kind (classification, 3 classes)"
    assert out[1].split() == ["column", "kind", "missing", "distinct", "used"]
    assert re.fullmatch(r"length  number +\d +8\d  1 input", out[2])
    assert re.fullmatch(r"colour  text +\d +2  [23] inputs", out[3])
    assert re.fullmatch(r"id +no: --drop", out[4]) and re.fullmatch(r"kind +target", out[5])
    assert out[6] == "1 numeric column, 1 text column: 3 inputs"
    assert re.fullmatch(r"length: \d cells? \('NA'\) taken as missing", out[7])
    assert out[8] == "2 rows of 92 without a target left out"
    assert re.match(r"MLP 3-64-64-3, 4,611 parameters, \d+ threads?$", out[9])
    assert out[10] == "72 training rows, 18 test rows"
    assert [line.split()[1] for line in out[11:21]] == [f"{i}/60" for i in range(6, 61, 6)]
    assert out[21].startswith("trained for 60 of 60 epochs")
    assert out[22].split() == ["precision", "recall", "F1", "rows"]
    assert [line.split()[0] for line in out[23:26]] == ["iris", "rose", "tulip"]
    assert [line.split()[4] for line in out[23:26]] == ["6"] * 3
    assert out[26].split() == ["accuracy", "macro", "F1"]
    model, most = out[27].split(), out[28].split()
    assert model[0] == "model" and float(model[1]) > 0.8 and float(model[2]) > 0.8
    assert most[:2] == ["most", "frequent"] and float(most[2]) == pytest.approx(1 / 3, abs=1e-4)
    assert out[29:] == ["model saved to model.safetensors", "curves written to curve.svg"]
    assert isinstance(load("model.safetensors"), nn.MLP)


def test_regression(directory, capsys):
    write("houses.csv", *houses())
    argv = ["houses.csv", "--target", "price", "--epochs", 100, "--lr", 0.01, "--dropout", 0.01]
    code, out, err = run(capsys, "train", "csv", *argv)
    assert code == 0 and err == ""
    assert out[0] == "target price (regression)"
    scores_at = next(i for i, line in enumerate(out) if "RMSE" in line)
    assert out[scores_at].split() == ["RMSE", "MAE", "R2"]
    model, mean = (line.split() for line in out[scores_at + 1 : scores_at + 3])
    assert model[0] == "model" and float(model[3]) > 0.97
    assert mean[0] == "mean" and float(mean[3]) < 0.05 and float(mean[1]) > float(model[1])
    assert isinstance(load("model.safetensors"), nn.Sequential)


def predictions(lines):
    header, *rows = csv.reader(io.StringIO("\n".join(lines)))
    return header, rows


def test_predict_classes(trained, directory, capsys):
    header, rows = flowers(60, seed=1)
    write("new.csv", header[:2], [row[:2] for row in rows])
    code, out, err = run(capsys, "predict", trained / "flowers", "new.csv")
    assert code == 0 and err == ""
    names, found = predictions(out)
    assert names == ["kind"] and len(found) == 60
    right = [cells[0] == row[3] for cells, row in zip(found, rows, strict=True)]
    assert np.mean(right) > 0.9
    # with the target, an unused column and another order; with probabilities; into a file
    write("all.csv", header[::-1], [row[::-1] for row in rows])
    argv = ["all.csv", "--proba", "--output", "out.csv"]
    code, out, err = run(capsys, "predict", trained / "flowers", *argv)
    assert (code, out, err) == (0, [], "")
    names, shares = predictions((directory / "out.csv").read_text().splitlines())
    assert names == ["kind", "P(iris)", "P(rose)", "P(tulip)"]
    assert [row[0] for row in shares] == [row[0] for row in found]
    p = np.array([row[1:] for row in shares], float)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert [names[1 + i] for i in p.argmax(axis=1)] == [f"P({row[0]})" for row in shares]


def test_predict_a_quantity(trained, directory, capsys):
    header, rows = houses(40, seed=2)
    write("new.csv", header, rows)
    code, out, _ = run(capsys, "predict", trained / "houses", "new.csv")
    names, found = predictions(out)
    assert code == 0 and names == ["price"]
    expected = np.array([row[2] for row in rows], float)
    assert np.corrcoef(np.array(found, float)[:, 0], expected)[0, 1] > 0.99


def test_saved_scores_are_those_of_predictions(trained, directory, capsys):
    """The file holds all that a prediction needs: the same outputs as right after training."""
    model = load(trained / "houses")
    assert METADATA_KEY in load_metadata(trained / "houses")
    write("one.csv", ["rooms", "area"], [[3, 100.0]])
    _, out, _ = run(capsys, "predict", trained / "houses", "one.csv")
    areas, rooms = np.array([row[:2] for row in houses()[1]], float).T
    rng = np.random.default_rng(0)
    train = np.sort(np.setdiff1d(np.arange(120), rng.permutation(np.arange(120))[:24]))
    x = [(v - c[train].mean()) / c[train].std() for v, c in ((100.0, areas), (3, rooms))]
    price = np.array([row[2] for row in houses()[1]], float)[train]
    y = model(np.array([x], np.float32))[0, 0] * price.std() + price.mean()
    assert float(out[1]) == pytest.approx(y, rel=1e-5)


def test_the_same_seed_gives_the_same_file(directory, capsys):
    write("flowers.csv", *flowers())
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        argv = ["--target", "kind", "--drop", "id", "--epochs", 2, "--dropout", 0.3]
        assert (
            run(capsys, "train", "csv", "flowers.csv", *argv, "--seed", seed, "--output", name)[0]
            == 0
        )
    a, b, c = ((directory / name).read_bytes() for name in "abc")
    assert a == b and a != c


def test_no_rows_held_out(directory, capsys):
    write("flowers.csv", *flowers())
    argv = ["--target", "kind", "--drop", "id", "--epochs", 2, "--test-size", 0]
    code, out, _ = run(capsys, "train", "csv", "flowers.csv", *argv)
    assert code == 0 and "90 training rows, 0 test rows" in out
    assert not any("accuracy  macro" in line or "test loss" in line for line in out)


def test_ctrl_c_still_tests_and_saves(directory, capsys, monkeypatch):
    def press(self, epoch, logs):
        raise KeyboardInterrupt

    monkeypatch.setattr(report.Lines, "on_epoch_end", press)
    write("flowers.csv", *flowers())
    code, out, err = run(capsys, "train", "csv", "flowers.csv", "--target", "kind", "--drop", "id")
    assert code == 130 and err == ""
    assert any(line.startswith("interrupted after 1 of 30") for line in out)
    assert out[-1] == "model saved to model.safetensors" and "most frequent" in out[-2]


@pytest.mark.parametrize(
    ("content", "argv", "message"),
    [
        ("", [], r"f\.csv is empty"),
        ("a,kind\n", [], "no rows"),
        ("a,\n1,2\n", [], "column 2 has no name"),
        ("a,a\n1,2\n", [], "two columns called 'a'"),
        ("a,kind\n1,2\n1,2,3\n", [], r"f\.csv, line 3: 3 cells, but 2 columns"),
        ('a,kind\n1,"2\n', [], r"line 2: unexpected end of data"),
        (
            "a,kind\n" + "1,x\n" * 12,
            ["--target", "b"],
            r"no column 'b'; its columns are 'a', 'kind'",
        ),
        ("a,kind\n" + "1,x\n2,y\n" * 4, [], "8 rows have a value in 'kind', training needs 10"),
        ("a,kind\n" + "1,x\n" * 12, [], "'kind' has 1 different values"),
        ("a,kind\n" + "1,x\n2,y\n" * 6, ["--drop", "z"], "no column 'z'"),
        ("a,kind\n" + "1,x\n2,y\n" * 6, ["--drop", "a"], "no column to learn 'kind' from"),
        ("a,kind\n" + "?,x\n,y\n" * 6, [], "no column to learn"),
        ("a,kind\n" + "1,x\n2,y\n" * 6, ["--task", "regression"], "line 2: 'x' in column 'kind'"),
        ("a,kind\n" + "1,5.5\n" * 12, [], "numbers of column 'kind' are always the same"),
        ("a,kind\n" + "inf,x\n2,y\n" * 6, [], "line 2: 'inf' in column 'a' is not a finite number"),
        (
            "a,kind\n" + "".join(f"n{i},{i % 2}.5\n" for i in range(200)),
            [],
            r"from: 'a' \(id\); --use COLUMN",
        ),
    ],
)
def test_bad_tables(directory, capsys, monkeypatch, content, argv, message):
    monkeypatch.setattr(training, "fit", None)  # all errors are reported before the training
    (directory / "f.csv").write_text(content)
    argv = argv if "--target" in argv else ["--target", "kind", *argv]
    assert_refused(capsys, ["train", "csv", "f.csv", *argv], message)
    assert [path.name for path in directory.iterdir()] == ["f.csv"]


def test_bad_bytes_and_files(directory, capsys):
    (directory / "f.csv").write_bytes("größe,kind\n1,2\n".encode("latin-1"))
    assert_refused(
        capsys,
        ["train", "csv", "f.csv", "--target", "kind"],
        r"f\.csv, line 1: not UTF-8 text \(byte 0xf6\); save it as UTF-8",
    )
    assert_refused(capsys, ["train", "csv", "g.csv", "--target", "kind"], r"g\.csv: No such file")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train", "csv"], "FILE, --target"),
        (["train", "csv", "f.csv", "--target", "k", "--test-size", "1"], "--test-size: .* got 1"),
        (["train", "csv", "f.csv", "--target", "k", "--dropout", "x"], "--dropout: .* got str 'x'"),
        (["train", "csv", "f.csv", "--target", "k", "--task", "guess"], "'guess'"),
        (["train", "csv", "f.csv", "--target", "k", "--delimiter", "::"], "--delimiter: .* '::'"),
        (["train", "csv", "f.csv", "--target", "k", "--output", "no/where"], "no/where: No such"),
        (["predict", "model"], "FILE.csv or --digit"),
        (["predict", "model", "f.csv", "--digit", "3"], "FILE.csv or --digit"),
        (["predict", "model", "f.csv"], "model: No such file"),
        (["predict", "model", "f.csv", "--output", "no/where"], "no/where: No such"),
    ],
)
def test_bad_options(directory, capsys, argv, message):
    assert_refused(capsys, argv, message)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (["length"], [[1]], r"new\.csv lacks the columns \['colour'\]"),
        (["length", "colour", "x"], [[1, "red", 2]], r"does not know: \['x'\]"),
        (["length", "x"], [[1, 2]], r"lacks the columns \['colour'\] and has .* \['x'\]"),
        (["length", "colour"], [[1, "red"], ["long", "red"]], "line 3: 'long' in column 'length'"),
    ],
)
def test_tables_for_another_model(trained, directory, capsys, header, rows, message):
    write("new.csv", header, rows)
    assert_refused(capsys, ["predict", trained / "flowers", "new.csv"], message)


def test_cells_that_training_did_not_see(trained, directory, capsys):
    rows = [["", ""], [1e300, "green"], ["NA", "?"]]
    write("new.csv", ["length", "colour"], rows)
    code, out, err = run(capsys, "predict", trained / "flowers", "new.csv")
    assert code == 0 and err == "" and len(out) == 4 and out[1] == out[3]


def test_models_for_something_else(trained, directory, capsys):
    write("new.csv", ["length", "colour"], [[1, "red"]])
    save(nn.MLP((3, 3), rng=0), "plain")
    assert_refused(
        capsys, ["predict", "plain", "new.csv"], "plain was not written by `fastnn train csv`"
    )
    assert_refused(
        capsys, ["predict", trained / "houses", "new.csv", "--proba"], "lacks the columns"
    )
    write("houses.csv", ["area", "rooms"], [[1, 2]])
    argv = ["predict", trained / "houses", "houses.csv", "--proba"]
    assert_refused(capsys, argv, "predicts a quantity")
    described = load_metadata(trained / "flowers")[METADATA_KEY]
    for damaged in (
        "",
        "[]",
        "{}",
        "[" * 100_000,
        described.replace('"version": 3', '"version": 4'),
        described.replace('"version": 3', '"version": 2'),
        described.replace('"na_values": []', '"na_values": [0]'),
        described.replace('"length": 0', '"length": -1'),
        described.replace('"unused"', '"used"'),
        described.replace('["id"]', "[3]"),
        described.replace('"std": ', '"std": -'),
        described.replace('"mean": ', '"mean": NaN, "x": '),
        described.replace('"red"]', '"red", "red"]'),
        described.replace('"fill": ""', '"fill": "no"'),
        described.replace('"decimal": "."', '"decimal": ";"'),
        described.replace('"decimal": "."', '"decimal": []'),
        described.replace('"classes"', '"klasses"'),
        described.replace('"tulip"', '"tulip", "poppy"'),
        described.replace('"blue", "red"]', '"blue", "red", "green"]'),
    ):
        assert damaged != described
        save(load(trained / "flowers"), "damaged", metadata={METADATA_KEY: damaged})
        assert_refused(
            capsys, ["predict", "damaged", "new.csv"], "damaged description of its table"
        )


def test_a_model_whose_training_went_wrong(trained, directory, capsys):
    model = load(trained / "flowers")
    model.parameters().data.fill(np.nan)
    described = load_metadata(trained / "flowers")[METADATA_KEY]
    save(model, "model", metadata={METADATA_KEY: described})
    write("new.csv", ["length", "colour"], [[1, "red"]])
    assert_refused(capsys, ["predict", "model", "new.csv"], "gives NaN for line 2", 1)


def test_digits_as_a_table(directory, capsys):
    """Whole numbers that repeat are classes, also when written 3.0; constant columns do no harm."""
    x, y = load_digits()
    header = [f"p{i}" for i in range(64)] + ["digit"]
    write("digits.csv", header, [[*row, f"{label}.0"] for row, label in zip(x, y, strict=True)])
    argv = ["--target", "digit", "--epochs", 10, "--output", "digits"]
    code, out, _ = run(capsys, "train", "csv", "digits.csv", *argv)
    assert code == 0 and out[0] == "target digit (classification, 10 classes)"
    assert float(next(line for line in out if line.startswith("model  ")).split()[1]) > 0.94
    assert 'classes": ["0", "1", "2"' in load_metadata("digits")[METADATA_KEY]


def test_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 5, 200), rng.integers(0, 6, 200)
    found = scores.classification_scores(y, p)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y, p))
    assert found["macro F1"] == pytest.approx(metrics.f1_score(y, p, average="macro"))
    y, p = rng.normal(size=(2, 50))
    found = scores.regression_scores(y, p)
    assert found["RMSE"] == pytest.approx(metrics.mean_squared_error(y, p) ** 0.5)
    assert found["MAE"] == pytest.approx(metrics.mean_absolute_error(y, p))
    assert found["R2"] == pytest.approx(metrics.r2_score(y, p))
