"""Writing a file so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

PathLike = str | os.PathLike[str]
Buffer = bytes | memoryview


def write_atomically(path: PathLike, content: bytes | Iterable[Buffer]) -> None:
    """Write `content`, bytes or pieces of them, to `path`; after a failure an older file is as before.

    The bytes go to a temporary file in the same directory, onto the disk, and then take the place
    of `path` in one step. A symbolic link stays, and the file it points to is replaced. Permissions
    are those that a plain `open(path, "wb")` would leave.

    Raises
    ------
    OSError
        The directory is missing or not writable, the disk is full, or `path` is no regular file.
    """
    target, temporary = _target_and_temporary(path)
    try:
        with os.fdopen(_create(temporary, path), "wb") as file:
            for piece in (content,) if isinstance(content, bytes) else content:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    except BaseException:
        _remove(temporary)
        raise


def check_writable(path: PathLike) -> None:
    """Raise the OSError that `write_atomically` would meet on opening, leaving nothing behind."""
    _, temporary = _target_and_temporary(path)
    try:
        os.close(_create(temporary, path))
    finally:
        _remove(temporary)


def _target_and_temporary(path: PathLike) -> tuple[Path, Path]:
    """The file that `path` means, and a new name beside it."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))
    return target, target.with_name(f".fastnn-{secrets.token_hex(8)}.tmp")


def _create(temporary: Path, path: PathLike) -> int:
    """The descriptor of a new empty file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        # 0o666 less the umask: the mode of any new file
        return os.open(temporary, flags, 0o666)
    except OSError as error:
        # named after the file that was asked for, not the temporary one
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _remove(temporary: Path) -> None:
    """Remove the file if there is one; what went wrong before is not replaced by an error here."""
    with contextlib.suppress(OSError):
        temporary.unlink()
