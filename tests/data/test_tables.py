"""Tables: delimiters, spellings of numbers, missing cells, and what is refused, not guessed."""

import csv
import gzip
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn.cli import main
from fastnn.data.cells import MISSING, MISSING_NUMBERS, decimal_of, number
from fastnn.data.columns import Numbers, Texts, from_json, to_json
from fastnn.data.csv_file import DELIMITERS, Table, TableError, read_csv
from fastnn.data.roles import learn_all
from fastnn.data.target import task_of


def table(cells, name="x"):
    return Table("t.csv", [name], [[cell] for cell in cells], list(range(2, len(cells) + 2)))


def learnt(cells, asked=None):
    columns, _ = learn_all(table(cells), ["x"], np.arange(len(cells)), asked)
    return columns[0] if columns else None


def written(tmp_path, text, delimiter=None):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    return read_csv(path, delimiter)


NUMBERS = [f"{i / 7:.3f}" for i in range(40)]


@pytest.mark.parametrize("mark", [*sorted(MISSING_NUMBERS), "NA", "Null", "#N/A", "<NA>", "NaN"])
def test_a_mark_in_a_column_of_numbers_is_a_missing_value(mark):
    """A single stray text must not turn a column of numbers into categories."""
    cells = [*NUMBERS, mark]
    column = learnt(cells)
    assert isinstance(column, Numbers)
    values = np.array(NUMBERS, float)
    assert column.fill == np.median(values)
    encoded = column.encode(table(cells))[:, 0]
    assert np.isfinite(encoded).all()
    assert encoded[-1] == pytest.approx((column.fill - column.mean) / column.std, rel=1e-6)
    # also if it occurs only in the first rows, or in rows to predict
    assert learnt([mark, *NUMBERS]) == column
    assert np.isfinite(column.encode(table([mark]))).all()


@pytest.mark.parametrize("name", ["None", "NA", "null", "-", "n/a", "N/A"])
def test_names_of_nothing_are_texts_in_a_column_of_texts(name):
    cells = ["red", name, "blue", name, "red", "red"]
    column = learnt(cells)
    assert column.values == tuple(sorted({"red", "blue", name}))
    encoded = column.encode(table(cells))
    np.testing.assert_array_equal(encoded.sum(axis=1), 1)
    assert encoded[1].argmax() == column.values.index(name)


@pytest.mark.parametrize("mark", sorted(MISSING))
def test_a_missing_text_is_none_of_the_others(mark):
    """A missing text must not count as the most frequent text."""
    column = learnt(["a", "a", mark, "b", mark])
    assert column.values == ("", "a", "b")
    encoded = column.encode(table(["a", mark, "b", "unknown", ""]))
    assert encoded.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]
    never = learnt(["a", "b"])
    assert never.encode(table([mark])).tolist() == [[0, 0]]


def test_columns_of_earlier_versions_fill_as_they_did():
    (old,) = from_json([{"name": "x", "fill": "b", "values": ["a", "b"]}])
    assert old.encode(table(["", "NA", "none", "a", "z"])).tolist() == [
        [0, 1],
        [0, 1],
        [0, 1],
        [1, 0],
        [0, 0],
    ]
    (numbers,) = from_json([{"name": "x", "fill": 1.0, "mean": 0.0, "std": 2.0}])
    assert numbers == Numbers("x", 1.0, 0.0, 2.0, ".")
    for column in (old, numbers, Texts("x", ("", "a")), Numbers("x", 1.0, 0.0, 2.0, ",")):
        assert from_json(to_json_like(column)) == (column,)


def to_json_like(column):
    """The schema as read from a file: tuples are lists."""
    (fields,) = to_json([column])
    return [{key: list(v) if isinstance(v, tuple) else v for key, v in fields.items()}]


