"""CSV files with a header, read with the standard library."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

PathLike = str | os.PathLike[str]

# Cells that stand for a missing value, in any case and without the spaces around them.
MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})

# Where none is given: that of which the header has most.
DELIMITERS = ",;\t|"


class TableError(ValueError):
    """A table cannot be read or used; the message names the file, and the line or the column."""


@dataclass
class Table:
    """The cells of a CSV file, spaces around them removed; missing ones are "".

    Attributes
    ----------
    path : str
        For messages.
    columns : list of str
    rows : list of list of str
    lines : list of int
        The line of the file on which each row ends.
    """

    path: str
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]

    def column(self, name: str) -> list[str]:
        """The cells of one column; TableError if there is none of that name."""
        if name not in self.columns:
            known = ", ".join(map(repr, self.columns))
            raise TableError(f"{self.path} has no column {name!r}; its columns are {known}")
        i = self.columns.index(name)
        return [row[i] for row in self.rows]


def read_csv(path: PathLike, delimiter: str | None = None) -> Table:
    """Read a CSV file (RFC 4180, UTF-8) whose first line names the columns.

    Parameters
    ----------
    path : path-like
    delimiter : str, optional
        One character. By default the comma, semicolon, tab or bar that the header has most of.

    Returns
    -------
    Table
        Lines with nothing in them are left out.

    Raises
    ------
    TableError
        No text in UTF-8, no header or a faulty one, no rows, or a row with another number of cells.
    OSError
        There is no such file, or it cannot be read.
    """
    name = os.fspath(path)
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            return _read(file, name, delimiter)
        except UnicodeDecodeError as error:
            raise TableError(f"{name} is no text in UTF-8: {error}") from error


def _read(file: TextIO, name: str, delimiter: str | None) -> Table:
    if delimiter is None:
        first = file.readline()
        delimiter = max(DELIMITERS, key=first.count)  # the comma where there is none of them
        file.seek(0)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    rows = _rows(reader, name)
    header = next(rows, None)
    if header is None:
        raise TableError(f"{name} is empty")
    columns = [cell.strip() for cell in header]
    for column in columns:
        if not column:
            raise TableError(f"{name}: column {columns.index(column) + 1} has no name")
        if columns.count(column) > 1:
            raise TableError(f"{name} has two columns called {column!r}")
    table = Table(name, columns, [], [])
    for row in rows:
        if len(row) != len(columns):
            raise TableError(
                f"{name}, line {reader.line_num}: {len(row)} cells, but {len(columns)} columns"
            )
        cells = [cell.strip() for cell in row]
        table.rows.append(["" if cell.lower() in MISSING else cell for cell in cells])
        table.lines.append(reader.line_num)
    if not table.rows:
        raise TableError(f"{name} has a header, but no rows")
    return table


def _rows(reader: Iterator[list[str]], name: str) -> Iterator[list[str]]:
    """The rows that have anything in them; the csv module's errors with their line."""
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            line = getattr(reader, "line_num", 0)
            raise TableError(f"{name}, line {line}: {error}") from error
        if row:
            yield row
