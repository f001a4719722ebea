"""Infer what the columns of a table are: numbers, texts, dates, zip codes, ids or free text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cells import Decimal, decimal_of, is_missing, number
from .columns import Column, Texts, learn_numbers
from .csv_file import Table
from .dates import learn_dates, order_of

# Maximum number of one-hot columns of a text; the most frequent texts get them.
MOST_VALUES = 100

# Texts of which at least this fraction of the rows differ are free text, not categories.
FREE_TEXT = 0.5

# Texts that all differ are ids in tables of at least this many rows.
LEAST_IDS = 20

ID_NAME = re.compile(
    r"(?i:(^|[_ .#-])(id|uuid|guid|index|idx|key|nr|no)|^unnamed: \d+)$|[a-z]I[dD]$"
)
ZIP_NAME = re.compile(r"(?i)(^|[_ .-])(zip|zip[_ ]?code|postal([_ ]?code)?|post[_ ]?code|plz)$")
CODE = re.compile(r"\d{4,}(-\d+)?")


class Seen(NamedTuple):
    """What was inferred about a column: one line of the column table of `fastnn train csv`.

    `kind` is "number", "text", "date", "zip code", "id", "free text" or "empty"; `used` is the
    number of inputs made of it, "target", or why it is not used.

    Examples
    --------
    >>> columns = {"size": [1.0, 3.0] * 20, "color": ["red", "red", "blue", "blue"] * 10}
    >>> encoder = fastnn.table.TableEncoder().fit(columns)
    >>> encoder.seen_[1].kind
    'text'
    """

    name: str
    kind: str
    missing: int
    distinct: int
    used: str


def learn_all(
    table: Table,
    names: Iterable[str],
    rows: NDArray[np.intp],
    decimal: Decimal | None = None,
    use: Collection[str] = (),
) -> tuple[list[Column], list[Seen]]:
    """Learn the encodings of columns from `rows`, without ids, free text and empty columns.

    Parameters
    ----------
    table : Table
    names : iterable of str
    rows : ndarray of int
        The training rows: statistics and categories come from them alone.
    decimal : {".", ","}, optional
        Notation of the numbers, if known.
    use : collection of str
        Columns to use even if they look like ids or free text.

    Raises
    ------
    TableError
        Numbers or dates are mixed with other texts, or a number is infinite.
    """
    columns, seen = [], []
    for name in names:
        cells = table.column(name)
        kind, column = _learn(table, name, rows, decimal, name in use)
        mark: Decimal | None = "." if kind in ("number", "date", "zip code") else None
        known = [cell for cell in cells if not is_missing(cell, mark)]
        used = f"no: {kind}" if column is None else _inputs(column)
        seen.append(Seen(name, kind, len(cells) - len(known), len(set(known)), used))
        if column is not None:
            columns.append(column)
    return columns, seen


def _inputs(column: Column) -> str:
    text = f"{column.width} input{'s' * (column.width != 1)}"
    length = getattr(column, "length", 0)
    return f"{text}: first {length} digits" if length else text


def _learn(
    table: Table, name: str, rows: NDArray[np.intp], asked: Decimal | None, use: bool
) -> tuple[str, Column | None]:
    """Return the kind of a column and its encoding, None if it is of no use."""
    cells = table.column(name)
    everything = [cell for cell in cells if not is_missing(cell, ".")]
    if not everything or all(is_missing(cells[i], None) for i in rows):
        return "empty", None
    if is_code(name, everything):
        return "zip code", _learn_codes(cells, name, rows)
    order = order_of(table, name)
    if order is not None:
        known = any(not is_missing(cells[i], ".") for i in rows)
        return ("date", learn_dates(table, name, rows, order)) if known else ("empty", None)
    decimal = decimal_of(table, name, asked)
    if decimal is not None:
        if not use and _are_ids(name, everything, decimal):
            return "id", None
        if all(is_missing(cells[i], decimal) for i in rows):
            return "empty", None
        return "number", learn_numbers(table, name, rows, decimal)
    counts = Counter("" if is_missing(cells[i], None) else cells[i] for i in rows)
    n_known = len(rows) - counts[""]
    distinct = len(counts) - ("" in counts)
    if not use and distinct == n_known >= LEAST_IDS:
        return ("free text" if _have_spaces(counts) else "id"), None
    if not use and distinct > MOST_VALUES and distinct >= FREE_TEXT * n_known:
        return "free text", None
    return "text", Texts(name, tuple(sorted(text for text, _ in counts.most_common(MOST_VALUES))))


def is_code(name: str, cells: list[str]) -> bool:
    """True for zip codes, and for numbers of one length in which leading zeros count.

    >>> is_code("area", ["01234", "99999"]), is_code("area", ["1234", "99999"])
    (True, False)
    """
    if not all(map(CODE.fullmatch, cells)):
        return False
    zeros = any(cell[0] == "0" for cell in cells) and len(set(map(len, cells))) == 1
    return zeros or ZIP_NAME.search(name) is not None


def _learn_codes(cells: list[str], name: str, rows: NDArray[np.intp]) -> Texts:
    """Return codes as texts, or as many of their first digits as leave MOST_VALUES of them."""
    found = {"" if is_missing(cells[i], None) else cells[i] for i in rows}
    length = max(map(len, found))
    while len({code[:length] for code in found}) > MOST_VALUES:
        length -= 1
    values = sorted({code[:length] for code in found})
    return Texts(name, tuple(values), length=length if length < max(map(len, found)) else 0)


def _are_ids(name: str, cells: list[str], decimal: Decimal) -> bool:
    """True for whole numbers that all differ, under the name of an id."""
    if ID_NAME.search(name) is None or len(set(cells)) < len(cells):
        return False
    return all(float(number(cell, decimal) or 0).is_integer() for cell in cells)


def _have_spaces(texts: Collection[str]) -> bool:
    return 2 * sum(" " in text for text in texts) > len(texts)
