"""Read CSV files with a header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from ..checks import did_you_mean
from ..keywords import explained
from .text_file import PathLike, TextFileError, read_text, shown_name

# Candidates if no delimiter is given, and the number of rows they are tried on.
DELIMITERS = ",;\t|"
SAMPLE = 100

# A first line that names the delimiter, as Excel understands it.
SEP = re.compile(r'sep=([^"\r\n])[\r\n]+', re.IGNORECASE)


class TableError(ValueError):
    """A table cannot be read or used; the message names the file and the line or column.

    Examples
    --------
    >>> from pathlib import Path
    >>> size = Path("empty.csv").write_text("")
    >>> try:
    ...     fastnn.table.read_csv("empty.csv")
    ... except fastnn.table.TableError as error:
    ...     print(error)
    empty.csv is empty
    """


@dataclass
class Table:
    """The cells of a CSV file, without surrounding spaces.

    Attributes
    ----------
    path : str
        For messages.
    columns : list of str
    rows : list of list of str
    lines : list of int
        The line of the file on which each row ends.

    Examples
    --------
    >>> table = fastnn.table.as_table({"size": [1, 2], "color": ["red", "blue"]})
    >>> table.columns, table.rows
    (['size', 'color'], [['1', 'red'], ['2', 'blue']])
    """

    path: str
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]

    def column(self, name: str) -> list[str]:
        """Return the cells of one column; TableError if there is no such column."""
        if name not in self.columns:
            known = f"{', '.join(map(repr, self.columns)):.400}"
            hint = "; is the header missing?" if any(map(_is_number, self.columns)) else ""
            raise TableError(
                f"{self.path} has no column {name!r:.80}; its columns are {known}{hint}"
                + did_you_mean(name, self.columns)
            )
        i = self.columns.index(name)
        return [row[i] for row in self.rows]

    def without(self, na_values: Collection[str]) -> Table:
        """Return the table with empty cells in place of those in `na_values`."""
        if not na_values:
            return self
        rows = [["" if cell in na_values else cell for cell in row] for row in self.rows]
        return Table(self.path, self.columns, rows, self.lines)


@explained
def read_csv(path: PathLike, delimiter: str | None = None, encoding: str | None = None) -> Table:
    """Read a CSV file (RFC 4180) whose first line names the columns.

    Parameters
    ----------
    path : path-like
        A file, compressed by gzip or not; "-" is the standard input.
    delimiter : str, optional
        One character. The default is that of a first line "sep=;", or else the comma, semicolon,
        tab or bar that splits most of the first rows into as many cells as the header.
    encoding : str, optional
        Such as "cp1252" or "latin-1"; default: UTF-8, or UTF-16 if the file begins as such.

    Returns
    -------
    Table
        Without empty lines, and without rows of empty cells before the header.

    Raises
    ------
    TableError
        Not UTF-8 text, no header or a faulty one, no rows, or a row with another number of cells.
    OSError
        There is no such file, or it cannot be read.

    Examples
    --------
    >>> with open("table.csv", "w") as file:
    ...     print("size;color", file=file)
    ...     print("2,5;red", file=file)
    >>> fastnn.table.read_csv("table.csv").column("color")
    ['red']
    """
    try:
        text = read_text(path, encoding or "auto")
    except TextFileError as error:
        hint = ", or use --encoding cp1252 or another" if "; save it as UTF-8" in str(error) else ""
        raise TableError(f"{error}{hint}") from error
    named = SEP.match(text)
    if named is not None:
        text = text[named.end() :]
        delimiter = delimiter or named[1]
    return _read(text, shown_name(path), delimiter or _delimiter(text), int(named is not None))


def _delimiter(text: str) -> str:
    """Return the delimiter that splits most of the first rows into as many cells as the header.

    The header must have two cells or more. Ties go to the delimiter that makes more cells;
    delimiters in quotes do not count.
    """

    def merit(delimiter: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows: list[list[str]] = []
        try:
            for row in reader:
                if any(cell.strip() for cell in row):
                    rows.append(row)
                if len(rows) == SAMPLE:
                    break
        except csv.Error:  # a field is longer than csv's limit
            pass
        width = len(rows[0]) if rows else 0
        return (sum(len(row) == width for row in rows), width) if width > 1 else (0, 0)

    return max(DELIMITERS, key=merit)  # the comma, if none splits the header


def _read(text: str, name: str, delimiter: str, before: int) -> Table:
    """Parse a table; line numbers include the `before` lines read earlier."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = _rows(reader, name, before)
    header = next((row for row in rows if any(cell.strip() for cell in row)), None)
    if header is None:
        raise TableError(f"{name} is empty")
    columns = [cell.strip() for cell in header]
    for column in columns:
        if not column:
            raise TableError(f"{name}: column {columns.index(column) + 1} has no name")
        if columns.count(column) > 1:
            raise TableError(f"{name} has two columns called {column!r:.80}")
    table = Table(name, columns, [], [])
    for row in rows:
        line = before + reader.line_num
        if len(row) != len(columns):
            raise TableError(f"{name}, line {line}: {len(row)} cells, but {len(columns)} columns")
        table.rows.append([cell.strip() for cell in row])
        table.lines.append(line)
    if not table.rows:
        raise TableError(f"{name} has a header, but no rows")
    return table


def _rows(reader: Any, name: str, before: int) -> Iterator[list[str]]:
    """Yield the rows that are not empty; errors of the csv module name their line."""
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(f"{name}, line {before + reader.line_num}: {error}") from error
        if row and row != [""]:
            yield row


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
