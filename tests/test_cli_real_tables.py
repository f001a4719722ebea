"""Tables as people have them: `fastnn train csv` beside scikit-learn, and `fastnn.table`."""

import csv
import gzip
import importlib.util
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn.data.dates import days, order_of
from fastnn.data.roles import learn_all
from fastnn.data.schema import Schema
from fastnn.data.target import held_out
from fastnn.files import load_metadata
from fastnn.table import Table, TableEncoder, TableError, as_table, read_csv

from .command_line import run_lines as run

SCRIPT = Path(__file__).parent.parent / "tools" / "make_tables.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with churn.csv and housing.csv."""
    if not SCRIPT.exists():
        pytest.skip("needs the checkout")
    spec = importlib.util.spec_from_file_location("make_tables", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    path = tmp_path_factory.mktemp("tables")
    script.churn(path / "churn.csv")
    script.housing(path / "housing.csv")
    return path


def scores(out, label):
    return [float(x) for x in next(line for line in out if line.startswith(label)).split()[1:]]


def table_of(rows, name="x"):
    return Table("t.csv", [name], [[cell] for cell in rows], list(range(2, len(rows) + 2)))


def learnt(cells, name="x", **how):
    columns, (seen,) = learn_all(table_of(cells, name), [name], np.arange(len(cells)), **how)
    return columns[0] if columns else None, seen


def test_churn_beside_scikit_learn(folder, directory, capsys):
    """The first command is about as good as a pipeline that somebody wrote for this table."""
    pytest.importorskip("sklearn")
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.metrics import f1_score
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    code, out, err = run(capsys, "train", "csv", folder / "churn.csv", "--target", "churn")
    assert code == 0 and "class 'yes' is rare" in err and "--class-weight balanced" in err
    table = read_csv(folder / "churn.csv")
    numbers = [
        [float(c) if c not in ("", "N/A") else np.nan for c in table.column(name)]
        for name in ("charge", "calls", "total", "age")
    ]
    since = [
        np.datetime64(cell).astype("datetime64[D]").astype(float) for cell in table.column("since")
    ]
    texts = [np.array(table.column(name), object) for name in ("plan", "support")]
    x = np.array([*numbers, since, *texts], object).T
    y = np.array([cell == "yes" for cell in table.column("churn")], np.int64)
    train, test = held_out(len(y), 0.2, np.random.default_rng(0), y)
    prepared = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), slice(0, 5)),
            ("c", OneHotEncoder(handle_unknown="ignore"), slice(5, 7)),
        ]
    )
    theirs = make_pipeline(
        prepared,
        MLPClassifier((64, 64), max_iter=30, batch_size=32, random_state=0, n_iter_no_change=30),
    )
    with pytest.warns(match="converged"):
        p = theirs.fit(x[train], y[train]).predict(x[test])
    accuracy, f1 = scores(out, "model ")
    assert accuracy > np.mean(p == y[test]) - 0.02
    assert f1 > f1_score(y[test], p, average="macro") - 0.04
    largest = float(next(line for line in out if line.startswith("most frequent")).split()[2])
    assert accuracy > largest


def test_class_weight_finds_the_rare_class(folder, directory, capsys):
    argv = [folder / "churn.csv", "--target", "churn", "--na-values", "-999", "--epochs", 10]
    recalls = []
    for more in ([], ["--class-weight", "balanced"]):
        code, out, _ = run(capsys, "train", "csv", *argv, *more)
        assert code == 0
        recalls.append(scores(out, "yes ")[1])
    assert recalls[1] > 0.7 > 0.5 > recalls[0]
    schema = Schema.from_json(load_metadata("model.safetensors")["fastnn.table"])
    assert schema.na_values == ("-999",)
    age = next(column for column in schema.columns if column.name == "age")
    assert 45 < age.mean < 60  # -999 does not count
    code, _, err = run(
        capsys,
        "train",
        "csv",
        folder / "housing.csv",
        "--encoding",
        "cp1252",
        "--target",
        "preis",
        "--class-weight",
        "balanced",
    )
    assert code == 2 and "--class-weight is for classes" in err


def test_housing_needs_its_encoding_and_nothing_else(folder, directory, capsys):
    argv = ["train", "csv", folder / "housing.csv", "--target", "preis"]
    code, _, err = run(capsys, *argv)
    assert code == 2 and "--encoding cp1252" in err
    code, out, err = run(capsys, *argv, "--encoding", "cp1252")
    assert code == 0 and err == ""
    kinds = {line.split()[0]: line.split()[1:3] for line in out[2:8]}
    assert kinds["id"][0] == "id" and kinds["plz"] == ["zip", "code"]
    assert kinds["fläche"][0] == "number" and kinds["verkauft"][0] == "date"
    assert scores(out, "model ")[2] > 0.85
    argv = ["model.safetensors", folder / "housing.csv", "--encoding", "cp1252"]
    code, out, _ = run(capsys, "predict", *argv, "--keep", "id", "plz")
    header, *rows = csv.reader(io.StringIO("\n".join(out)))
    assert code == 0 and header == ["id", "plz", "preis"] and len(rows) == 3000
    table = read_csv(folder / "housing.csv", encoding="cp1252")
    assert [row[:2] for row in rows] == [row[:2] for row in table.rows]
    code, out, _ = run(capsys, "predict", *argv, "--keep")
    header, *rows = csv.reader(io.StringIO("\n".join(out)))
    assert header == [*table.columns, "predicted preis"]
    assert [row[:-1] for row in rows] == table.rows
    code, _, err = run(capsys, "predict", *argv, "--keep", "idd")
    assert code == 2 and "did you mean 'id'?" in err