@pytest.mark.parametrize(
    ("cells", "decimal", "values"),
    [
        (["1,5", "2,25", "-3", "1e3"], ",", [1.5, 2.25, -3, 1000]),
        (["1.234,5", "12.345.678,9", "5"], ",", [1234.5, 12345678.9, 5]),
        (["0,123", "12", "1234,5"], ",", [0.123, 12, 1234.5]),
        (["1,", "2,5"], ",", [1, 2.5]),
        (["1234,567", "2"], ",", [1234.567, 2]),
        (["1.5", "2", "-3e2"], ".", [1.5, 2, -300]),
        (["1.234", "5.678"], ".", [1.234, 5.678]),
    ],
)
def test_decimal_commas(cells, decimal, values):
    found = table([*cells, "-", "#N/A", ""])
    assert decimal_of(found, "x") == decimal
    assert [number(cell, decimal) for cell in cells] == values
    column = learnt(cells)
    assert column.decimal == decimal
    expected = (np.array(values) - column.mean) / column.std
    np.testing.assert_allclose(column.encode(table(cells))[:, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("cells", "asked", "message"),
    [
        (
            ["1,234", "5,678"],
            None,
            r"line 2: '1,234' .*may be a decimal comma or .*--decimal comma",
        ),
        (["12", "1,234", "999"], None, r"line 3: '1,234' in column 'x': its comma may be"),
        (["1.234", "5.678", "3,5"], None, r"line 4: '3,5' in column 'x': its comma may be"),
        (["1,234.5", "2"], None, r"line 2: '1,234\.5' in column 'x' has a comma between thousands"),
        (["1,234,567", "2"], None, "between thousands: write the numbers without it"),
        (["1,234"], ".", "between thousands"),
        ([*NUMBERS, "12a"], None, r"has 40 numbers, and 1 other texts, such as '12a' in line 42"),
        ([*NUMBERS, "1_000", "x"], None, "2 other texts, such as '1_000' in line 42"),
        ([*NUMBERS, "3,5"], None, "1 other texts, such as '3,5'"),
        ([*(n.replace(".", ",") for n in NUMBERS), "x"], None, "such as 'x' in line 42"),
    ],
)
def test_numbers_that_are_not_guessed(cells, asked, message):
    with pytest.raises(TableError, match=message):
        decimal_of(table(cells), "x", asked)


def test_asked_for_a_comma_or_a_point():
    assert decimal_of(table(["1,234", "5,678"]), "x", ",") == ","
    assert learnt(["1,234", "5,678"], ",").mean == pytest.approx(3.456)
    assert decimal_of(table(["1.234", "5"]), "x", ",") == ","
    assert learnt(["1.234", "5"], ",").mean == pytest.approx(619.5)
    assert decimal_of(table(["1.5", "2"]), "x", ",") == "."
    assert decimal_of(table(["1,5", "2,5"]), "x", ".") is None


@pytest.mark.parametrize(
    "cells",
    [
        ["0", "1", "2", "3+"] * 10,  # few codes: a list of them, not numbers
        [*NUMBERS, *["none of these"] * 20],  # too many to be mistakes
        ["12-30", "13-45"],
        ["1_000", "2_000"],
    ],
)
def test_columns_of_texts_stay_texts(cells):
    assert decimal_of(table(cells), "x") is None
    assert isinstance(learnt(cells), Texts)


@given(st.floats(-1e9, 1e9), st.sampled_from([".", ","]))
def test_numbers_come_back(value, decimal):
    text = f"{value:.6f}".replace(".", decimal)
    assert number(text, decimal) == pytest.approx(value, abs=1e-6)


def test_tasks():
    prices = [f"{i},{i % 10}0" for i in range(100)]
    assert task_of(table(prices), "x", decimal_of(table(prices), "x")) == "regression"
    ratings = ["1", "2", "3"] * 20 + ["-", "NA"]
    assert task_of(table(ratings), "x", decimal_of(table(ratings), "x")) == "classification"


ROWS = [["a", "b c", "n"], ["1,5; 2", "x|y", "3"], ['quo"te', "t\tab", "4"], ["", ";,|", "5"]]


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("before", ["", "\n", "\r\n\r\n", "  \n", "\ufeff", "\ufeff\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_delimiter_is_found(tmp_path, delimiter, before, end):
    """Delimiters in quotes do not count, and more than the first line does."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(ROWS)
    found = written(tmp_path, before + text.getvalue())
    assert [found.columns, *found.rows] == ROWS
    assert found.lines[0] == 2 + (before.count("\n"))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('"a;b;c;d",e\n1,2\n', ["a;b;c;d", "e"]),
        ("x;y\n1,5;2,5\n3,5;4,5\n", ["x", "y"]),
        ("name;note\nann;one, two, three\nbob;four, five, six\n", ["name", "note"]),
        ("sep=;\na,b;c\n1;2\n", ["a,b", "c"]),
        ("sep=|\r\na|b\r\n1|2\r\n", ["a", "b"]),
        ("SEP=\t\na\tb\n1\t2\n", ["a", "b"]),
        (",,\nx,y,z\n1,2,3\n", ["x", "y", "z"]),
        ("only\n1\n2\n", ["only"]),
    ],
)
def test_headers(tmp_path, text, columns):
    found = written(tmp_path, text)
    assert found.columns == columns
    last = found.lines[-1]
    assert last == text.count("\n")


def test_lines_are_counted_behind_a_first_line_for_excel(tmp_path):
    with pytest.raises(TableError, match=r"t\.csv, line 4: 3 cells, but 2 columns"):
        written(tmp_path, "sep=;\na;b\n1;2\n1;2;3\n")
    assert written(tmp_path, "sep=;\na|b\n1|2\n", "|").columns == ["a", "b"]


@given(st.text(alphabet='ab,;|\t"\n\r \ufeff=sep1.', max_size=60))
def test_any_text_is_a_table_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.encode())
    try:
        found = read_csv(path)
    except TableError as error:
        assert "any.csv" in str(error)
    else:
        assert found.rows and all(len(row) == len(found.columns) for row in found.rows)


def train(capsys, *argv):
    code = main(["train", "csv", "t.csv", *map(str, argv), "--epochs", "20", "--output", "m"])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def score(out):
    """The first score of the model."""
    at = next(i for i, line in enumerate(out) if line.split()[:1] in (["accuracy"], ["RMSE"]))
    return float(out[at + 1].split()[1])


@pytest.mark.parametrize("mark", ["-", "#N/A", "<NA>", "--", "n/a"])
def test_one_mark_does_not_spoil_a_column(directory, capsys, mark):
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    rows = [f"{a:.4f},{'yes' if a > 0 else 'no'}" for a in x]
    rows[7] = f"{mark},no"
    (directory / "t.csv").write_text("\n".join(["x,y", *rows]))
    code, out, err = train(capsys, "--target", "y", "--lr", 0.01)
    assert (code, err) == (0, "")
    assert "1 numeric column, 0 text columns: 1 input" in out
    assert f"x: 1 cell ({mark!r}) taken as missing" in out
    assert score(out) > 0.9


def test_a_table_with_decimal_commas(directory, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = 100 * x[:, 0] + 20 * x[:, 1]
    lines = [f"{a:.3f};{b:.2f};{c:.2f}".replace(".", ",") for (a, b), c in zip(x, y, strict=True)]
    text = "\n".join(["sep=;", "x;z;price", *lines])
    (directory / "t.csv").write_bytes(gzip.compress(text.encode("utf-8-sig")))
    code, out, err = train(capsys, "--target", "price", "--lr", 0.01)
    assert (code, err) == (0, "") and out[0] == "target price (regression)"
    assert out[6:8] == ["x: numbers with a decimal comma", "z: numbers with a decimal comma"]
    assert score(out) < 0.3 * y.std()
    (directory / "new.csv").write_text("x;z\n0,5;1,0\n1;-\n")
    assert main(["predict", "m", "new.csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    (directory / "new.csv").write_text("x,z\n0.5,1.0\n")
    assert main(["predict", "m", "new.csv"]) == 2
    error = capsys.readouterr().err
    assert "line 2: '0.5' in column 'x' is not a finite number with a decimal comma" in error


def test_columns_are_dropped_by_all_options_together(directory, capsys):
    rows = [f"{i},{2 * i},{3 * i},{i % 2}" for i in range(40)]
    (directory / "t.csv").write_text("\n".join(["a,b,c,y", *rows]))
    code, out, _ = train(capsys, "--target", "y", "--drop", "a", "--drop", "b")
    assert code == 0 and out[2].endswith("no: --drop") and out[3].endswith("no: --drop")
    assert "1 numeric column, 0 text columns: 1 input" in out


def test_what_a_target_may_be(directory, capsys):
    rows = [f"{i % 7},{('None', 'NA', 'x')[i % 3]}" for i in range(60)] + ["1,", "2,?"]
    (directory / "t.csv").write_text("\n".join(["a,y", *rows]))
    code, out, _ = train(capsys, "--target", "y")
    assert code == 0 and out[0] == "target y (classification, 3 classes)"
    assert "2 rows of 62 without a target left out" in out
    rows = [f"{i % 7},{i / 3:.2f}" for i in range(60)] + ["1,NA", "2,-"]
    (directory / "t.csv").write_text("\n".join(["a,y", *rows]))
    code, out, _ = train(capsys, "--target", "y")
    assert code == 0 and out[0] == "target y (regression)"
    (directory / "t.csv").write_text("\n".join(["a,y", *rows, "3,twelve"]))
    code, _, err = train(capsys, "--target", "y")
    assert code == 2 and "'twelve' in line 64: correct or empty" in err


def test_a_missing_header_is_guessed_in_the_error(directory, capsys):
    (directory / "t.csv").write_text("1,2,x\n" * 20 + "3,4,y\n")
    code, _, err = train(capsys, "--target", "y")
    assert code == 2 and "two columns" not in err
    assert "no column 'y'; its columns are '1', '2', 'x'; is the header missing?" in err


def test_a_column_that_is_dropped_may_be_anything(directory, capsys):
    rows = [f'{i},"1,{i:03d}",{i % 2}' for i in range(40)]
    (directory / "t.csv").write_text("\n".join(["a,b,y", *rows]))
    code, _, err = train(capsys, "--target", "y")
    assert code == 2 and "may be a decimal comma" in err
    code, out, _ = train(capsys, "--target", "y", "--drop", "b")
    assert code == 0 and re.fullmatch("b +no: --drop", out[3])
    code, out, _ = train(capsys, "--target", "y", "--decimal", "comma")
    assert code == 0 and "b: numbers with a decimal comma" in out
