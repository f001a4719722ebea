"""Describe the table that a model was trained on, for its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..json_text import parse_json
from . import columns as columns_of
from . import target as target_of
from .cells import Decimal
from .columns import Column, encode, learn_column
from .csv_file import Table, TableError
from .target import Target

# Version 1 (fastnn 0.1) has no decimal commas and other markers of missing values.
FORMAT_VERSION = 2
READ_VERSIONS = (1, 2)


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
    """

    columns: tuple[Column, ...]
    target: Target
    unused: tuple[str, ...]

    @property
    def width(self) -> int:
        """Number of inputs of the model."""
        return sum(column.width for column in self.columns)

    def inputs(self, table: Table) -> NDArray[np.float32]:
        """Return the inputs (rows, width) of a table; it needs neither target nor unused columns.

        Raises
        ------
        TableError
            Columns are missing or unknown, or a cell in a column of numbers is not a number.
        """
        needed = [column.name for column in self.columns]
        missing = [name for name in needed if name not in table.columns]
        known = {*needed, self.target.name, *self.unused}
        unknown = [name for name in table.columns if name not in known]
        if missing or unknown:
            problems = [f"lacks the columns {missing!r:.200}"] * bool(missing)
            more = f"has columns that the model does not know: {unknown!r:.200}"
            problems += [more] * bool(unknown)
            raise TableError(f"{table.path} {' and '.join(problems)}")
        return encode(self.columns, table)

    def to_json(self) -> str:
        """Return JSON text for `from_json`."""
        return json.dumps(
            {
                "version": FORMAT_VERSION,
                "columns": columns_of.to_json(self.columns),
                "target": target_of.to_json(self.target),
                "unused": list(self.unused),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Read an untrusted description; ValueError for what `to_json` cannot have written."""
        described = parse_json(text)
        if not isinstance(described, Mapping) or described.get("version") not in READ_VERSIONS:
            raise ValueError(f"its table is not described in version {FORMAT_VERSION} or before")
        if described.keys() != {"version", "columns", "target", "unused"}:
            raise ValueError(f"its table has the fields {sorted(described)!r:.200}")
        unused = described["unused"]
        if not isinstance(unused, list) or not all(isinstance(name, str) for name in unused):
            raise ValueError(f"its unused columns are {unused!r:.80}")
        return cls(
            columns_of.from_json(described["columns"]),
            target_of.from_json(described["target"]),
            tuple(unused),
        )


def learn_columns(
    table: Table,
    target: Target,
    dropped: Iterable[str],
    rows: NDArray[np.intp],
    decimal: Decimal | None = None,
) -> Schema:
    """Return the schema of a table: all columns but the target and the dropped or empty ones.

    Statistics and categories come from `rows` alone, so that no test row leaks into training.

    Raises
    ------
    TableError
        A name in `dropped` is unknown or the target, no column is left, or one cannot be encoded.
    """
    unused = set(dropped)
    if target.name in unused:
        raise TableError(f"column {target.name!r} cannot be both the target and dropped")
    for name in unused:
        table.column(name)
    learnt = []
    for name in table.columns:
        if name != target.name and name not in unused:
            column = learn_column(table, name, rows, decimal)
            if column is None:
                unused.add(name)
            else:
                learnt.append(column)
    if not learnt:
        raise TableError(f"{table.path} has no column to learn {target.name!r} from")
    in_order = [name for name in table.columns if name in unused]
    return Schema(tuple(learnt), target, tuple(in_order))
