"""Train an MLP to predict one column of a table from the others: `fastnn train csv`."""

from __future__ import annotations

import argparse
import contextlib
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels, nn
from ..data.cells import Decimal, decimal_of, is_missing
from ..data.csv_file import Table, TableError, read_csv
from ..data.schema import Schema, learn_columns
from ..data.target import Quantity, Target, class_labels, held_out, quantities, task_of
from ..files import save
from ..kernels.ground.threads import num_threads
from ..train import EarlyStopping
from .checks import check_learnt, check_outputs
from .columns import describe
from .errors import UsageError
from .ranks import is_first
from .table_scores import baseline, scored
from .training import draw, trained

# Metadata key of the description of a model's table.
METADATA_KEY = "fastnn.table"

LEAST_ROWS = 10

DECIMALS: dict[str, Decimal | None] = {"auto": None, "point": ".", "comma": ","}
DECIMALS |= {".": ".", ",": ","}

# Maximum number of epoch lines that a run prints.
MOST_LINES = 10

# Fraction of the training rows that --patience holds out.
VALIDATION = 0.1

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
    read = read_csv(args.file, args.delimiter, args.encoding).without(args.na_values)
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
    if args.class_weight and task != "classification":
        raise TableError(f"--class-weight is for classes, but {args.target!r} is a quantity")
    schema, seen = learn_columns(known, target, args.drop, train, asked, args.use)
    schema = replace(schema, na_values=tuple(args.na_values))
    describe(schema, seen, task, known, len(read.rows))
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
    learnt, held, watched, callbacks = train, "test", test, []
    if args.patience:
        labels = None if isinstance(schema.target, Quantity) else y[train]
        kept, others = held_out(len(train), VALIDATION, rng, labels)
        if not len(others):
            raise UsageError(f"--patience needs more rows: a tenth of {len(train)} is none")
        learnt, held, watched = train[kept], "validation", train[others]
        callbacks = [EarlyStopping(patience=args.patience, restore_best_weights=True)]
    counts = f"{len(learnt):,} training rows, "
    counts += f"{len(watched):,} validation rows, " * bool(args.patience)
    history, seconds = trained(
        args,
        model,
        (schema.width, *args.hidden, schema.target.width),
        f"{counts}{len(test):,} test rows",
        x[learnt],
        y[learnt],
        every=math.ceil(args.epochs / MOST_LINES),
        loss=nn.mse_loss if isinstance(schema.target, Quantity) else nn.cross_entropy,
        class_weight=args.class_weight,
        held=held,
        callbacks=callbacks,
        validation_data=(x[watched], y[watched]) if len(watched) else None,
        seed=rng,
    )
    if not is_first(args):
        return history.interrupted
    check_learnt(model, args.output)
    if len(test):
        found = outputs(model, x[test])
        result = scored(schema.target, found, values[test], baseline(schema.target, values[train]))
        args.result |= result.as_json()
        print(result)
        if not history.interrupted:
            result.warn(balanced=args.class_weight is not None)
    save(model, args.output, metadata={METADATA_KEY: schema.to_json()})
    args.result |= {"model": args.output, "epochs": len(history.epoch), "seconds": seconds}
    args.result |= {"target": schema.target.name, "history": history.history}
    print(f"model saved to {args.output}")
    draw(args, history, held)
    return history.interrupted


def outputs(model: nn.Module | kernels.Plan, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the outputs (rows, outputs), computed block by block."""
    return np.concatenate([model(x[i : i + BLOCK]) for i in range(0, len(x), BLOCK)])
