"""Train an MLP to predict one column of a table from the others: `fastnn train csv`."""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from ..data.cells import Decimal, decimal_of, is_missing, missing_texts
from ..data.columns import Numbers
from ..data.csv_file import Table, TableError, read_csv
from ..data.schema import Schema, learn_columns
from ..data.target import Quantity, Target, class_labels, held_out, quantities, task_of
from ..kernels.ground.threads import get_num_threads, num_threads
from ..train import History, fit, save
from .checks import check_learnt, check_outputs
from .errors import UsageError
from .ranks import is_first
from .report import counted, report
from .scores import classification_scores, regression_scores, table

# Metadata key of the description of a model's table.
METADATA_KEY = "fastnn.table"

LEAST_ROWS = 10

DECIMALS: dict[str, Decimal | None] = {"auto": None, "point": ".", "comma": ","}

# Maximum number of epoch lines that a run prints.
MOST_LINES = 10

# Rows per forward pass when predicting; bounds the memory.
BLOCK = 4096


class Examples(NamedTuple):
    """A table encoded for a network, split into training and test rows."""

    schema: Schema
    x: NDArray[np.float32]
    y: NDArray[Any]  # labels (n,), or the standardized quantity (n, 1)
    values: NDArray[Any]  # labels (n,), or the quantity (n,) in its original units
    train: NDArray[np.intp]
    test: NDArray[np.intp]


def train(args: argparse.Namespace) -> bool:
    """Train, test, save and plot; return True if Ctrl-C ended the training early.

    Errors in the options or the table are reported before the training starts.
    """
    check_outputs(args)
    rng = np.random.default_rng(args.seed)
    try:
        examples = prepare(args, rng)
    except TableError as error:
        raise UsageError(str(error)) from error
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        return _train(args, examples, rng)


def prepare(args: argparse.Namespace, rng: np.random.Generator) -> Examples:
    """Read the file, infer its columns, hold out test rows, and print what was inferred."""
    read = read_csv(args.file, args.delimiter)
    asked = DECIMALS[args.decimal]
    decimal = None if args.task == "classification" else decimal_of(read, args.target, asked)
    known = with_target(read, args.target, decimal)
    task = task_of(known, args.target, decimal) if args.task == "auto" else args.task
    n = len(known.rows)
    target: Target
    if task == "classification":
        target, labels = class_labels(known, args.target)
        train, test = held_out(n, args.test_size, rng, labels)
        y: NDArray[Any] = labels
        values: NDArray[Any] = labels
    else:
        train, test = held_out(n, args.test_size, rng)
        target, values = quantities(known, args.target, train, decimal or asked or ".")
        y = target.standardized(values)
    schema = learn_columns(known, target, args.drop, train, asked)
    _describe(schema, task, known, len(read.rows))
    return Examples(schema, schema.inputs(known), y, values, train, test)


def with_target(read: Table, name: str, decimal: Decimal | None) -> Table:
    """Return the rows that have a target; TableError if there are too few."""
    rows = [i for i, cell in enumerate(read.column(name)) if not is_missing(cell, decimal)]
    if len(rows) < LEAST_ROWS:
        raise TableError(
            f"{read.path}: {len(rows)} rows have a value in {name!r}, training needs {LEAST_ROWS}"
        )
    return Table(
        read.path, read.columns, [read.rows[i] for i in rows], [read.lines[i] for i in rows]
    )


def _describe(schema: Schema, task: str, known: Table, n_rows: int) -> None:
    numeric = [column for column in schema.columns if isinstance(column, Numbers)]
    texts = len(schema.columns) - len(numeric)
    target = schema.target
    kind = task if isinstance(target, Quantity) else f"{task}, {target.width} classes"
    print(f"target {target.name} ({kind})")
    print(
        f"{counted(len(numeric), 'numeric column')}, {counted(texts, 'text column')}: "
        f"{counted(schema.width, 'input')}"
    )
    for column in numeric:
        if found := missing_texts(known, column.name):
            marks = ", ".join(map(repr, sorted(found)))
            print(f"{column.name}: {counted(found.total(), 'cell')} ({marks}) taken as missing")
        if column.decimal == ",":
            print(f"{column.name}: numbers with a decimal comma")
    if schema.unused:
        print(f"not used: {', '.join(schema.unused)}")
    if len(known.rows) < n_rows:
        left_out = counted(n_rows - len(known.rows), "row")
        print(f"{left_out} of {n_rows} without a target left out")