def test_standard_input_and_gzip(folder, directory, capsys, monkeypatch):
    packed = gzip.compress((folder / "churn.csv").read_bytes())
    for content in (packed, gzip.decompress(packed)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))
        argv = ["-", "--target", "churn", "--epochs", 1]
        assert run(capsys, "train", "csv", *argv)[0] == 0


def test_utf_16_as_excel_writes_it(directory, capsys):
    rows = "\n".join(["x\tstraße", *(f"{i}\t{'ab'[i % 2]}" for i in range(40))])
    Path("t.csv").write_bytes(rows.encode("utf-16"))
    code, out, _ = run(capsys, "train", "csv", "t.csv", "--target", "straße", "--epochs", 1)
    assert code == 0 and out[0] == "target straße (classification, 2 classes)"


def test_a_model_that_guesses_says_so(directory, capsys):
    rng = np.random.default_rng(0)
    lines = [f"{a:.4f},{b:.4f},{'yn'[rng.integers(2)]}" for a, b in rng.normal(size=(300, 2))]
    Path("noise.csv").write_text("\n".join(["a,b,kind", *lines]))
    code, _, err = run(capsys, "train", "csv", "noise.csv", "--target", "kind", "--epochs", 1)
    assert code == 0 and "no better than guessing" in err
    code, _, err = run(capsys, "train", "csv", "noise.csv", "--target", "b", "--drop", "kind")
    assert code == 0 and "no better than guessing" in err


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["2024-02-28", "2024/02/28"], "ymd"),
        (["2024-02-28T23:59:59.5Z", "2024-02-28 07:00"], "ymd"),
        (["28.02.2024", "01.02.2024"], "dmy"),
        (["02/28/2024", "02/01/2024"], "mdy"),
        (["28/02/2024", "01/02/2024"], "dmy"),
        (["01/02/2024"], "mdy"),
        (["01.02.2024", "", "?"], "dmy"),
        (["2024-02-30"], None),
        (["2024"], None),
        ([""], None),
        (["1.5", "2.25"], None),
    ],
)
def test_orders_of_dates(cells, order):
    assert order_of(table_of(cells), "x") == order


def test_days_are_those_of_numpy():
    rng = np.random.default_rng(0)
    for t in rng.integers(-20000, 40000, 200):
        day = np.datetime64(int(t), "D")
        y, m, d = str(day).split("-")
        assert days(f"{y}-{m}-{d}", "ymd") == days(f"{d}.{m}.{y}", "dmy") == t
        assert days(f"{m}/{d}/{y} 06:00", "mdy") == t + 0.25


def test_dates_are_encoded():
    cells = [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(60)] + [""]
    column, seen = learnt(cells)
    assert seen[1:4] == ("date", 1, 60) or seen.kind == "date"
    x = column.encode(table_of(cells))
    assert x.shape == (61, 5) and np.isfinite(x).all()
    assert abs(x[:60, 0].mean()) < 0.1 and x[:, 1:].min() >= -1 and x[:, 1:].max() <= 1
    np.testing.assert_allclose((x[:, 1::2] ** 2 + x[:, 2::2] ** 2), 1, atol=1e-5)
    hours, _ = learnt([f"2024-01-{1 + i:02d} {i % 24:02d}:30" for i in range(28)])
    assert hours.clock and hours.width == 7 == len(hours.features)
    with pytest.raises(TableError, match=r"line 2: '1.2.2024' in column 'x' is not a date written"):
        column.encode(table_of(["1.2.2024"]))
    with pytest.raises(TableError, match=r"60 dates, and 1 other texts, such as 'soon' in line 62"):
        learnt([*cells[:60], "soon"])


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("customer_id", [str(7 * i) for i in range(50)], "id"),
        ("PassengerId", [str(i) for i in range(50)], "id"),
        ("Unnamed: 0", [str(i) for i in range(50)], "id"),
        ("x", [str(i) for i in range(50)], "number"),
        ("humidity", [str(i) for i in range(50)], "number"),
        ("id", ["1", "2"] * 25, "number"),
        ("code", [f"K{i}" for i in range(50)], "id"),
        ("code", [f"K{i // 2}" for i in range(50)], "text"),
        ("note", [f"was here {i} times" for i in range(50)], "free text"),
        ("note", [f"n{i // 2}" for i in range(500)], "free text"),
        ("city", [f"c{min(i // 4, 120)}" for i in range(2000)], "text"),
        ("zip", ["12345", "99999-1234"] * 9, "zip code"),
        ("plz", ["01234", "99999"] * 9, "zip code"),
        ("branch", ["0123", "4567"] * 9, "zip code"),
        ("branch", ["1123", "4567"] * 9, "number"),
        ("zipper", ["1123", "4567"] * 9, "number"),
        ("flag", ["yes", "no", ""] * 9, "text"),
        ("x", ["", "?"] * 9, "empty"),
    ],
)
def test_kinds_of_columns(name, cells, kind):
    column, seen = learnt(cells, name)
    assert seen.kind == kind
    assert (column is None) == (kind in ("id", "free text", "empty"))
    if kind in ("id", "free text"):
        assert learnt(cells, name, use=[name])[0] is not None
    if column is not None:
        assert column.encode(table_of(cells, name)).shape == (len(cells), column.width)
        assert column.width <= 100 and len(column.features) == column.width


