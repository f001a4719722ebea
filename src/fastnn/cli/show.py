"""Describe a model file: `fastnn show MODEL`."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from typing import Any

from .. import nn
from ..data.columns import Numbers, Texts
from ..data.dates import Dates
from ..data.schema import Schema
from ..data.target import Quantity
from ..files import ModelFileError, load, load_metadata
from ..files.model import format_of
from ..text import from_json
from .columns import aligned
from .errors import UsageError
from .report import counted
from .table import METADATA_KEY
from .vocabularies import VOCABULARY_KEY

# Maximum number of lines per table.
MOST_LINES = 60


def show(args: argparse.Namespace) -> None:
    """Print what a model is, its parameters, and what it was trained on."""
    try:
        model, metadata = load(args.model), load_metadata(args.model)
    except ModelFileError as error:
        raise UsageError(str(error)) from error
    parameters = model.parameters()
    args.result |= {
        "file": args.model,
        "bytes": os.path.getsize(args.model),
        "model": model.config(),
        "parameters": parameters.size,
        "dtype": str(parameters.dtype),
        "shapes": {name: list(p.data.shape) for name, p in parameters.named()},
    }
    print(f"{type(model).__name__}, {counted(parameters.size, 'parameter')}, {parameters.dtype}")
    weights = format_of(args.model)
    args.result |= {} if weights is None else {"weights": weights}
    stored = "" if weights is None else f", matrices in {weights}"
    print(f"{args.result['bytes']:,} bytes in {args.model}{stored}\n")
    rows = [("layer", "kind", "parameters", "shapes"), *_layers(model)]
    print(_shortened(rows, right=(2,)))
    if METADATA_KEY in metadata:
        _show_schema(args.model, metadata[METADATA_KEY])
        args.result["table"] = json.loads(metadata[METADATA_KEY])
    if VOCABULARY_KEY in metadata:
        args.result["vocabulary"] = _show_vocabulary(args.model, metadata[VOCABULARY_KEY])


def _layers(model: nn.Module) -> list[tuple[str, str, str, str]]:
    """Return a row for each layer with parameters of its own."""
    rows = []
    for name, module in model.modules():
        parts = {id(p) for part in module.parts().values() for p in part.parameters()}
        own = {n: p for n, p in module.parameters().named() if id(p) not in parts}
        if own:
            shapes = "  ".join(f"{n} {p.data.shape}" for n, p in own.items())
            size = sum(p.data.size for p in own.values())
            rows.append((name, type(module).__name__, f"{size:,}", shapes))
    return rows


def _show_schema(path: str, described: str) -> None:
    try:
        schema = Schema.from_json(described)
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"{path}: damaged description of its table: {error!s:.300}") from error
    target = schema.target
    if isinstance(target, Quantity):
        print(f"\npredicts {target.name}: mean {target.mean:.6g}, deviation {target.std:.6g}")
    else:
        classes = ", ".join(target.classes)
        print(f"\npredicts {target.name}: {target.width} classes ({classes:.200})")
    rows = [("column", "kind", "inputs", "learned")]
    for column in schema.columns:
        if isinstance(column, Numbers):
            learned = f"mean {column.mean:.6g}, deviation {column.std:.6g}"
        elif isinstance(column, Dates):
            learned = f"written {column.order}"
        else:
            learned = f"{counted(column.width, 'text')}: {', '.join(column.values)}"
        kind = "zip code" if isinstance(column, Texts) and column.length else column.kind
        rows.append((column.name, kind, str(column.width), learned))
    print(_shortened(rows, right=(2,)))
    if schema.unused:
        print(f"not used: {', '.join(schema.unused):.400}")


def _show_vocabulary(path: str, described: str) -> dict[str, Any]:
    try:
        vocab = from_json(described)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    some = " ".join(repr(token) for token in vocab.tokens[:20])
    print(f"\n{type(vocab).__name__} of {counted(len(vocab), 'token')}: {some:.200} ...")
    return {"kind": type(vocab).__name__, "tokens": len(vocab)}


def _shortened(rows: Sequence[tuple[str, ...]], right: tuple[int, ...]) -> str:
    more = len(rows) - 1 - MOST_LINES
    return aligned(rows[: MOST_LINES + 1], right) + (f"\n... and {more:,} more" if more > 0 else "")
