"""Atomic writes: a reader sees the old or the new content of a file, never a part of it.

A killed writer leaves its temporary file behind. Each writer locks its temporary file until the
end, and the system releases the lock of a dead process, on this host or another. A file that can
be locked is therefore a leftover, and the next writer in the same folder removes it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import platform
import secrets
import stat
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # not POSIX: leftovers stay
    fcntl = None  # type: ignore[assignment]

PathLike = str | os.PathLike[str]
Buffer = bytes | memoryview

# Different from the names of fastnn 0.1 (".fastnn-*.tmp"), whose writers hold no lock.
PREFIX, SUFFIX = ".fastnn-", ".part"

# Seconds after which a file of another host counts as a leftover: no writer pauses for a day.
OLD = 24 * 3600.0


def write_atomically(path: PathLike, content: bytes | Iterable[Buffer]) -> None:
    """Write `content`, bytes or pieces of them, to `path`, or leave an existing file unchanged.

    The bytes go to a temporary file in the same directory, are synced to disk, and then replace
    `path` in one step. A symbolic link stays, and the file it points to is replaced. Permissions
    are those that a plain `open(path, "wb")` would leave.

    Raises
    ------
    OSError
        The directory is missing or not writable, the disk is full, or `path` is not a regular file.
        `filename` is `path`, whichever step fails.
    """
    with errors_named(path):
        target = _target(path)
        _remove_leftovers(target.parent)
        with _temporary(target) as (temporary, descriptor):
            with os.fdopen(descriptor, "wb") as file:
                for piece in (content,) if isinstance(content, bytes) else content:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
            os.replace(temporary, target)


def check_writable(path: PathLike) -> None:
    """Raise the OSError that opening in `write_atomically` would raise; leave no file behind."""
    with errors_named(path), _temporary(_target(path)) as (_, descriptor):
        os.close(descriptor)


@contextlib.contextmanager
def errors_named(path: PathLike) -> Iterator[None]:
    """Add the requested path to system errors: those of read, write and close have none."""
    name = os.fspath(path)
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not from the system, for example from a download
            raise
        raise OSError(error.errno, error.strerror or str(error), name) from error


def _target(path: PathLike) -> Path:
    """Return the file that `path` resolves to."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():  # one that could not be read: it must not be replaced
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "Not a regular file")
    return target


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, int]]:
    """Create an empty file next to `target`; yield its path and descriptor, which the block closes.

    The file is locked until the end of the block, and then removed unless it was renamed.
    """
    made = None
    while made is None:
        made = _new_file(target)
    path, descriptor, lock = made
    try:
        yield path, descriptor
    finally:
        _discard(path, lock)


def _new_file(target: Path) -> tuple[Path, int, list[int]] | None:
    """Return path, descriptor and the descriptors of the lock; None if another writer was faster.

    Between creation and lock, another writer may take the file for a leftover.
    """
    path = target.with_name(f"{PREFIX}{_host()}-{secrets.token_hex(8)}{SUFFIX}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    opened: list[int] = []
    try:
        opened.append(os.open(path, flags, 0o666))  # minus the umask, as for any new file
        if fcntl is None:
            return path, opened[0], []
        opened.append(os.dup(opened[0]))  # the first is closed before the file is renamed
        if _lock(opened[1]) is not False:
            return path, opened[0], opened[1:]
    except BaseException:
        _discard(path, opened)
        raise
    _discard(path, opened)
    return None


def _discard(path: Path, opened: Iterable[int]) -> None:
    """Remove a file if it exists and close descriptors; ignore system errors."""
    with contextlib.suppress(OSError):
        path.unlink()
    for descriptor in opened:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file; return False if another holds or removed it, None if locks do not work."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return os.fstat(descriptor).st_nlink > 0


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of dead writers; ignore what cannot be removed.

    A lock is reliable among the processes of one kernel. Some network file systems grant it to two
    hosts at once, so the file of another host must also be old.
    """
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(PREFIX) and name.endswith(SUFFIX):
                _remove_leftover(folder / name)


def _remove_leftover(path: Path) -> None:
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW
    with contextlib.suppress(OSError):
        descriptor = os.open(path, flags)
        try:
            status = os.fstat(descriptor)
            own = path.name.startswith(f"{PREFIX}{_host()}-")
            if stat.S_ISREG(status.st_mode) and (own or time.time() - status.st_mtime > OLD):
                if _lock(descriptor):
                    path.unlink()
        finally:
            os.close(descriptor)


@functools.cache
def _host() -> str:
    """Return eight hexadecimal digits that identify the running kernel, which containers share."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        name = platform.node().encode()
    return f"{zlib.crc32(name):08x}"
