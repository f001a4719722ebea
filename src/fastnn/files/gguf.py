"""Read GGUF files, as llama.cpp writes them: metadata, and arrays in blocks of few bits.

A file has a magic number, a version, the numbers of arrays and of metadata; the metadata; name,
shape, type and offset of each array; and the arrays. Every length in it is compared with the bytes
that are left before anything is read or allocated.
"""

from __future__ import annotations

import math
import mmap
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import widen
from ..keywords import explained
from .atomic import PathLike, errors_named
from .tensors import ModelFileError, check_readable

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_ALIGNMENT = "general.alignment"
_MOST_AXES = 4

# Types of metadata: number -> format of `struct`; 8 is a text, 9 an array.
_SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9


class _Format(NamedTuple):
    """A type of arrays: numbers in a block, and the fields of a block."""

    name: str
    numbers: int
    block: np.dtype[Any]


_FORMATS = {
    0: _Format("float32", 1, np.dtype("<f4")),
    1: _Format("float16", 1, np.dtype("<f2")),
    2: _Format("Q4_0", 32, np.dtype([("scale", "<f2"), ("q", "u1", 16)])),
    3: _Format("Q4_1", 32, np.dtype([("scale", "<f2"), ("least", "<f2"), ("q", "u1", 16)])),
    8: _Format("Q8_0", 32, np.dtype([("scale", "<f2"), ("q", "i1", 32)])),
    30: _Format("bfloat16", 1, np.dtype("<u2")),
}
_UNKNOWN = {6: "Q5_0", 7: "Q5_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K"}


class Quantized(NamedTuple):
    """An array of a GGUF file, mapped into memory.

    Attributes
    ----------
    blocks : ndarray
        Its blocks, in order.
    format : str
        "float32", "float16", "bfloat16", "Q8_0", "Q4_0" or "Q4_1".
    shape : tuple of int

    Examples
    --------
    >>> fastnn.files.Quantized(np.float16([1, 2]), "float16", (2,)).read()
    array([1., 2.], dtype=float32)
    """

    blocks: NDArray[Any]
    format: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """The type of `read`."""
        return "float32"

    def read(self) -> NDArray[np.float32]:
        """Return the numbers; the scale of a block is float16, what follows is float32."""
        x = self.blocks
        if self.format == "bfloat16":
            return widen(x).reshape(self.shape)
        if self.format in ("float32", "float16"):
            return x.astype(np.float32, copy=False).reshape(self.shape)
        scale = x["scale"].astype(np.float32)[:, None]
        if self.format == "Q8_0":
            return (x["q"] * scale).reshape(self.shape)
        numbers = np.empty((len(x), 32), np.float32)
        numbers[:, :16], numbers[:, 16:] = x["q"] & 15, x["q"] >> 4  # 0 to 15, then 16 to 31
        if self.format == "Q4_0":
            numbers -= 8
        numbers *= scale
        if self.format == "Q4_1":
            numbers += x["least"].astype(np.float32)[:, None]
        return numbers.reshape(self.shape)


class Gguf(NamedTuple):
    """The content of a GGUF file, as `read_gguf` returns it.

    Attributes
    ----------
    metadata : dict of str to int, float, bool, str or list
    arrays : dict of str to Quantized

    Examples
    --------
    >>> fastnn.files.Gguf({"general.architecture": "llama"}, {}).arrays
    {}
    """

    metadata: dict[str, Any]
    arrays: dict[str, Quantized]


@explained
def read_gguf(path: PathLike) -> Gguf:
    """Return the metadata and the arrays of a GGUF file; the arrays stay on the disk.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    ModelFileError
        The file is damaged or cut, or of a version or type of arrays that is not known.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> size = Path("m.gguf").write_bytes(b"GGUF" + bytes([3, 0, 0, 0]) + bytes(16))
    >>> fastnn.files.read_gguf("m.gguf")
    Gguf(metadata={}, arrays={})
    """
    check_readable(path)
    try:
        with errors_named(path), open(path, "rb") as raw:
            content = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
        return _Reader(content).read()
    except (ValueError, ArithmeticError, RecursionError, struct.error) as error:
        raise ModelFileError(f"{path} is not a GGUF file, or damaged: {error}") from error


