"""Score a model on data with known answers: `fastnn evaluate MODEL FILE`."""

from __future__ import annotations

import argparse
import contextlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..data import load_digits
from ..data.cells import decimal_of, is_missing
from ..data.columns import finite_numbers
from ..data.csv_file import Table, TableError, read_csv
from ..data.target import Classes, Quantity, whole_number
from ..data.text_file import read_text
from ..files import ModelFileError, load, load_metadata
from ..kernels.ground.threads import num_threads
from ..models import Seq2SeqTransformer, TransformerLM
from ..models import translate as translate_all
from .corpus import read_by, read_pairs
from .errors import UsageError
from .lm import whole_loss
from .predict_table import load_with_schema
from .report import counted
from .table import METADATA_KEY, outputs
from .table_scores import scored
from .vocabularies import load_with_vocabulary

BATCH = 32  # windows of a text, or sentences


def evaluate(args: argparse.Namespace) -> None:
    """Print the scores; what FILE holds depends on how the model was trained."""
    try:
        model, metadata = load(args.model), load_metadata(args.model)
    except ModelFileError as error:
        raise UsageError(str(error)) from error
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        if isinstance(model, Seq2SeqTransformer):
            _translations(args)
        elif args.reference is not None:
            raise UsageError("REFERENCE is for models of `fastnn train translate`")
        elif isinstance(model, TransformerLM):
            _text(args)
        elif METADATA_KEY in metadata:
            _table(args)
        elif args.file is None:
            _digits(args, model)
        else:
            raise UsageError(
                f"{args.model} does not say what it was trained on, so FILE has no meaning to it; "
                "in Python: fastnn.evaluate(model, x, y)"
            )


def _need_file(args: argparse.Namespace, what: str) -> None:
    if args.file is None:
        raise UsageError(f"evaluate needs FILE for {args.model}: {what}")


def _table(args: argparse.Namespace) -> None:
    _need_file(args, "a CSV file with its columns and the target")
    try:
        model, schema = load_with_schema(args.model)
        table = read_csv(args.file, args.delimiter, args.encoding).without(schema.na_values)
        values, table = _answers(table, schema.target)
        found = outputs(model, schema.inputs(table))
    except (ModelFileError, TableError) as error:
        raise UsageError(str(error)) from error
    result = scored(schema.target, found, values, None)
    args.result |= {"rows": len(values), **result.as_json()}
    print(f"{counted(len(values), 'row')}\n{result}")


def _answers(table: Table, target: Classes | Quantity) -> tuple[NDArray[Any], Table]:
    """Return the labels or quantities, and the table of the rows that have one."""
    decimal = decimal_of(table, target.name) if isinstance(target, Quantity) else None
    cells = table.column(target.name)
    rows = [i for i, cell in enumerate(cells) if not is_missing(cell, decimal)]
    if not rows:
        raise TableError(f"{table.path}: no row has a value in column {target.name!r:.80}")
    lines = [table.lines[i] for i in rows]
    known = Table(table.path, table.columns, [table.rows[i] for i in rows], lines)
    if isinstance(target, Quantity):
        return finite_numbers(known, target.name, decimal or ".", missing=math.nan), known
    labels = {name: i for i, name in enumerate(target.classes)}
    found = []
    for cell, line in zip(known.column(target.name), lines, strict=True):
        number = whole_number(cell)
        label = labels.get(cell, None if number is None else labels.get(str(number)))
        if label is None:
            raise TableError(
                f"{table.path}, line {line}: {cell!r:.80} in column {target.name!r:.80} is none of "
                f"the classes of the model: {', '.join(target.classes):.200}"
            )
        found.append(label)
    return np.array(found), known


def _text(args: argparse.Namespace) -> None:
    _need_file(args, "a text")
    model, vocab = load_with_vocabulary(args.model, TransformerLM, "lm")
    text = read_by(read_text, args.file)
    try:
        ids = np.array(vocab.encode(text), np.int32)
    except ValueError as error:
        raise UsageError(f"{args.file}: {error}") from error
    if len(ids) < 2:
        raise UsageError(f"{args.file} has {counted(len(ids), 'token')}: a prediction needs 2")
    loss = whole_loss(model, ids, min(model.max_len, len(ids) - 1), BATCH)
    bits = loss * (len(ids) - 1) / math.log(2) / len(text)
    _report(args, tokens=len(ids), loss=loss, perplexity=_exp(loss), bits_per_character=bits)


def _translations(args: argparse.Namespace) -> None:
    _need_file(args, "sentences, and REFERENCE, their translations")
    if args.reference is None:
        raise UsageError(f"evaluate needs REFERENCE, the translation of {args.file} line by line")
    from ..text import bleu

    model, vocab = load_with_vocabulary(args.model, Seq2SeqTransformer, "translate")
    pairs = read_pairs(args.file, args.reference)
    try:
        found = translate_all(model, vocab, pairs.src)
    except ValueError as error:
        raise UsageError(f"{args.file}: {error}") from error
    _report(args, sentences=len(pairs.src), BLEU=bleu(found, pairs.tgt))


def _digits(args: argparse.Namespace, model: nn.Module) -> None:
    x, y = load_digits(split="test", dtype=model.parameters().dtype)
    try:
        found = model(x)
        if found.shape != (len(x), 10):
            raise ValueError(f"its output is {found.shape}, not {(len(x), 10)}")
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{args.model} is not a model of digits, and without FILE nothing else can be scored: "
            f"{error}"
        ) from error
    result = scored(Classes("digit", tuple("0123456789")), found, y, None)
    args.result |= {"rows": len(y), **result.as_json()}
    print(f"{len(y)} test images\n{result}")


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf


def _report(args: argparse.Namespace, **numbers: float) -> None:
    args.result |= numbers
    for name, value in numbers.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        print(f"{name.replace('_', ' ')}: {shown}")