def network(args: argparse.Namespace, schema: Schema, rng: np.random.Generator) -> nn.Module:
    """Return linear layers with ReLU, each followed by dropout if requested."""
    sizes = (schema.width, *args.hidden, schema.target.width)
    if not args.dropout:
        return nn.MLP(sizes, rng=rng)
    layers: list[nn.Module] = []
    for n, m in pairwise(sizes[:-1]):
        layers += [nn.Linear(n, m, activation="relu", rng=rng), nn.Dropout(args.dropout, rng=rng)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1], rng=rng))


def _train(args: argparse.Namespace, examples: Examples, rng: np.random.Generator) -> bool:
    schema, x, y, values, train, test = examples
    model = network(args, schema, rng)
    sizes = "-".join(map(str, (schema.width, *args.hidden, schema.target.width)))
    print(
        f"MLP {sizes}, {model.parameters().size:,} parameters, "
        f"{counted(get_num_threads(), 'thread')}\n"
        f"{len(train):,} training rows, {len(test):,} test rows"
    )
    n_batches = -(-len(train) // args.batch_size)
    start = time.perf_counter()
    with report(args.epochs, n_batches, every=math.ceil(args.epochs / MOST_LINES)) as shown:
        # Evaluated after each epoch for the report alone: training does not depend on them.
        history = fit(
            model,
            x[train],
            y[train],
            loss=nn.mse_loss if isinstance(schema.target, Quantity) else nn.cross_entropy,
            optimizer=optim.AdamW(model.parameters(), lr=args.lr),
            epochs=args.epochs,
            batch_size=args.batch_size,
            validation_data=(x[test], y[test]) if len(test) else None,
            seed=rng,
            callbacks=[shown],
            comm=args.comm,
            verbose=0,
        )
    seconds = time.perf_counter() - start
    ended = "interrupted after" if history.interrupted else "trained for"
    print(f"{ended} {len(history.epoch)} of {args.epochs} epochs in {seconds:.2f} s")
    if not is_first(args):
        return history.interrupted
    check_learnt(model, args.output)
    if len(test):
        print(_scores(model, schema.target, x[test], values[train], values[test]))
    save(model, args.output, metadata={METADATA_KEY: schema.to_json()})
    print(f"model saved to {args.output}")
    _draw(args, history)
    return history.interrupted


def outputs(model: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the outputs (rows, outputs), computed block by block."""
    return np.concatenate([model(x[i : i + BLOCK]) for i in range(0, len(x), BLOCK)])


def _scores(
    model: nn.Module,
    target: Target,
    x: NDArray[np.float32],
    learnt: NDArray[Any],
    values: NDArray[Any],
) -> str:
    """Return the test scores beside a baseline: the training rows' most frequent class or mean."""
    found = outputs(model, x)
    if isinstance(target, Quantity):
        mean = np.full(len(values), target.mean)
        rows = {
            "model": regression_scores(values, target.restored(found)),
            "mean": regression_scores(values, mean),
        }
    else:
        most = np.full(len(values), np.bincount(learnt).argmax())
        rows = {
            "model": classification_scores(values, found.argmax(axis=1)),
            "most frequent": classification_scores(values, most),
        }
    return table(rows)


def _draw(args: argparse.Namespace, history: History) -> None:
    if args.plot and history.epoch:
        from ..plot import loss_curve

        loss_curve(history, args.plot, validation_label="test")
        print(f"curves written to {args.plot}")
