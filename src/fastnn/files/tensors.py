"""Named arrays in a file: the safetensors format.

Eight bytes with the length of a header, little-endian; the header, JSON padded with spaces, that has
dtype, shape and place of every array and a table of strings, "__metadata__"; the arrays one after
the other. Written here array by array, so that a large model is never held twice; read by the
safetensors library, which checks all of it before it hands anything out and runs no code from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import Buffer, PathLike, write_atomically

DTYPES = {
    "F32": "float32",
    "F64": "float64",
    "I64": "int64",
    "I32": "int32",
    "U64": "uint64",
    "U32": "uint32",
    "U8": "uint8",
    "BOOL": "bool",
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
_HEADER_UNIT = 8  # the format aligns the arrays to so many bytes


class ModelFileError(ValueError):
    """A file holds no model, or no run, that can be loaded; the message names it and says why."""


def write_tensors(
    path: PathLike, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Write a file that any safetensors reader reads, whole or not at all.

    Raises
    ------
    TypeError
        An array has a dtype that the format has not.
    OSError
        The file cannot be written.
    """
    write_atomically(path, _pieces(arrays, metadata))


def _pieces(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> Iterator[Buffer]:
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for name, array in arrays.items():
        if array.dtype.name not in _CODES:
            raise TypeError(f"{name!r} is {array.dtype}, which a safetensors file cannot hold")
        stop = start + array.nbytes
        header[name] = {
            "dtype": _CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    described = json.dumps(header, separators=(",", ":")).encode()
    described += b" " * (-len(described) % _HEADER_UNIT)
    yield len(described).to_bytes(8, "little")
    yield described
    for array in arrays.values():
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        yield little.reshape(-1).view(np.uint8).data


def _safetensors() -> Any:
    try:
        import safetensors
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "reading models needs safetensors: pip install 'fastnn[files]'",
            name="safetensors",
        ) from error
    return safetensors


@contextmanager
def open_tensors(path: PathLike) -> Iterator[Any]:
    """The file, open for reading by `headers` and `file.get_tensor(name)`.

    Whatever is wrong with it comes out as a ModelFileError that names it: what the block raises at
    values that are not what they should be, too.
    """
    safetensors = _safetensors()
    name = os.fspath(path)
    with open(path, "rb"):  # the system's own error for a missing or forbidden file
        pass
    try:
        with safetensors.safe_open(name, framework="numpy") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise ModelFileError(f"{name} is not a safetensors file, or damaged: {error}") from error
    except ModelFileError:
        raise
    except KeyError as error:
        raise ModelFileError(f"{name} holds no model for fastnn: it lacks {error}") from error
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ModelFileError(f"{name} holds no model for fastnn: {error}") from error


def headers(file: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (shape, dtype) of every array in an open file, before any is read."""
    found = {}
    for name in file.keys():
        header = file.get_slice(name)
        dtype = header.get_dtype()
        found[name] = (tuple(header.get_shape()), DTYPES.get(dtype, dtype))
    return found


def check_headers(
    found: Mapping[str, tuple[tuple[int, ...], str]],
    expected: Mapping[str, tuple[tuple[int, ...], str]],
) -> None:
    """ValueError unless the arrays of a file are those of a model."""
    missing, unexpected = sorted(expected.keys() - found), sorted(found.keys() - expected)
    if missing or unexpected:
        raise ValueError(f"missing arrays {missing!r:.200}, unexpected {unexpected!r:.200}")
    for name in expected:
        if found[name] != expected[name]:
            (shape, dtype), (model_shape, model_dtype) = found[name], expected[name]
            raise ValueError(
                f"{name!r} is {dtype} {shape}, but the model needs {model_dtype} {model_shape}"
            )
