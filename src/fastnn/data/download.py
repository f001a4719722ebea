"""Download a file with a known checksum."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ..files.atomic import write_atomically

TIMEOUT = 30.0  # seconds without data
_CHUNK = 1 << 16


class DownloadError(OSError):
    """A file could not be downloaded or has a wrong checksum; the message has its URL.

    Examples
    --------
    >>> issubclass(fastnn.data.DownloadError, OSError)
    True
    """


def download(url: str, path: Path, md5: str) -> None:
    """Download `url` to `path`, with a progress bar on a terminal if rich is installed.

    The data go to a temporary file beside `path`, which is renamed to `path` once it is complete,
    has the right checksum and is on the disk. A failure leaves no file behind.

    Parameters
    ----------
    url : str
    path : Path
        Its folder is made if needed.
    md5 : str
        Checksum of the whole file, in hexadecimal.

    Raises
    ------
    DownloadError
        The connection or the server failed, or the checksum is wrong.
    OSError
        The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _fetch(url, path.name, md5))


def _fetch(url: str, label: str, md5: str) -> Iterator[bytes]:
    """Yield the content of `url` in pieces; DownloadError at the end if the checksum is wrong."""
    # imported here: most users have the files already
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            length = response.headers.get("Content-Length", "")
            with _progress(label, int(length) if length.isdecimal() else None) as advance:
                while chunk := response.read(_CHUNK):
                    digest.update(chunk)
                    yield chunk
                    advance(len(chunk))
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"cannot download {url}: {reason}") from error
    if (found := digest.hexdigest()) != md5:
        raise DownloadError(f"{url} has the MD5 checksum {found}, expected {md5}")


@contextlib.contextmanager
def _progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of bytes received and updates the progress bar."""
    if not sys.stderr.isatty():
        yield lambda n_bytes: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
    except ModuleNotFoundError:
        print(f"downloading {label}", file=sys.stderr)
        yield lambda n_bytes: None
        return
    columns = (TextColumn("downloading {task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda n_bytes: progress.advance(task, n_bytes)
