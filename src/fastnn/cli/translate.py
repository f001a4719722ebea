"""`fastnn translate`: a line for each line."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import text
from ..kernels.threads import num_threads
from ..models import Seq2SeqTransformer
from ..models import translate as translate_all
from ..train import ModelFileError, load, load_metadata
from ..train.atomic import check_writable, write_atomically
from .checks import check_apart
from .corpus import sentences
from .errors import UsageError

# What the metadata of a model file call its vocabulary.
VOCABULARY_KEY = "vocabulary"

# Lines read before they are translated: like lengths are found among them. 1 at a terminal.
CHUNK = 2000


def translate(args: argparse.Namespace) -> None:
    """Translate a file, or stdin, to a file, or to stdout as it goes."""
    if args.output:
        check_apart({"MODEL": args.model, "FILE": args.file, "--output": args.output})
        check_writable(args.output)
    model, vocab = read_model(args.model)
    found: list[str] = []
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        n = 0
        for lines in _chunks(args.file):
            _check_lengths(model, vocab, lines, args.file or "stdin", n)
            how = {"beams": args.beams, "length_penalty": args.length_penalty}
            result = translate_all(model, vocab, lines, **how)
            n += len(lines)
            if args.output:
                found += result
            else:
                print(*result, sep="\n", flush=True)
    if args.output:
        write_atomically(args.output, "".join(f"{line}\n" for line in found).encode())


def read_model(path: str) -> tuple[Seq2SeqTransformer, text.Vocab]:
    """A model that translates, and its vocabulary; UsageError if the file holds something else."""
    try:
        model, metadata = load(path), load_metadata(path)
    except ModelFileError as error:
        raise UsageError(str(error)) from error
    if not isinstance(model, Seq2SeqTransformer) or VOCABULARY_KEY not in metadata:
        kind = type(model).__name__
        what = f"is a {kind}" if not isinstance(model, Seq2SeqTransformer) else "has no vocabulary"
        raise UsageError(f"{path} {what}: `fastnn train translate` writes models that translate")
    try:
        vocab = text.from_json(metadata[VOCABULARY_KEY])
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    sizes = {model.embedding.num, model.tgt_embedding.num}
    if vocab.bos_id is None or sizes != {len(vocab)}:
        raise UsageError(f"{path}: the vocabulary in it is not that of its model")
    return model, vocab


def _chunks(path: str | None) -> Iterator[list[str]]:
    """The lines of a file or of stdin, some at a time."""
    name = path or "stdin"
    with Path(path).open("rb") if path else contextlib.nullcontext(sys.stdin.buffer) as file:
        size = 1 if path is None and sys.stdin.isatty() else CHUNK
        lines: list[bytes] = []
        for line in file:
            lines.append(line)
            if len(lines) == size:
                yield sentences(b"".join(lines), name)
                lines = []
        if lines:
            yield sentences(b"".join(lines), name)


def _check_lengths(
    model: Seq2SeqTransformer, vocab: Any, lines: list[str], name: str, before: int
) -> None:
    for i, ids in enumerate(vocab.encode_batch(lines)):
        if len(ids) >= model.max_len:  # and <eos>
            raise UsageError(
                f"{name}, line {before + i + 1} has {len(ids)} tokens, the model takes "
                f"{model.max_len - 1}"
            )
