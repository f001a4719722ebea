"""Vectors of texts, and the texts nearest to a query: `fastnn embed` and `fastnn search`."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.text_file import STDIN, decoded, read_content, shown_name
from ..files.atomic import check_writable, write_atomically
from ..files.tensors import ModelFileError
from ..kernels.ground.threads import num_threads
from ..models import SentenceEncoder
from .checks import check_apart
from .corpus import read_by
from .errors import UsageError
from .report import counted


def embed(args: argparse.Namespace) -> None:
    """Write the vectors of the lines of a file as a .npy file, in the order of the lines."""
    if args.output == STDIN:
        raise UsageError("--output must be a file: vectors are not written to standard output")
    check_apart({"FILE": args.file, "--output": args.output})
    check_writable(args.output)
    encoder, lines = _load(args.model), _lines(args.file)
    with _told(args):
        blocks = encoder.blocks(lines, prompt_name=args.prompt_name, **_limits(args))
        shape = len(lines), encoder.dim
        write_atomically(args.output, _npy(blocks, shape, encoder.model.norm.dtype))
    args.result = {"texts": shape[0], "dim": shape[1], "output": args.output}
    print(f"{counted(shape[0], 'vector')} of {shape[1]} numbers written to {args.output}")


def search(args: argparse.Namespace) -> None:
    """Print score, line number and text of the lines nearest to a query, the best first."""
    encoder, lines = _load(args.model), _lines(args.file)
    with _told(args):
        if args.vectors is None:
            vectors = encoder.encode(lines, **_limits(args))
        else:
            vectors = _vectors(args.vectors, (len(lines), encoder.dim))
        found = encoder.search(args.query, vectors, args.top_k, prompt_name=args.prompt_name)
    best = [(float(x), int(i)) for i, x in zip(*found, strict=True)]
    args.result = [{"score": x, "line": i + 1, "text": lines[i]} for x, i in best]
    for score, i in best:
        print(f"{score:.4f}\t{i + 1}\t{lines[i]}")


def _load(path: str) -> SentenceEncoder:
    try:
        return SentenceEncoder.load(path)
    except ModelFileError as error:
        raise UsageError(str(error)) from error


def _lines(path: str) -> list[str]:
    """Return the lines of a text; UsageError if it is not UTF-8."""
    text = read_by(decoded, read_by(read_content, path), shown_name(path))
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return lines if text else []


def _limits(args: argparse.Namespace) -> dict[str, Any]:
    return {"batch_tokens": args.batch_tokens, "memory": args.memory}


@contextlib.contextmanager
def _told(args: argparse.Namespace) -> Iterator[None]:
    """Run on `--threads`; report an option that the model refuses in one line."""
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        try:
            yield
        except (ValueError, TypeError) as error:
            raise UsageError(str(error)) from error


def _npy(
    blocks: Iterator[NDArray[np.floating]], shape: tuple[int, int], dtype: np.dtype
) -> Iterator[bytes]:
    """Yield the bytes of a .npy file; on a terminal the texts that are done are shown."""
    header, done = io.BytesIO(), 0
    described = {"descr": dtype.newbyteorder("<").str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    yield header.getvalue()
    shown = sys.stderr is not None and sys.stderr.isatty()
    for block in blocks:
        yield block.astype(dtype.newbyteorder("<"), copy=False).tobytes()
        done += len(block)
        if shown:
            print(f"{done}/{shape[0]}", end="\r", file=sys.stderr, flush=True)


def _vectors(path: str, shape: tuple[int, int]) -> NDArray[np.floating]:
    """Return the vectors of a .npy file, mapped into memory; UsageError unless they fit."""
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UsageError(f"{path} is not a .npy file, or damaged: {error}") from error
    if not isinstance(vectors, np.ndarray) or vectors.shape != shape:
        raise UsageError(
            f"{path} has the shape {np.shape(vectors)}, but there are {shape[0]} lines and "
            f"{shape[1]} numbers in a vector"
        )
    return vectors
