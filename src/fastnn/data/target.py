"""The column that is to be predicted: classes, or a quantity; and rows held out to test on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .cells import Decimal, is_missing, number
from .columns import finite, finite_numbers, texts
from .csv_file import Table, TableError

Task = Literal["classification", "regression"]

# Whole numbers are classes if there are at most so many different ones, each in at least so many
# rows on average: the ten digits are, years and ages are not.
MOST_NUMBERED_CLASSES = 20
ROWS_OF_A_NUMBERED_CLASS = 10

MOST_CLASSES = 1000


@dataclass(frozen=True)
class Classes:
    """The classes of a column, each its own text; an example's target is the place of its class."""

    name: str
    classes: tuple[str, ...]

    @property
    def width(self) -> int:
        """Outputs of the network: a logit for each class."""
        return len(self.classes)


@dataclass(frozen=True)
class Quantity:
    """A column of numbers, standardized for training."""

    name: str
    mean: float
    std: float

    width = 1

    def standardized(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """(rows, 1) for the network."""
        return ((values - self.mean) / self.std)[:, np.newaxis].astype(np.float32)

    def restored(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """(rows,) in the units of the column, for outputs (rows, 1)."""
        return outputs[:, 0].astype(np.float64) * self.std + self.mean


Target = Classes | Quantity


def task_of(table: Table, name: str, decimal: Decimal | None) -> Task:
    """What a column asks for, known from its cells and the spelling of its numbers.

    Classification if any cell is no number, or if all are whole numbers, few (at most
    MOST_NUMBERED_CLASSES) and often repeated (ROWS_OF_A_NUMBERED_CLASS times on average);
    regression otherwise.
    """
    if decimal is None:
        return "classification"
    cells = [cell for cell in table.column(name) if not is_missing(cell, decimal)]
    distinct = {number(cell, decimal) for cell in cells}
    whole = all(value is not None and value.is_integer() for value in distinct)
    few = len(distinct) <= min(MOST_NUMBERED_CLASSES, len(cells) / ROWS_OF_A_NUMBERED_CLASS)
    return "classification" if whole and few else "regression"


def class_labels(table: Table, name: str) -> tuple[Classes, NDArray[np.int64]]:
    """The classes of a column without missing cells, and the label of each row.

    Whole numbers are ordered as numbers, and 1.0 is the class 1; texts are ordered as texts. A
    column with codes, such as 01234 or numbers past the digits of a float64, is one of texts.

    Raises
    ------
    TableError
        There are fewer than two classes, or more than MOST_CLASSES.
    """
    cells = table.column(name)
    whole = [_whole(cell) for cell in cells]
    keys: list[Any] = cells if None in whole else whole
    values = sorted(set(keys))
    if not 2 <= len(values) <= MOST_CLASSES:
        raise TableError(
            f"{table.path}: column {name!r} has {len(values)} different values; "
            f"classification needs 2 to {MOST_CLASSES}"
        )
    places = {value: i for i, value in enumerate(values)}
    return Classes(name, tuple(map(str, values))), np.array([places[key] for key in keys])


def _whole(cell: str) -> int | None:
    """The whole number that the cell spells as Python would, but for zeros after a point."""
    value = number(cell)
    if value is None or not value.is_integer():
        return None
    return int(value) if re.fullmatch(rf"{int(value)}(\.0*)?", cell) else None


def quantities(
    table: Table, name: str, rows: NDArray[np.intp], decimal: Decimal
) -> tuple[Quantity, NDArray[np.float64]]:
    """A column of numbers with the mean and deviation of `rows`, and the number of each row.

    Raises
    ------
    TableError
        A cell is no finite number, or all of `rows` hold the same.
    """
    values = finite_numbers(table, name, decimal, missing=np.nan)
    with np.errstate(over="ignore"):
        mean, std = float(values[rows].mean()), float(values[rows].std())
    if not 0 < std < np.inf:
        wrong = "always the same" if std == 0 else "too large"
        raise TableError(f"{table.path}: the numbers of column {name!r} are {wrong}")
    return Quantity(name, mean, std), values


def held_out(
    n: int, share: float, rng: np.random.Generator, labels: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to learn from and rows to test on, chosen at random, each in order.

    Parameters
    ----------
    n : int
        Rows.
    share : float
        Of the rows to test on, from 0 to below 1.
    rng : numpy.random.Generator
    labels : ndarray (n,), optional
        Every class gives the same share, rounded; a class of one row is learnt from.
    """
    test = np.zeros(n, bool)
    groups = [np.arange(n)] if labels is None else _groups(labels)
    for rows in groups:
        n_test = min(round(share * len(rows)), len(rows) - 1)
        test[rng.permutation(rows)[:n_test]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def _groups(labels: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """The rows of each class."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    return np.split(order, starts)


def to_json(target: Target) -> dict[str, Any]:
    """What `from_json` reads, as values that JSON has."""
    return asdict(target)


def from_json(described: Any) -> Target:
    """The target that `to_json` described; ValueError for anything else."""
    if isinstance(described, Mapping) and isinstance(described.get("name"), str):
        name = described["name"]
        if described.keys() == {"name", "classes"}:
            return Classes(name, texts(described["classes"]))
        if described.keys() == {"name", "mean", "std"}:
            return Quantity(name, finite(described["mean"]), finite(described["std"]))
    raise ValueError(f"its target is {described!r:.80}")
