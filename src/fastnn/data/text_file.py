"""Read text from files, pipes and the standard input, compressed or not."""

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
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
GZIP_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)


class TextFileError(ValueError):
    """A file is not text; the message names it, says why, and what to do."""


def shown_name(path: PathLike) -> str:
    """Return the path as shown in messages."""
    return "standard input" if os.fspath(path) == STDIN else os.fspath(path)


def read_content(path: PathLike) -> bytes:
    """Return the content of a file, decompressed if its first bytes are those of gzip.

    Raises
    ------
    TextFileError
        The gzip stream is damaged, or there is no standard input.
    OSError
        The file does not exist or cannot be read; `filename` is the requested path.
    """
    name = shown_name(path)
    try:
        content = open_stdin().read() if os.fspath(path) == STDIN else Path(path).read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except GZIP_ERRORS as error:
        raise TextFileError(f"{name}: damaged gzip stream: {error}") from error
    except OSError as error:  # unlike a failed open, a failed read does not name the file
        raise OSError(error.errno, error.strerror, name) from error


def open_stdin() -> Any:
    """Open the standard input as bytes, decompressed; TextFileError if it is closed."""
    if sys.stdin is None:
        raise TextFileError("the standard input is closed")
    raw: Any = sys.stdin.buffer
    packed = hasattr(raw, "peek") and raw.peek(2).startswith(GZIP_MAGIC)
    return gzip.GzipFile(fileobj=raw) if packed else raw


def decoded(content: bytes, name: str, before: int = 0, encoding: str | None = None) -> str:
    """Decode UTF-8, with or without a byte order mark; TextFileError names the line if invalid.

    Line numbers include the `before` lines that were read earlier. `encoding` is another encoding
    than UTF-8; "auto" is UTF-16 if the text begins with its mark, and else UTF-8.
    """
    if encoding in (None, "auto"):
        is_16 = encoding == "auto" and content.startswith(UTF_16)
        encoding = "utf-16" if is_16 else "utf-8-sig"
    assert encoding is not None
    try:
        return content.decode(encoding)
    except LookupError:
        raise TextFileError(
            f"unknown encoding {encoding!r:.80}; use such as cp1252 or utf-16"
        ) from None
    except UnicodeDecodeError as error:
        line = before + content[: error.start].count(b"\n") + 1
        byte = content[error.start]
        raise TextFileError(
            f"{name}, line {line}: not {encoding_name(encoding)} text (byte 0x{byte:02x}); "
            "save it as UTF-8"
        ) from error


def encoding_name(encoding: str) -> str:
    """Return the name of an encoding as shown in messages."""
    return {"utf-8-sig": "UTF-8"}.get(encoding, encoding)


def read_text(path: PathLike, encoding: str | None = None) -> str:
    """Return the text of a file; the errors are those of `read_content` and `decoded`."""
    return decoded(read_content(path), shown_name(path), encoding=encoding)
