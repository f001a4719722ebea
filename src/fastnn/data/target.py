"""Handle the column to predict, classes or a quantity, and hold out test rows."""

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

# Whole numbers are classes if at most this many differ and each has at least this many rows on
# average: true for the ten digits, false for years and ages.
MOST_NUMBERED_CLASSES = 20
ROWS_OF_A_NUMBERED_CLASS = 10

MOST_CLASSES = 1000


@dataclass(frozen=True)
class Classes:
    """The classes of a column, as texts; labels are indices into `classes`."""

    name: str
    classes: tuple[str, ...]

    @property
    def width(self) -> int:
        """Number of outputs of the network: one logit per class."""
        return len(self.classes)


@dataclass(frozen=True)
class Quantity:
    """A column of numbers, standardized for training."""

    name: str
    mean: float
    std: float

    width = 1

    def standardized(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the standardized values (rows, 1) for training."""
        return ((values - self.mean) / self.std)[:, np.newaxis].astype(np.float32)

    def restored(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return predictions (rows,) in the units of the column, for outputs (rows, 1)."""
        return outputs[:, 0].astype(np.float64) * self.std + self.mean


Target = Classes | Quantity


def task_of(table: Table, name: str, decimal: Decimal | None) -> Task:
    """Infer the task from the cells of a column and the notation of its numbers.

    Classification if any cell is not a number, or if all are whole numbers, few (at most
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
    """Return the classes of a column without missing cells, and the label of each row.

    Whole numbers are ordered as numbers, and 1.0 is the class 1; texts are ordered as texts. A
    column with codes, such as 01234 or numbers with more digits than a float64 has, is text.

    Raises
    ------
    TableError
        There are fewer than two classes, or more than MOST_CLASSES.
    """
    cells = table.column(name)
    whole = [whole_number(cell) for cell in cells]
    keys: list[Any] = cells if None in whole else whole
    values = sorted(set(keys))
    if not 2 <= len(values) <= MOST_CLASSES:
        raise TableError(
            f"{table.path}: column {name!r:.80} has {len(values)} different values; "
            f"classification needs 2 to {MOST_CLASSES}"
        )
    places = {value: i for i, value in enumerate(values)}
    return Classes(name, tuple(map(str, values))), np.array([places[key] for key in keys])


def whole_number(cell: str) -> int | None:
    """Return the whole number in a cell written as by Python, with or without ".0"; else None."""
    value = number(cell)
    if value is None or not value.is_integer():
        return None
    return int(value) if re.fullmatch(rf"{int(value)}(\.0*)?", cell) else None


def quantities(
    table: Table, name: str, rows: NDArray[np.intp], decimal: Decimal
) -> tuple[Quantity, NDArray[np.float64]]:
    """Return a column of numbers, with the mean and deviation of `rows`, and its values.

    Raises
    ------
    TableError
        A cell is not a finite number, or all of `rows` have the same value.
    """
    values = finite_numbers(table, name, decimal, missing=np.nan)
    with np.errstate(over="ignore"):
        mean, std = float(values[rows].mean()), float(values[rows].std())
    if not 0 < std < np.inf:
        wrong = "always the same" if std == 0 else "too large"
        raise TableError(f"{table.path}: the numbers of column {name!r:.80} are {wrong}")
    return Quantity(name, mean, std), values


def held_out(
    n: int, share: float, rng: np.random.Generator, labels: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split rows at random into training and test rows, each in ascending order.

    Parameters
    ----------
    n : int
        Number of rows.
    share : float
        Fraction of test rows, in [0, 1).
    rng : numpy.random.Generator
    labels : ndarray (n,), optional
        Each class gives the same fraction, rounded; a class of one row stays in training.
    """
    test = np.zeros(n, bool)
    groups = [np.arange(n)] if labels is None else _groups(labels)
    for rows in groups:
        n_test = min(round(share * len(rows)), len(rows) - 1)
        test[rng.permutation(rows)[:n_test]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def _groups(labels: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Return the rows of each class."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    return np.split(order, starts)


def to_json(target: Target) -> dict[str, Any]:
    """Return JSON values for `from_json`."""
    return asdict(target)


def from_json(described: Any) -> Target:
    """Return the target described by `to_json`; ValueError for anything else."""
    if isinstance(described, Mapping) and isinstance(described.get("name"), str):
        name = described["name"]
        if described.keys() == {"name", "classes"}:
            return Classes(name, texts(described["classes"]))
        if described.keys() == {"name", "mean", "std"}:
            return Quantity(name, finite(described["mean"]), finite(described["std"]))
    raise ValueError(f"its target is {described!r:.80}")