def test_the_most_frequent_texts_are_kept_and_regions_of_zip_codes():
    cells = ["often"] * 300 + ["twice", "twice"] + [f"c{i}" for i in range(150)]
    column, _ = learnt(cells)
    assert column.width == 100 and {"often", "twice"} <= set(column.values)
    codes = [f"{i:05d}" for i in range(0, 99999, 133)]
    column, seen = learnt(codes, "zip")
    assert column.length == 2 and column.width == 100 and "first 2 digits" in seen.used
    assert (column.encode(table_of(codes, "zip")).sum(axis=1) == 1).all()


def test_the_encoder_has_the_shape_of_scikit_learn():
    rows = {"age": [20, None, 40.0], "city": ["Rome", "Oslo", None], "y": [1, 0, 1]}
    encoder = TableEncoder(drop=["y"])
    x = encoder.fit_transform(rows)
    assert x.dtype == np.float32 and x.shape == (3, 4)
    assert encoder.get_feature_names_out().tolist() == ["age", "city=", "city=Oslo", "city=Rome"]
    assert [each.name for each in encoder.seen_] == ["age", "city"]
    np.testing.assert_array_equal(encoder.transform({"city": ["Bern"], "age": [30]}), [[0] * 4])
    assert repr(encoder) == "TableEncoder(drop=['y'])"
    with pytest.raises(ValueError, match=r"call fit\(rows\) before"):
        TableEncoder().transform(rows)
    with pytest.raises(ValueError, match="no parameter 'dorp'"):
        encoder.set_params(dorp=1)
    with pytest.raises(TableError, match="did you mean 'city'"):
        TableEncoder(drop=["ciyt"]).fit(rows)
    with pytest.raises(TypeError, match="a table must be a DataFrame, a dict of columns"):
        as_table(3)
    with pytest.raises(TableError, match="columns of one length"):
        as_table({"a": [1], "b": [1, 2]})


@pytest.mark.filterwarnings("ignore:.*converged")
def test_the_encoder_in_a_pipeline(folder):
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.pipeline import make_pipeline

    from fastnn.sklearn import MLPClassifier

    table = read_csv(folder / "churn.csv")
    rows = {name: table.column(name) for name in table.columns}
    y = np.array(rows.pop("churn"))
    model = clone(make_pipeline(TableEncoder(), MLPClassifier((16,), max_iter=20, random_state=0)))
    assert model.fit(rows, y).score(rows, y) > 0.9
    assert json.dumps(model.predict(rows)[:3].tolist())


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "when": pandas.to_datetime(["2024-01-01", "2024-03-01", None]),
            "kind": pandas.Categorical(["a", "b", "a"]),
            "n": pandas.array([1, None, 3], dtype="Int64"),
        }
    )
    encoder = TableEncoder().fit(frame)
    assert [each.kind for each in encoder.seen_] == ["date", "text", "number"]
    assert [each.missing for each in encoder.seen_] == [1, 0, 1]
    assert encoder.transform(frame).shape == (3, 8)


def test_patience_stops_and_keeps_the_best_weights(folder, directory, capsys):
    argv = [folder / "churn.csv", "--target", "churn", "--epochs", 60, "--lr", 0.003]
    code, out, err = run(capsys, "train", "csv", *argv, "--patience", 3, "--json")
    result = json.loads("\n".join(out))
    assert code == 0 and 4 <= result["epochs"] < 60
    losses = result["history"]["val_loss"]
    assert min(losses) == losses[-4], "three epochs after the best it stops"
    code, lines, err = run(capsys, "train", "csv", *argv, "--patience", 3)
    out = "\n".join(lines)
    assert code == 0 and "2,880 training rows, 320 validation rows, 800 test rows" in out
    assert "stopped: val_loss has not improved on" in out and "  test loss" not in out
    assert result["epochs"] < 6 or "  validation loss" in out
    rows = "".join(f"{i}.5,{i}.25\n" for i in range(12))
    Path("few.csv").write_text("x,y\n" + rows)
    few = ["few.csv", "--target", "y", "--test-size", 0.7, "--patience", 2, "--task", "regression"]
    code, out, err = run(capsys, "train", "csv", *few)
    assert code == 2 and "--patience needs more rows: a tenth of 4 is none" in err
