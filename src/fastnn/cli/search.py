"""The lines of a text that are nearest to a query: `fastnn search`."""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from .embed import limits_of, lines_of, load_encoder, told
from .errors import UsageError


def search(args: argparse.Namespace) -> None:
    """Print score, line number and text of the lines nearest to a query, the best first."""
    encoder, lines = load_encoder(args), lines_of(args.file)
    with told(args):
        if args.vectors is None:
            vectors = encoder.encode(lines, **limits_of(args))
        else:
            vectors = _vectors(args.vectors, (len(lines), encoder.dim))
        found = encoder.search(args.query, vectors, args.top_k, prompt_name=args.prompt_name)
    best = [(float(x), int(i)) for i, x in zip(*found, strict=True)]
    args.result = [{"score": x, "line": i + 1, "text": lines[i]} for x, i in best]
    for score, i in best:
        print(f"{score:.4f}\t{i + 1}\t{lines[i]}")


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
