"""Vectors of the lines of a text: `fastnn embed`."""

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
from ..kernels import NotLowerable
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
    encoder, lines = load_encoder(args), lines_of(args.file)
    with told(args):
        blocks = encoder.blocks(lines, prompt_name=args.prompt_name, **limits_of(args))
        shape = len(lines), encoder.dim
        write_atomically(args.output, _npy(blocks, shape, encoder.model.norm.dtype))
    args.result = {"texts": shape[0], "dim": shape[1], "output": args.output}
    print(f"{counted(shape[0], 'vector')} of {shape[1]} numbers written to {args.output}")


def load_encoder(args: argparse.Namespace) -> SentenceEncoder:
    """Return the encoder of a folder; UsageError if it is damaged, or cannot have the weights."""
    try:
        return SentenceEncoder.load(args.model, weights=args.weights)
    except (ModelFileError, NotLowerable) as error:
        raise UsageError(str(error)) from error


def lines_of(path: str) -> list[str]:
    """Return the lines of a text; UsageError if it is not UTF-8."""
    text = read_by(decoded, read_by(read_content, path), shown_name(path))
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return lines if text else []


def limits_of(args: argparse.Namespace) -> dict[str, Any]:
    return {"batch_tokens": args.batch_tokens, "memory": args.memory}


@contextlib.contextmanager
def told(args: argparse.Namespace) -> Iterator[None]:
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
