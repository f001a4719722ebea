"""The IDX format of the MNIST family of data sets.

Two zero bytes, one byte for the type, one for the number of axes; the length of each axis as a
big-endian unsigned integer of 32 bits; then the elements, big-endian, in C order. Described at the
end of LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

PathLike = str | os.PathLike[str]

# third byte of the file -> type of an element
_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}

_MOST_AXES = 32  # NumPy before 2.0 has no more
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


class IdxError(ValueError):
    """A file is no IDX file, or a damaged one; the message names the file and says why."""


def read_idx(path: PathLike) -> NDArray[Any]:
    """The array in an IDX file, compressed by gzip or not.

    Parameters
    ----------
    path : path-like
        Whether the file is compressed is told by its first bytes, not by its name.

    Returns
    -------
    ndarray
        Of the file's shape and type (uint8, int8, int16, int32, float32 or float64), in the byte
        order of this computer.

    Raises
    ------
    IdxError
        Another format, a truncated file, more bytes than the shape needs, or a damaged gzip stream.
    OSError
        There is no such file, or it cannot be read.
    """
    name = os.fspath(path)
    with open(path, "rb") as raw:
        compressed = raw.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)  # a pipe cannot go back
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
        raise ValueError(f"no IDX file: it begins with {magic!r}")
    if magic[3] > _MOST_AXES:
        raise ValueError(f"{magic[3]} axes, more than {_MOST_AXES}")
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise ValueError("truncated within its header")
    shape = tuple(np.frombuffer(header, ">u4").tolist())
    dtype = np.dtype(_TYPES[magic[2]])
    n_bytes = dtype.itemsize * math.prod(shape)
    content = _read_at_most(file, n_bytes + 1)
    if len(content) < n_bytes:
        raise ValueError(f"truncated: shape {shape} needs {n_bytes:,} bytes, got {len(content):,}")
    if len(content) > n_bytes:
        raise ValueError(f"more than the {n_bytes:,} bytes that its shape {shape} needs")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_at_most(file: IO[bytes] | gzip.GzipFile, n_bytes: int) -> bytearray:
    """Up to n_bytes, taking no more memory than there are: a header may claim any size."""
    content = bytearray()
    while chunk := file.read(min(_CHUNK, n_bytes - len(content))):
        content += chunk
    return content
