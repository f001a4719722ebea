"""Handle standard streams that are closed, full, or cannot encode a character."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class NamedStream:
    """A stream whose OSErrors name it, as those of a file name the file."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        """Write to the stream."""
        with self._errors_named():
            return self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        with self._errors_named():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._name) from error


@contextlib.contextmanager
def open_streams() -> Iterator[bool]:
    """Make errors name the stream, and discard output to a closed one (`>&-`, pythonw).

    Python has None for a closed stream. The null device also occupies its descriptor, which the
    next opened file would get otherwise. Yields True if the standard output is closed.
    """
    before: Any = sys.stdout, sys.stderr
    with contextlib.ExitStack() as files:
        out, err = (
            files.enter_context(open(os.devnull, "w", encoding="utf-8"))
            if stream is None
            else stream
            for stream in before
        )
        sys.stdout, sys.stderr = NamedStream(out, "standard output"), err
        try:
            yield before[0] is None
        finally:
            sys.stdout, sys.stderr = before


def escape_stdout() -> None:
    """Print characters that the output's encoding lacks as escapes: they must not end a run."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def give_up(stream: Any) -> None:
    """Discard buffered output: Python would try to write it again at exit."""
    with contextlib.suppress(OSError, ValueError):  # no descriptor under pytest
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def check_stdout() -> None:
    """Discard the output if it cannot be written."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        give_up(sys.stdout)


def complain(text: str) -> None:
    """Print a line on stderr if possible; characters that it cannot encode become escapes."""
    encoding = sys.stderr.encoding or "utf-8"
    try:
        line = text.encode(encoding, "backslashreplace").decode(encoding)
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        give_up(sys.stderr)
