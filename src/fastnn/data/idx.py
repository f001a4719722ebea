"""Read the IDX format of the MNIST family of data sets.

A file has two zero bytes, one byte for the type and one for the number of axes, then the length
of each axis as a big-endian unsigned 32-bit integer, then the elements, big-endian, in C order.
See the end of LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..files.atomic import PathLike, errors_named
from ..keywords import explained

# third byte of the file -> type of an element
_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}

_MOST_AXES = 32  # NumPy before 2.0 allows no more axes
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


class IdxError(ValueError):
    """A file is not an IDX file or is damaged; the message names the file and the reason.

    Examples
    --------
    >>> from pathlib import Path
    >>> size = Path("images.idx").write_text("something else")
    >>> try:
    ...     fastnn.data.read_idx("images.idx")
    ... except fastnn.data.IdxError as error:
    ...     print(error)
    images.idx: not an IDX file: it begins with b'some'
    """


@explained
def read_idx(path: PathLike) -> NDArray[Any]:
    """Read the array in an IDX file, compressed by gzip or not.

    Parameters
    ----------
    path : path-like
        Compression is recognized by the first bytes of the file, not by its name.

    Returns
    -------
    ndarray
        Of the file's shape and type (uint8, int8, int16, int32, float32 or float64), in the byte
        order of this computer.

    Raises
    ------
    IdxError
        The format is wrong, the file is shorter or longer than its shape requires, or the gzip
        stream is damaged.
    OSError
        There is no such file, or it cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> header = bytes([0, 0, 8, 1, 0, 0, 0, 3])  # bytes, 1 dimension, 3 elements
    >>> size = Path("labels.idx").write_bytes(header + bytes([5, 0, 4]))
    >>> fastnn.data.read_idx("labels.idx")
    array([5, 0, 4], dtype=uint8)
    """
    name = os.fspath(path)
    with errors_named(path), open(path, "rb") as raw:
        compressed = raw.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)  # a pipe cannot seek
        try:
            if not compressed:
                return _read(raw)
            with gzip.GzipFile(fileobj=raw) as file:
                return _read(file)
        except ValueError as error:
            raise IdxError(f"{name}: {error}") from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise IdxError(f"{name}: damaged gzip stream: {error}") from error


def _read(file: IO[bytes] | gzip.GzipFile) -> NDArray[Any]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise ValueError(f"not an IDX file: it begins with {magic!r}")
    if magic[3] > _MOST_AXES:
        raise ValueError(f"{magic[3]} axes; at most {_MOST_AXES} are supported")
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise ValueError("truncated in its header")
    shape = tuple(np.frombuffer(header, ">u4").tolist())
    dtype = np.dtype(_TYPES[magic[2]])
    n_bytes = dtype.itemsize * math.prod(shape)
    content = _read_at_most(file, n_bytes + 1)
    if len(content) < n_bytes:
        raise ValueError(f"truncated: shape {shape} needs {n_bytes:,} bytes, got {len(content):,}")
    if len(content) > n_bytes:
        raise ValueError(f"trailing bytes: shape {shape} needs only {n_bytes:,}")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_at_most(file: IO[bytes] | gzip.GzipFile, n_bytes: int) -> bytearray:
    """Read up to n_bytes in chunks, since a header may claim any size."""
    content = bytearray()
    while chunk := file.read(min(_CHUNK, n_bytes - len(content))):
        content += chunk
    return content
