"""Columns of cells as columns of numbers: how a table goes into a network, and out again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .csv_file import Table, TableError

# More texts than this in one column are names or free text, from which one-hot learns nothing.
MOST_VALUES = 100

# In standard deviations: far outside what a network can use, far inside float32.
FARTHEST = 1e6


def number(cell: str) -> float | None:
    """The cell as a number, or None if it is none. "1_000", which Python reads, is none."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


@dataclass(frozen=True)
class Numbers:
    """A column of numbers, standardised: (value - mean) / std; a missing value is the median."""

    name: str
    fill: float
    mean: float
    std: float

    width = 1

    def encode(self, table: Table) -> NDArray[np.float32]:
        """(rows, 1)."""
        values = finite_numbers(table, self.name, missing=self.fill)
        z = (values - self.mean) / self.std
        return np.clip(z, -FARTHEST, FARTHEST)[:, np.newaxis].astype(np.float32)


@dataclass(frozen=True)
class Texts:
    """A column of texts, one-hot; a missing cell counts as `fill`, an unknown text is all zeros."""

    name: str
    fill: str
    values: tuple[str, ...]

    @property
    def width(self) -> int:
        """How many columns of numbers it becomes."""
        return len(self.values)

    def encode(self, table: Table) -> NDArray[np.float32]:
        """(rows, width)."""
        places = {value: i for i, value in enumerate(self.values)}
        found = [places.get(cell or self.fill, -1) for cell in table.column(self.name)]
        # the row of an unknown text, the last, is zero
        return np.eye(self.width + 1, self.width, dtype=np.float32)[found]


Column = Numbers | Texts


def learn_column(table: Table, name: str, rows: NDArray[np.intp]) -> Column | None:
    """How to encode a column, with the statistics of `rows` alone; None where all is missing there.

    It holds numbers if every cell of the table that is not missing is one.

    Raises
    ------
    TableError
        An infinite number, or more than MOST_VALUES texts.
    """
    cells = table.column(name)
    known = [cells[i] for i in rows if cells[i]]
    if not known:
        return None
    stray = next((i for i, cell in enumerate(cells) if cell and number(cell) is None), None)
    if stray is None:
        values = finite_numbers(table, name, missing=math.nan)[rows]
        values = values[~np.isnan(values)]
        fill = float(np.median(values))
        with np.errstate(over="ignore"):
            filled_in = np.append(values, np.full(len(rows) - len(values), fill))
            mean, std = float(filled_in.mean()), float(filled_in.std())
        if not math.isfinite(std):
            raise TableError(f"{table.path}: the numbers of column {name!r} are too large")
        return Numbers(name, fill, mean, std or 1.0)  # a constant column becomes zeros
    counts = Counter(known)
    if len(counts) > MOST_VALUES:
        raise TableError(
            f"{table.path}: column {name!r} has {len(counts)} different texts (such as "
            f"{cells[stray]!r} in line {table.lines[stray]}), more than {MOST_VALUES}: leave it out"
        )
    fill_text = min(counts, key=lambda value: (-counts[value], value))
    return Texts(name, fill_text, tuple(sorted(counts)))


def finite_numbers(table: Table, name: str, missing: float) -> NDArray[np.float64]:
    """A column as numbers; TableError naming the line of a cell that is no finite number."""
    values = []
    for cell, line in zip(table.column(name), table.lines, strict=True):
        value = number(cell) if cell else missing
        if value is None or math.isinf(value):
            raise TableError(
                f"{table.path}, line {line}: {cell!r} in column {name!r} is no finite number"
            )
        values.append(value)
    return np.array(values, np.float64)


def encode(columns: Sequence[Column], table: Table) -> NDArray[np.float32]:
    """(rows, features): the encoded columns side by side."""
    return np.concatenate([column.encode(table) for column in columns], axis=1)


def to_json(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """What `from_json` reads, as values that JSON has."""
    return [asdict(column) for column in columns]


def from_json(described: Any) -> tuple[Column, ...]:
    """The columns that `to_json` described; ValueError for anything else."""
    if not isinstance(described, list) or not described:
        raise ValueError(f"its columns are {described!r:.80}")
    return tuple(_column(fields) for fields in described)


def _column(fields: Any) -> Column:
    if not isinstance(fields, Mapping) or not isinstance(fields.get("name"), str):
        raise ValueError(f"no column: {fields!r:.80}")
    if fields.keys() == {"name", "fill", "mean", "std"}:
        numbers = {key: finite(fields[key]) for key in ("fill", "mean", "std")}
        if numbers["std"] <= 0:
            raise ValueError(f"column {fields['name']!r}: std is {numbers['std']}")
        return Numbers(fields["name"], **numbers)
    if fields.keys() == {"name", "fill", "values"}:
        values = texts(fields["values"])
        if fields["fill"] not in values:
            raise ValueError(f"column {fields['name']!r}: {fields['fill']!r:.80} is no value")
        return Texts(fields["name"], fields["fill"], values)
    raise ValueError(f"no column: {fields!r:.80}")


def finite(value: Any) -> float:
    """A finite number from a file; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r:.80} is no finite number")
    return float(value)


def texts(values: Any) -> tuple[str, ...]:
    """Different texts from a file; ValueError otherwise."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{values!r:.80} is no list of texts")
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{values!r:.80} is empty or repeats itself")
    return tuple(values)
