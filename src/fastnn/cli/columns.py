"""Print what was inferred about the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.cells import missing_texts
from ..data.columns import Numbers, Texts
from ..data.csv_file import Table
from ..data.roles import Seen
from ..data.schema import Schema
from ..data.target import Quantity
from .report import counted, shown

# Maximum number of columns in the table that is printed.
MOST_SHOWN = 60


def describe(schema: Schema, seen: Sequence[Seen], task: str, known: Table, n_rows: int) -> None:
    """Print the target, a line per column, and what was taken as missing or left out."""
    target = schema.target
    kind = task if isinstance(target, Quantity) else f"{task}, {target.width} classes"
    print(f"target {target.name} ({kind})")
    print(column_table(seen, known.columns, schema))
    texts = sum(isinstance(column, Texts) for column in schema.columns)
    numeric = sum(isinstance(column, Numbers) for column in schema.columns)
    counts = [counted(numeric, "numeric column"), counted(texts, "text column")]
    dates = len(schema.columns) - numeric - texts
    counts += [counted(dates, "date column")] * bool(dates)
    print(f"{', '.join(counts)}: {counted(schema.width, 'input')}")
    for column in schema.columns:
        if not isinstance(column, Numbers):
            continue
        if found := missing_texts(known, column.name):
            marks = ", ".join(map(repr, sorted(found)))
            print(f"{column.name}: {counted(found.total(), 'cell')} ({marks}) taken as missing")
        if column.decimal == ",":
            print(f"{column.name}: numbers with a decimal comma")
    if len(known.rows) < n_rows:
        left_out = counted(n_rows - len(known.rows), "row")
        print(f"{left_out} of {n_rows} without a target left out")


def column_table(seen: Sequence[Seen], columns: Sequence[str], schema: Schema) -> str:
    """Return a line per column of the table: kind, missing and different cells, use."""
    by_name = {each.name: each for each in seen}
    rows = [("column", "kind", "missing", "distinct", "used")]
    for name in columns:
        if name in by_name:
            _, kind, missing, distinct, used = by_name[name]
            rows.append((name, kind, f"{missing:,}", f"{distinct:,}", used))
        else:
            rows.append(
                (name, "", "", "", "target" if name == schema.target.name else "no: --drop")
            )
    more = len(rows) - 1 - MOST_SHOWN
    return aligned(rows[: MOST_SHOWN + 1], right=(2, 3)) + (
        f"\n... and {counted(more, 'column')}" if more > 0 else ""
    )


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return a text table; the columns numbered in `right` are aligned right."""
    rows = [[shown(" ".join(cell.split()))[:40] for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
