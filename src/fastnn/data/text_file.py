"""Texts from files, from pipes and from the standard input, compressed or not."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from pathlib import Path
from typing import Any

PathLike = str | os.PathLike[str]

# The path that stands for the standard input.
STDIN = "-"
GZIP_MAGIC = b"\x1f\x8b"
GZIP_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)


class TextFileError(ValueError):
    """A file holds no text; the message names it, says why, and what to do."""


def shown_name(path: PathLike) -> str:
    """The path as it stands in messages."""
    return "standard input" if os.fspath(path) == STDIN else os.fspath(path)


def read_content(path: PathLike) -> bytes:
    """All of a file; of a gzip file what is in it, which its first bytes tell and not its name.

    Raises
    ------
    TextFileError
        The gzip stream is damaged, or there is no standard input.
    OSError
        There is no such file, or it cannot be read; `filename` is what was asked for.
    """
    name = shown_name(path)
    try:
        content = open_stdin().read() if os.fspath(path) == STDIN else Path(path).read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except GZIP_ERRORS as error:
        raise TextFileError(f"{name}: damaged gzip stream: {error}") from error
    except OSError as error:  # a read, other than an opening, does not name the file
        raise OSError(error.errno, error.strerror, name) from error


def open_stdin() -> Any:
    """The standard input as a file of bytes, decompressed; TextFileError if it is closed."""
    if sys.stdin is None:
        raise TextFileError("the standard input is closed")
    raw: Any = sys.stdin.buffer
    packed = hasattr(raw, "peek") and raw.peek(2).startswith(GZIP_MAGIC)
    return gzip.GzipFile(fileobj=raw) if packed else raw


def decoded(content: bytes, name: str, before: int = 0) -> str:
    """A text in UTF-8, with or without a byte order mark; TextFileError naming the line otherwise.

    Lines are counted from the `before` that came earlier.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = before + content[: error.start].count(b"\n") + 1
        byte = content[error.start]
        raise TextFileError(
            f"{name}, line {line}: not UTF-8 text (byte 0x{byte:02x}); save it as UTF-8"
        ) from error


def read_text(path: PathLike) -> str:
    """The text of a file; the errors are those of `read_content` and `decoded`."""
    return decoded(read_content(path), shown_name(path))
