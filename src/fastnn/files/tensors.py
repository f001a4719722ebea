"""Named arrays in a file: the safetensors format.

A file has eight bytes with the length of the header (little-endian); the header, JSON padded with
spaces, with dtype, shape and offsets of every array and a table of strings, "__metadata__"; and the
arrays in order. It is written here array by array, so that a large model is never in memory twice.
The safetensors library reads it: it validates the header first and runs no code from the file.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import widen
from .atomic import Buffer, PathLike, errors_named, write_atomically

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
BFLOAT16 = "bfloat16"  # not in NumPy: `read_widened` converts it to float32, which is exact
_NAMES = DTYPES | {"BF16": BFLOAT16}
_CODES = {dtype: code for code, dtype in _NAMES.items()}  # bfloat16: that of ml_dtypes
CONVERT = "fastnn computes in float32 and float64, convert it before it is saved"
MESSAGE = 600  # characters of an error
_HEADER_UNIT = 8  # alignment of the arrays in bytes


class ModelFileError(ValueError):
    """A file holds no model, or no run, that can be loaded; the message names it and says why.

    Examples
    --------
    >>> from pathlib import Path
    >>> size = Path("model.safetensors").write_text("something else")
    >>> try:
    ...     fastnn.load("model.safetensors")
    ... except fastnn.files.ModelFileError as error:
    ...     print(str(error)[:46])
    model.safetensors is not a safetensors file, o
    """


def write_tensors(
    path: PathLike, arrays: Mapping[str, NDArray[Any] | Stored], metadata: Mapping[str, str]
) -> None:
    """Write a file for any safetensors reader, atomically.

    Codes of bfloat16 come as `Stored`, or as an array of ml_dtypes.

    Raises
    ------
    TypeError
        The format does not support the dtype of an array.
    OSError
        The file cannot be written.
    """
    write_atomically(path, _pieces(arrays, metadata))


def _pieces(
    arrays: Mapping[str, NDArray[Any] | Stored], metadata: Mapping[str, str]
) -> Iterator[Buffer]:
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    start, stored = 0, []
    for name, given in arrays.items():
        array, dtype = given if isinstance(given, Stored) else (given, given.dtype.name)
        if dtype not in _CODES:
            raise TypeError(f"{name!r} is {array.dtype}, which a safetensors file cannot hold")
        stored.append((array, dtype))
        stop = start + array.nbytes
        header[name] = {
            "dtype": _CODES[dtype],
            "shape": list(array.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    described = json.dumps(header, separators=(",", ":")).encode()
    described += b" " * (-len(described) % _HEADER_UNIT)
    yield len(described).to_bytes(8, "little")
    yield described
    for array, dtype in stored:
        if dtype == BFLOAT16:
            array = np.ascontiguousarray(array).view(np.uint16)
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        yield little.reshape(-1).view(np.uint8).data


def _safetensors() -> Any:
    try:
        import safetensors
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "fastnn-cpu depends on safetensors, which is missing: pip install safetensors",
            name="safetensors",
        ) from error
    return safetensors


@contextmanager
def open_tensors(path: PathLike) -> Iterator[Any]:
    """Open a file for reading by `headers` and `read_tensor`.

    Any defect of the file raises a ModelFileError that names the file, including errors that the
    block raises because of unexpected values.
    """
    safetensors = _safetensors()
    name = os.fspath(path)
    check_readable(path)
    try:
        with safetensors.safe_open(name, framework="numpy") as file:
            yield file
    except safetensors.SafetensorError as error:
        hint = "decompress it first" if _is_gzip(path) else _shortened(error)
        raise ModelFileError(f"{name} is not a safetensors file, or damaged: {hint}") from error
    except ModelFileError:
        raise
    except KeyError as error:
        what = _shortened(error)
        raise ModelFileError(f"{name} holds no model for fastnn: it lacks {what}") from error
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ModelFileError(f"{name} holds no model for fastnn: {_shortened(error)}") from error


def _shortened(error: Exception) -> str:
    """Its message in at most MESSAGE characters: it may quote texts of the file, of any length."""
    text = str(error)
    return text if len(text) <= MESSAGE else f"{text[: MESSAGE // 2]} ... {text[-MESSAGE // 2 :]}"


def check_readable(path: PathLike) -> None:
    """Raise the system's error for a missing or unreadable file, and an OSError for a pipe."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(
            errno.ESPIPE, "Not a regular file: models are mapped into memory", os.fspath(path)
        )
    with errors_named(path), open(path, "rb"):
        pass


