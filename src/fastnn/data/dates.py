"""Recognize columns of dates, and encode them as numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .cells import STRAYS, is_missing
from .csv_file import Table, TableError

# Order of year, month and day.
Order = Literal["ymd", "dmy", "mdy"]

TIME = r"(?:[T ](\d{1,2}):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?\s?(?:Z|UTC|[+-]\d\d:?\d\d)?)?"
YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})" + TIME)
YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + TIME)
EPOCH = datetime(1970, 1, 1)
DAY = 86400.0

# Clipping bound in standard deviations, as for numbers.
FARTHEST = 1e6


def days(cell: str, order: Order) -> float | None:
    """Return a date as days since 1970-01-01, or None; the offset of a time zone is ignored.

    >>> days("1970-01-02T12:00Z", "ymd"), days("31.12.1969", "dmy"), days("31.12.1969", "mdy")
    (1.5, -1.0, None)
    """
    match = (YEAR_FIRST if order == "ymd" else YEAR_LAST).fullmatch(cell)
    if match is None:
        return None
    a, _, b, c, *time = match.groups()
    y, m, d = {"ymd": (a, b, c), "dmy": (c, b, a), "mdy": (c, a, b)}[order]
    try:
        hour, minute, second = (int(part or 0) for part in time)
        moment = datetime(int(y), int(m), int(d), hour, minute, second)
    except ValueError:
        return None
    return (moment - EPOCH).total_seconds() / DAY


def order_of(table: Table, name: str) -> Order | None:
    """Return the order of year, month and day in a column of dates; None for another column.

    If day and month could be exchanged in every cell, dates with slashes are month/day/year and
    others day.month.year.

    Raises
    ------
    TableError
        Nearly all cells are dates but some are not; the message names the line of one.
    """
    cells = table.column(name)
    known = [i for i, cell in enumerate(cells) if not is_missing(cell, ".")]
    if not known or not any(YEAR_FIRST.match(cells[i]) or YEAR_LAST.match(cells[i]) for i in known):
        return None
    slash = sum("/" in cells[i] for i in known) * 2 > len(known)
    orders: tuple[Order, ...] = ("ymd", "mdy", "dmy") if slash else ("ymd", "dmy", "mdy")
    counts = [sum(days(cells[i], order) is not None for i in known) for order in orders]
    best = int(np.argmax(counts))
    if counts[best] == len(known):
        return orders[best]
    if counts[best] < (1 - STRAYS) * len(known):
        return None
    stray = next(i for i in known if days(cells[i], orders[best]) is None)
    raise TableError(
        f"{table.path}: column {name!r:.80} has {counts[best]} dates, and "
        f"{len(known) - counts[best]} other texts, such as {cells[stray]!r:.80} in line "
        f"{table.lines[stray]}: correct or empty those cells, or --drop the column"
    )


@dataclass(frozen=True)
class Dates:
    """A column of dates: standardized days, and sine and cosine of the season and the weekday.

    With `clock` also sine and cosine of the time of day. Missing dates become the median.
    """

    name: str
    order: Order
    fill: float
    mean: float
    std: float
    clock: bool

    kind = "date"

    @property
    def width(self) -> int:
        """Number of columns after encoding."""
        return 7 if self.clock else 5

    @property
    def features(self) -> list[str]:
        """Names of the encoded columns."""
        cycles = ["year", "week", *["day"] * self.clock]
        parts = [f"{part}({cycle})" for cycle in cycles for part in ("sin", "cos")]
        return [self.name, *(f"{self.name}: {part}" for part in parts)]

    def encode(self, table: Table) -> NDArray[np.float32]:
        """Return the encoded columns (rows, width)."""
        t = date_numbers(table, self.name, self.order, self.fill)
        z = np.clip((t - self.mean) / self.std, -FARTHEST, FARTHEST)
        turns = [t / 365.2425, t / 7, t][: 2 + self.clock]
        cycles = [f(2 * np.pi * turn) for turn in turns for f in (np.sin, np.cos)]
        return np.stack([z, *cycles], axis=1).astype(np.float32)


def date_numbers(table: Table, name: str, order: Order, missing: float) -> NDArray[np.float64]:
    """Return a column as days; TableError naming the line of a cell that is not a date."""
    values = []
    for cell, line in zip(table.column(name), table.lines, strict=True):
        value = missing if is_missing(cell, ".") else days(cell, order)
        if value is None:
            shape = {"ymd": "year-month-day", "dmy": "day.month.year", "mdy": "month/day/year"}
            raise TableError(
                f"{table.path}, line {line}: {cell!r:.80} in column {name!r:.80} is not a date "
                f"written as {shape[order]}"
            )
        values.append(value)
    return np.array(values, np.float64)


def learn_dates(table: Table, name: str, rows: NDArray[np.intp], order: Order) -> Dates:
    """Learn the encoding of a column of dates from `rows`, of which one has a date."""
    values = date_numbers(table, name, order, np.nan)[rows]
    missing = np.isnan(values)
    clock = bool((values[~missing] % 1).any())
    fill = float(np.median(values[~missing]))
    fill = fill if clock else math.floor(fill)
    values[missing] = fill
    return Dates(name, order, fill, float(values.mean()), float(values.std()) or 1.0, clock)
