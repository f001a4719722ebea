"""Classify the cells of a column: numbers in one of two notations, texts, or missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from .csv_file import Table, TableError

# Notation of the numbers of a column: decimal point or decimal comma.
Decimal = Literal[".", ","]

# Cells without a value, ignoring case. Columns of numbers have more such markers; in a column of
# texts, "None" or "NA" may be an ordinary text.
MISSING = frozenset({"", "?", "#n/a", "<na>", "nan"})
MISSING_NUMBERS = MISSING | {"-", "--", "\N{EN DASH}", "\N{EM DASH}", ".", "na", "n/a"}
MISSING_NUMBERS |= {"null", "none", "nil", "(null)", "<null>", "#null!", "#div/0!", "#value!"}
MISSING_NUMBERS |= {"#ref!", "#num!", "#name?"}

# COMMA: 3,14 and 1.234,56. THOUSANDS: 1,234 and 1,234.56.
COMMA = re.compile(r"[+-]?(\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d*)?([eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")

# A column with at most this fraction of texts and more than MOST_CODES different numbers is meant
# to hold numbers: its texts are mistakes.
STRAYS = 0.1
MOST_CODES = 20


def is_missing(cell: str, decimal: Decimal | None) -> bool:
    """True if a cell is missing; `decimal` is None for a column of texts."""
    return cell.lower() in (MISSING if decimal is None else MISSING_NUMBERS)


def number(cell: str, decimal: Decimal = ".") -> float | None:
    """Return the cell as a number, or None; "1_000", which Python accepts, is not a number."""
    if decimal == ",":
        if not COMMA.fullmatch(cell):
            return None
        cell = cell.replace(".", "").replace(",", ".")
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def decimal_of(table: Table, name: str, asked: Decimal | None = None) -> Decimal | None:
    """Infer the decimal mark of a column of numbers; None for a column of texts.

    Parameters
    ----------
    table : Table
    name : str
    asked : {".", ","}, optional
        The notation of the file, if it is known. Otherwise commas are decimal commas unless they
        may separate thousands.

    Raises
    ------
    TableError
        The commas of a column are ambiguous or separate thousands, or nearly all cells are numbers
        but some are not. The message names the line of one such cell.
    """
    cells = table.column(name)
    known = [i for i, cell in enumerate(cells) if not is_missing(cell, ".")]
    plain = {i for i in known if number(cells[i]) is not None}
    comma = {i for i in known if number(cells[i], ",") is not None}
    if asked == "," and len(comma) == len(known):
        return ","
    if len(plain) == len(known):
        return "."
    first = next((i for i in known if "," in cells[i]), None)
    if first is not None and asked != "." and len(comma) == len(known):
        grouped = plain.union(i for i in known if THOUSANDS.fullmatch(cells[i]))
        dotted = {
            i for i in known if "." in cells[i]
        }  # points separate thousands if a cell is not a plain number
        if asked is None and (len(grouped) == len(known) or (dotted and dotted <= plain)):
            raise TableError(
                f"{_where(table, name, first)}: its comma may be a decimal comma or stand between "
                "thousands: use --decimal comma, or write the numbers with points"
            )
        return ","
    thousands = {i for i in known if THOUSANDS.fullmatch(cells[i])}
    if first is not None and len(thousands | plain) == len(known):
        raise TableError(
            f"{_where(table, name, first)} has a comma between thousands: write the numbers "
            "without it"
        )
    _check_strays(table, name, known, plain if len(plain) >= len(comma) else comma)
    return None


def _where(table: Table, name: str, row: int) -> str:
    cell = table.column(name)[row]
    return f"{table.path}, line {table.lines[row]}: {cell!r:.80} in column {name!r:.80}"


def _check_strays(table: Table, name: str, known: Sequence[int], numbers: set[int]) -> None:
    cells = table.column(name)
    strays = sorted(set(known).difference(numbers))
    if len(strays) <= STRAYS * len(known) and len({cells[i] for i in numbers}) > MOST_CODES:
        raise TableError(
            f"{table.path}: column {name!r:.80} has {len(numbers)} numbers, and {len(strays)} "
            f"other texts, such as {cells[strays[0]]!r:.80} in line {table.lines[strays[0]]}: "
            "correct or empty those cells, or --drop the column (a target: --task classification)"
        )


def missing_texts(table: Table, name: str) -> Counter[str]:
    """Count the markers of missing values in a column of numbers, such as NA."""
    return Counter(cell for cell in table.column(name) if cell and is_missing(cell, "."))