def _is_gzip(path: PathLike) -> bool:
    with errors_named(path), open(path, "rb") as raw:
        return raw.read(2) == b"\x1f\x8b"


def headers(file: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return name -> (shape, dtype) of every array in an open file, without reading any."""
    found = {}
    for name in file.keys():
        header = file.get_slice(name)
        dtype = header.get_dtype()
        found[name] = (tuple(header.get_shape()), _NAMES.get(dtype, dtype))
    return found


def read_tensor(file: Any, name: str) -> NDArray[Any]:
    """Return an array of an open file; raise ValueError if NumPy does not have its dtype."""
    dtype = file.get_slice(name).get_dtype()
    if dtype not in DTYPES:
        raise ValueError(f"{name!r} is {_NAMES.get(dtype, dtype)}: {CONVERT}")
    array: NDArray[Any] = file.get_tensor(name)
    return array


def read_widened(file: Any, path: PathLike, name: str) -> NDArray[Any]:
    """Return `read_tensor`, but float16 and bfloat16 as float32, which is exact."""
    if file.get_slice(name).get_dtype() == "BF16":
        return mapped(path)[name].read()
    array = read_tensor(file, name)
    return widen(array) if array.dtype == np.float16 else array


class Stored(NamedTuple):
    """An array on the disk, mapped into memory; bfloat16 has no type in NumPy and is uint16."""

    array: NDArray[Any]
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def read(self) -> NDArray[Any]:
        """Return the array in a type to compute with: bfloat16 as float32, others as they are."""
        if self.dtype != BFLOAT16:
            return self.array
        return widen(np.asarray(self.array))


def mapped(path: PathLike) -> dict[str, Stored]:
    """Return the arrays of a file that `open_tensors` has open, without reading any.

    They are read-only. float8 and other types that are not known come as uint8.
    """
    with errors_named(path), open(path, "rb") as raw:
        content = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(content[:8], "little")
    found = {}
    for name, header in json.loads(content[8:start]).items():
        if name != "__metadata__":
            dtype = _NAMES.get(header["dtype"], header["dtype"])
            first, stop = header["data_offsets"]
            stored = {BFLOAT16: "<u2"}.get(dtype, dtype if header["dtype"] in DTYPES else "u1")
            size = np.dtype(stored).itemsize
            array = np.frombuffer(content, stored, (stop - first) // size, start + first)
            if array.size == math.prod(header["shape"]):
                array = array.reshape(header["shape"])
            found[name] = Stored(array, dtype)
    return found


def check_headers(
    found: Mapping[str, tuple[tuple[int, ...], str]],
    expected: Mapping[str, tuple[tuple[int, ...], str]],
) -> None:
    """Raise ValueError unless the arrays of a file are those of a model."""
    missing, unexpected = sorted(expected.keys() - found), sorted(found.keys() - expected)
    if missing or unexpected:
        raise ValueError(f"missing arrays {missing!r:.200}, unexpected {unexpected!r:.200}")
    for name in expected:
        if found[name] != expected[name]:
            (shape, dtype), (model_shape, model_dtype) = found[name], expected[name]
            raise ValueError(
                f"{name!r} is {dtype} {shape}, but the model needs {model_dtype} {model_shape}"
                + (f": {CONVERT}" if dtype in ("float16", BFLOAT16) else "")
            )