class _Reader:
    """Reads values in order; raises ValueError instead of reading beyond the end."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.at, self.size = content, 0, len(content)

    def read(self) -> Gguf:
        if self.take(4) != MAGIC:
            raise ValueError("it does not begin with GGUF")
        version = self.number("I")
        if version not in VERSIONS:
            raise ValueError(f"its version is {version}, known are {VERSIONS}")
        n_arrays, n_values = self.count(8), self.count(8)
        metadata: dict[str, Any] = {}
        for _ in range(n_values):
            name = self.text()
            if name in metadata:
                raise ValueError(f"the key {name!r:.200} occurs twice")
            metadata[name] = self.value(self.number("I"))
        infos = [self.info() for _ in range(n_arrays)]
        alignment = metadata.get(_ALIGNMENT, 32)
        if type(alignment) is not int or not 1 <= alignment <= 1 << 16:
            raise ValueError(f"{_ALIGNMENT} is {alignment!r:.40}")
        start = -(-self.at // alignment) * alignment
        arrays = {info[0]: self.array(start, *info) for info in infos}
        if len(arrays) != len(infos):
            raise ValueError("two arrays have one name")
        return Gguf(metadata, arrays)

    def take(self, n: int) -> bytes:
        if n > self.size - self.at:
            raise ValueError(f"{n} bytes are wanted at {self.at}, but it has {self.size}")
        self.at += n
        return self.content[self.at - n : self.at]

    def number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(code)))[0]

    def count(self, least: int) -> int:
        """Return a number of things that take at least so many bytes each."""
        n: int = self.number("Q")
        if n * least > self.size - self.at:
            raise ValueError(f"it claims {n} values, but has {self.size - self.at} bytes left")
        return n

    def text(self) -> str:
        return self.take(self.count(1)).decode()

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            raise ValueError(f"a value has the unknown type {kind}")
        inner = self.number("I")
        if inner in _SCALARS:
            code = _SCALARS[inner]
            n = self.count(struct.calcsize(code))
            return np.frombuffer(self.take(n * struct.calcsize(code)), f"<{code}").tolist()
        if inner != _TEXT:
            raise ValueError(f"an array has values of the unknown type {inner}")
        return [self.text() for _ in range(self.count(8))]

    def info(self) -> tuple[str, tuple[int, ...], int, int]:
        """Return name, shape, type and offset of an array."""
        name, axes = self.text(), self.number("I")
        if axes > _MOST_AXES:
            raise ValueError(f"{name!r:.200} has {axes} axes")
        shape = tuple(self.number("Q") for _ in range(axes))[::-1]
        return name, shape, self.number("I"), self.number("Q")

    def array(
        self, start: int, name: str, shape: tuple[int, ...], kind: int, offset: int
    ) -> Quantized:
        if kind not in _FORMATS:
            what = _UNKNOWN.get(kind, f"type {kind}")
            known = ", ".join(found.name for found in _FORMATS.values())
            raise ValueError(f"{name!r:.200} is {what}, which is not supported: only {known} are")
        found, size = _FORMATS[kind], math.prod(shape)
        if (shape[-1] if shape else 1) % found.numbers:
            raise ValueError(f"{name!r:.200} has rows of {shape[-1]} numbers in {found.name}")
        n, at = size // found.numbers, start + offset
        if at + n * found.block.itemsize > self.size:
            raise ValueError(
                f"{name!r:.200} ends at {at + n * found.block.itemsize}, but it has {self.size} "
                "bytes: is the file complete?"
            )
        blocks = np.frombuffer(self.content, found.block, n, at) if n else np.empty(0, found.block)
        return Quantized(blocks, found.name, shape)
