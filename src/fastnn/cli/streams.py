"""The standard streams, which may be closed, full, or of an encoding that lacks a character."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class NamedStream:
    """A stream whose errors of the system say where they come from, as those of a file do."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        """As that of the stream."""
        with self._errors_named():
            return self._stream.write(text)

    def flush(self) -> None:
        """As that of the stream."""
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
    """Let errors name the stream, and what is printed to a closed one (`>&-`, pythonw) disappear.

    Python has None for a closed stream. The null device also takes its descriptor, which the next
    file to be opened would get otherwise. Gives True if the standard output is closed.
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
    """Let characters that the output's encoding lacks be printed as escapes, not end a training."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def give_up_stdout() -> None:
    """Send what is still buffered to the null device: Python would try again at its exit."""
    with contextlib.suppress(OSError, ValueError):  # in a test, it has no descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def check_stdout() -> None:
    """Give the output up if what is buffered cannot be written."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        give_up_stdout()


def complain(text: str) -> None:
    """Print a line on stderr, if anybody reads it; characters that it lacks as escapes."""
    encoding = sys.stderr.encoding or "utf-8"
    with contextlib.suppress(OSError, ValueError):
        line = text.encode(encoding, "backslashreplace").decode(encoding)
        print(line, file=sys.stderr, flush=True)
