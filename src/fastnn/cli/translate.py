"""Translate a file or the standard input, line by line: `fastnn translate`."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator
from itertools import islice

from ..data.text_file import GZIP_ERRORS, STDIN, open_stdin, read_content, shown_name
from ..files.atomic import check_writable, write_atomically
from ..kernels.ground.threads import num_threads
from ..models import Seq2SeqTransformer
from ..models import translate as translate_all
from ..text import Vocab
from .checks import check_apart
from .corpus import read_by, sentences
from .errors import UsageError
from .vocabularies import load_with_vocabulary
from .weights import frozen

# Lines per chunk, sorted by length into batches; 1 if the input is a terminal.
CHUNK = 2000


def translate(args: argparse.Namespace) -> None:
    """Translate a file or stdin, to a file at the end or to stdout chunk by chunk.

    If either is a named file, all lines are checked before the first is translated.
    """
    if args.output == STDIN:
        args.output = None
    if args.output:
        check_apart({"MODEL": args.model, "FILE": args.file, "--output": args.output})
        check_writable(args.output)
    model, vocab = load_with_vocabulary(args.model, Seq2SeqTransformer, "translate")
    if vocab.bos_id is None:
        raise UsageError(f"{args.model}: its vocabulary has no <bos>, <eos> and <pad>")
    path = args.file or STDIN
    lines = _checked(model, vocab, path)
    if path != STDIN or args.output:
        lines = iter(list(lines))
    how = {"beams": args.beams, "length_penalty": args.length_penalty}
    usable = frozen(args, model)
    found: list[str] = []
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        for some in lines:
            try:
                result = translate_all(usable, vocab, some, **how)
            except ValueError as error:  # NaN logits
                raise UsageError(f"{args.model}: {error}") from error
            if args.output:
                found += result
            else:
                print(*result, sep="\n", flush=True)
    if args.output:
        write_atomically(args.output, "".join(f"{line}\n" for line in found).encode())


def _checked(model: Seq2SeqTransformer, vocab: Vocab, path: str) -> Iterator[list[str]]:
    """Yield the lines in chunks; UsageError for a line that cannot be translated."""
    name, before = shown_name(path), 0
    for chunk in _chunks(path):
        lines = sentences(b"".join(chunk), name, before)
        for i, ids in enumerate(vocab.encode_batch(lines)):
            if len(ids) >= model.max_len:  # and <eos>
                raise UsageError(
                    f"{name}, line {before + i + 1} has {len(ids)} tokens, the model takes "
                    f"{model.max_len - 1}"
                )
        yield lines
        before += len(lines)


def _chunks(path: str) -> Iterator[list[bytes]]:
    """Yield the lines of the standard input or a file in chunks."""
    size = 1 if path == STDIN and sys.stdin is not None and sys.stdin.isatty() else CHUNK
    try:
        file = read_by(open_stdin) if path == STDIN else io.BytesIO(read_by(read_content, path))
        while chunk := list(islice(file, size)):
            yield chunk
    except GZIP_ERRORS as error:
        raise UsageError(f"{shown_name(path)}: damaged gzip stream: {error}") from error
    except OSError as error:  # a failed read does not name the file
        raise OSError(error.errno, error.strerror, shown_name(path)) from error
