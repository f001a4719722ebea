"""Describe the table that a model was trained on, for its file."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..json_text import parse_json
from . import columns as columns_of
from . import target as target_of
from .cells import Decimal
from .columns import Column, encode
from .csv_file import Table, TableError
from .roles import Seen, learn_all
from .target import Target

# Version 1 (fastnn 0.1) has no decimal commas and other markers of missing values; version 2 has
# neither dates nor markers of the user.
FORMAT_VERSION = 3
READ_VERSIONS = (1, 2, 3)
FIELDS = {"version", "columns", "target", "unused"}


@dataclass(frozen=True)
class Schema:
    """Maps the rows of a table to inputs of a model, and its outputs to predictions.

    Attributes
    ----------
    columns : tuple of Column
        The columns that the model learns from, in the order of its inputs.
    target : Target
    unused : tuple of str
        The other columns of the table.
    na_values : tuple of str
        More cells without a value, given by the user.
    """

    columns: tuple[Column, ...]
    target: Target
    unused: tuple[str, ...]
    na_values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of inputs of the model."""
        return sum(column.width for column in self.columns)

    def inputs(self, table: Table, also: Iterable[str] = ()) -> NDArray[np.float32]:
        """Return the inputs (rows, width) of a table; it needs neither target nor unused columns.

        Columns in `also` may occur too.

        Raises
        ------
        TableError
            Columns are missing or unknown, or a cell in a column of numbers is not a number.
        """
        needed = [column.name for column in self.columns]
        missing = [name for name in needed if name not in table.columns]
        known = {*needed, self.target.name, *self.unused, *also}
        unknown = [name for name in table.columns if name not in known]
        if missing or unknown:
            problems = [f"lacks the columns {missing!r:.200}"] * bool(missing)
            more = f"has columns that the model does not know: {unknown!r:.200}"
            problems += [more] * bool(unknown)
            raise TableError(f"{table.path} {' and '.join(problems)}")
        return encode(self.columns, table.without(self.na_values))

    def to_json(self) -> str:
        """Return JSON text for `from_json`."""
        return json.dumps(
            {
                "version": FORMAT_VERSION,
                "columns": columns_of.to_json(self.columns),
                "target": target_of.to_json(self.target),
                "unused": list(self.unused),
                "na_values": list(self.na_values),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Read an untrusted description; ValueError for what `to_json` cannot have written."""
        described = parse_json(text)
        if not isinstance(described, Mapping) or described.get("version") not in READ_VERSIONS:
            raise ValueError(f"its table is not described in version {FORMAT_VERSION} or before")
        fields = FIELDS | ({"na_values"} if described["version"] >= 3 else set())
        if described.keys() != fields:
            raise ValueError(f"its table has the fields {sorted(described)!r:.200}")
        unused, na_values = described["unused"], described.get("na_values", [])
        for what, found in (("unused columns", unused), ("missing values", na_values)):
            if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
                raise ValueError(f"its {what} are {found!r:.80}")
        return cls(
            columns_of.from_json(described["columns"]),
            target_of.from_json(described["target"]),
            tuple(unused),
            tuple(na_values),
        )


def learn_columns(
    table: Table,
    target: Target,
    dropped: Iterable[str],
    rows: NDArray[np.intp],
    decimal: Decimal | None = None,
    use: Collection[str] = (),
) -> tuple[Schema, list[Seen]]:
    """Return the schema of a table, and what was inferred about each of its columns.

    The model learns from all columns but the target, the dropped ones, and those without values,
    with ids or free text. Statistics and categories come from `rows` alone, so that no test row
    leaks into training. Columns in `use` are not taken for ids or free text.

    Raises
    ------
    TableError
        A name in `dropped` or `use` is unknown or the target, no column is left, or one cannot be
        encoded.
    """
    away = set(dropped)
    for option, asked in (("dropped", away), ("used", set(use))):
        if target.name in asked:
            raise TableError(f"column {target.name!r} cannot be both the target and {option}")
        for name in asked:
            table.column(name)
    names = [name for name in table.columns if name != target.name and name not in away]
    columns, seen = learn_all(table, names, rows, decimal, use)
    if not columns:
        unfit = ", ".join(f"{each.name!r:.80} ({each.kind})" for each in seen)
        hint = f": {unfit:.400}; --use COLUMN overrides this" if unfit else ""
        raise TableError(f"{table.path} has no column to learn {target.name!r} from{hint}")
    used = {column.name for column in columns}
    unused = [name for name in table.columns if name not in used and name != target.name]
    return Schema(tuple(columns), target, tuple(unused)), seen
