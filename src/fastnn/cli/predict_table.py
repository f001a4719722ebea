"""Predict the rows of a table with a trained model: `fastnn predict MODEL FILE.csv`."""

from __future__ import annotations

import argparse
import csv
import io
import sys

import numpy as np

from .. import kernels, nn
from ..data.csv_file import TableError, read_csv
from ..data.schema import Schema
from ..data.target import Quantity
from ..data.text_file import STDIN
from ..files import ModelFileError, load, load_metadata
from ..files.atomic import check_writable, write_atomically
from .checks import check_apart
from .errors import Failure, UsageError
from .table import METADATA_KEY, outputs
from .weights import frozen


def predict(args: argparse.Namespace) -> None:
    """Write one line of CSV for each row of the file, to a file or to stdout.

    The header is the name of the target; `--proba` adds a column P(class) for each class, and
    `--keep` puts columns of the file in front.
    """
    model_path, path, output, proba = args.model, args.file, args.output, args.proba
    if output == STDIN:
        output = None
    check_apart({"MODEL": model_path, "FILE": path, "--output": output})
    if output is not None:
        check_writable(output)
    try:
        model, schema = load_with_schema(model_path)
        table = read_csv(path, args.delimiter, args.encoding)
        kept = table.columns if args.keep == [] else args.keep or []
        copied = [table.column(name) for name in kept]
        x = schema.inputs(table, also=kept)
    except (ModelFileError, TableError) as error:
        raise UsageError(str(error)) from error
    found = outputs(frozen(args, model), x)
    unclear = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(unclear):
        line = table.lines[unclear[0]]
        raise Failure(f"{model_path} gives NaN for line {line}: its training went wrong")
    rows: list[list[str]] = []
    header = [
        f"predicted {schema.target.name}" if schema.target.name in kept else schema.target.name
    ]
    if isinstance(schema.target, Quantity):
        if proba:
            raise UsageError(f"--proba: {model_path} predicts a quantity, not classes")
        rows = [[f"{value:.9g}"] for value in schema.target.restored(found)]
    else:
        classes = schema.target.classes
        rows = [[classes[i]] for i in found.argmax(axis=1)]
        if proba:
            header += [f"P({name})" for name in classes]
            for row, shares in zip(rows, kernels.softmax(found), strict=True):
                row += [f"{share:.6g}" for share in shares]
    header = [*kept, *header]
    rows = [[*(cells[i] for cells in copied), *row] for i, row in enumerate(rows)]
    args.result |= {"rows": [dict(zip(header, row, strict=True)) for row in rows]}
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    if output is None:
        sys.stdout.write(text.getvalue())
    else:
        write_atomically(output, text.getvalue().encode())


def load_with_schema(path: str) -> tuple[nn.Module, Schema]:
    """Load a model of `fastnn train csv`; ModelFileError for any other file."""
    model = load(path)
    described = load_metadata(path).get(METADATA_KEY)
    if described is None:
        raise ModelFileError(f"{path} was not written by `fastnn train csv`")
    try:
        schema = Schema.from_json(described)
        shape = model(np.zeros((1, schema.width), np.float32)).shape
        if shape != (1, schema.target.width):
            raise ValueError(f"its outputs {shape} do not fit its target")
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path}: damaged description of its table: {error!s:.300}") from error
    return model, schema
