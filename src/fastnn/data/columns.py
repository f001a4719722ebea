"""Encode columns of cells as columns of numbers, the inputs of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import Decimal, is_missing, number
from .csv_file import Table, TableError
from .dates import FARTHEST, Dates

# Cells that fastnn 0.1 counts as missing in any column.
MISSING_BEFORE = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})


@dataclass(frozen=True)
class Numbers:
    """A column of numbers, standardized: (value - mean) / std. Missing values become the median."""

    name: str
    fill: float
    mean: float
    std: float
    decimal: Decimal = "."

    kind = "number"
    width = 1

    @property
    def features(self) -> list[str]:
        """Name of the encoded column."""
        return [self.name]

    def encode(self, table: Table) -> NDArray[np.float32]:
        """Return the standardized column (rows, 1)."""
        values = finite_numbers(table, self.name, self.decimal, missing=self.fill)
        z = (values - self.mean) / self.std
        return np.clip(z, -FARTHEST, FARTHEST)[:, np.newaxis].astype(np.float32)


@dataclass(frozen=True)
class Texts:
    """A column of texts, one-hot; unknown texts are all zeros.

    A missing cell is the text "", one of the values if cells were missing in training. Models of
    fastnn 0.1 replaced it by the most frequent text, `fill`. Only the first `length` characters
    count, if it is not 0: the region of a zip code.
    """

    name: str
    values: tuple[str, ...]
    fill: str = ""
    length: int = 0

    kind = "text"

    @property
    def width(self) -> int:
        """Number of columns after encoding."""
        return len(self.values)

    @property
    def features(self) -> list[str]:
        """Names of the encoded columns."""
        return [f"{self.name}={value}" for value in self.values]

    def encode(self, table: Table) -> NDArray[np.float32]:
        """Return the one-hot columns (rows, width)."""
        places = {value: i for i, value in enumerate(self.values)}
        found = [places.get(self._text(cell), -1) for cell in table.column(self.name)]
        # index -1, an unknown text, is a row of zeros
        return np.eye(self.width + 1, self.width, dtype=np.float32)[found]

    def _text(self, cell: str) -> str:
        if self.fill:
            return self.fill if cell.lower() in MISSING_BEFORE else cell
        if is_missing(cell, None):
            return ""
        return cell[: self.length] if self.length else cell


Column = Numbers | Texts | Dates


def learn_numbers(table: Table, name: str, rows: NDArray[np.intp], decimal: Decimal) -> Numbers:
    """Learn mean, deviation and median of a column of numbers from `rows`, one of them known."""
    values = finite_numbers(table, name, decimal, missing=math.nan)[rows]
    missing = np.isnan(values)
    fill = float(np.median(values[~missing]))
    with np.errstate(over="ignore"):
        filled_in = np.append(values[~missing], np.full(np.count_nonzero(missing), fill))
        mean, std = float(filled_in.mean()), float(filled_in.std())
    if not math.isfinite(std):
        raise TableError(f"{table.path}: the numbers of column {name!r:.80} are too large")
    return Numbers(name, fill, mean, std or 1.0, decimal)  # a constant column becomes zeros


def finite_numbers(
    table: Table, name: str, decimal: Decimal, missing: float
) -> NDArray[np.float64]:
    """Return a column as numbers; TableError naming the line of a cell that is not finite."""
    values = []
    for cell, line in zip(table.column(name), table.lines, strict=True):
        value = missing if is_missing(cell, decimal) else number(cell, decimal)
        if value is None or math.isinf(value):
            raise TableError(
                f"{table.path}, line {line}: {cell!r:.80} in column {name!r:.80} "
                "is not a finite number" + (" with a decimal comma" if decimal == "," else "")
            )
        values.append(value)
    return np.array(values, np.float64)


def encode(columns: Sequence[Column], table: Table) -> NDArray[np.float32]:
    """Return the encoded columns side by side, (rows, features)."""
    return np.concatenate([column.encode(table) for column in columns], axis=1)


def to_json(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return JSON values for `from_json`."""
    return [asdict(column) for column in columns]


def from_json(described: Any) -> tuple[Column, ...]:
    """Return the columns described by `to_json`; ValueError for anything else."""
    if not isinstance(described, list) or not described:
        raise ValueError(f"its columns are {described!r:.80}")
    return tuple(_column(fields) for fields in described)


def _column(fields: Any) -> Column:
    if not isinstance(fields, Mapping) or not isinstance(fields.get("name"), str):
        raise ValueError(f"not a column: {fields!r:.80}")
    name, keys = fields["name"], fields.keys() - {"decimal"}
    if keys == {"name", "fill", "mean", "std"}:
        numbers = {key: finite(fields[key]) for key in ("fill", "mean", "std")}
        decimal = fields.get("decimal", ".")
        if numbers["std"] <= 0 or decimal not in (".", ","):
            std = numbers["std"]
            raise ValueError(f"column {name!r:.80}: std is {std}, decimal {decimal!r:.20}")
        return Numbers(name, **numbers, decimal=decimal)
    if keys == {"name", "order", "fill", "mean", "std", "clock"}:
        return _dates(name, fields)
    if keys - {"length"} == {"name", "fill", "values"}:
        values, fill, length = texts(fields["values"]), fields["fill"], fields.get("length", 0)
        if type(length) is not int or length < 0:
            raise ValueError(f"column {name!r:.80}: its length is {length!r:.20}")
        if fill != "" and fill not in values:
            raise ValueError(f"column {name!r:.80}: {fill!r:.80} is not one of its values")
        return Texts(name, values, fill, length)
    raise ValueError(f"not a column: {fields!r:.80}")


def _dates(name: str, fields: Mapping[str, Any]) -> Dates:
    order, clock = fields["order"], fields["clock"]
    fill, mean, std = (finite(fields[key]) for key in ("fill", "mean", "std"))
    if order not in ("ymd", "dmy", "mdy") or not isinstance(clock, bool) or std <= 0:
        raise ValueError(f"column {name!r:.80}: not dates: {fields!r:.200}")
    return Dates(name, order, fill, mean, std, clock)


def finite(value: Any) -> float:
    """Return a finite number from a file; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r:.80} is not a finite number")
    return float(value)


def texts(values: Any) -> tuple[str, ...]:
    """Return distinct texts from a file; ValueError otherwise."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{values!r:.80} is not a list of strings")
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{values!r:.80} is empty or has duplicates")
    return tuple(values)
