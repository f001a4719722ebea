"""System calls that fail in the middle of a write: the file is the old or the new one.

``failing_calls.c`` has to be preloaded, as `library` and `LD_PRELOAD` do for a child.
"""

import contextlib
import ctypes
import errno
import functools
import io
import os
import random
import subprocess
import tempfile
from pathlib import Path

from fastnn import nn, optim, save
from fastnn.cli import main
from fastnn.files import atomic
from fastnn.train import save_checkpoint

SOURCE = Path(__file__).with_name("failing_calls.c")
TEMPORARY = tempfile.TemporaryDirectory(prefix="fastnn-")  # goes with the process
ERRORS = [errno.EIO, errno.ENOSPC, errno.EACCES, errno.EDQUOT, errno.EINTR, errno.EMFILE]
ERRORS += [errno.EROFS, errno.ENOMEM, errno.ENOENT, errno.ESTALE]
MANY = 10**9  # more calls than a write has


def library(folder):
    """Compile the library into a folder and return its path."""
    built = str(Path(folder) / "failing_calls.so")
    command = [os.environ.get("CC_FOR_TESTS", "cc"), "-shared", "-fPIC", "-O1", "-o", built]
    subprocess.run([*command, str(SOURCE), "-ldl"], check=True)
    return built


@functools.cache
def calls():
    """The library in this process, which was preloaded."""
    found = ctypes.CDLL(os.environ["LD_PRELOAD"].split(":")[0])
    found.failed_call.restype = ctypes.c_char_p
    found.calls_seen.restype = ctypes.c_long
    return found


@functools.cache
def models():
    """Two models of one shape and their optimizers; a file is a few buffers long."""
    made = [nn.MLP((40, 80, 3), rng=seed) for seed in (0, 1)]
    return [(model, optim.SGD(model.parameters(), lr=0.1)) for model in made]


def write_model(path, which):
    save(models()[which][0], path)


def write_run(path, which):
    model, optimizer = models()[which]
    save_checkpoint(path, model, optimizer)


def write_pieces(path, which):
    atomic.write_atomically(path, [bytes([which]) * n for n in (1, 20_000, 3, 9_000)])


@functools.cache
def predictor():
    """A model of a table and its rows, for `fastnn predict`."""
    folder = Path(tempfile.mkdtemp(dir=TEMPORARY.name))
    rows = [f"{i},{i % 7}" for i in range(40)]
    for which in (0, 1):
        (folder / f"rows{which}").write_text("\n".join(["x,y", *rows[: 30 + which]]) + "\n")
    model = os.fspath(folder / "table")
    options = ["--target", "y", "--epochs", "1", "--hidden", "2", "--output", model]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main(["train", "csv", os.fspath(folder / "rows0"), *options]) == 0
    return model, [os.fspath(folder / f"rows{which}") for which in (0, 1)]


def write_predictions(path, which):
    """The command; its exit code 2 is raised as an OSError of its message."""
    model, rows = predictor()
    told = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(told):
        code = main(["predict", model, rows[which], "--output", os.fspath(path)])
    if code:
        raise CommandError(told.getvalue())


class CommandError(Exception):
    """What the command said before it exited with 2."""


WRITES = [write_model, write_run, write_pieces, write_predictions]
PLACES = ["a file", "a new file", "a link", "beside a leftover"]


def prepared(folder, place, write):
    """Make the file that is written over, if any; return its path and content."""
    path = folder / "written"
    if place != "a new file":
        write(path, 0)
    before = path.read_bytes() if place != "a new file" else None
    if place == "a link":
        path.rename(folder / "target")
        path.symlink_to("target")
    if place == "beside a leftover":
        (folder / f".fastnn-{atomic._host()}-dead.part").write_bytes(b"")
    return path, before


@functools.cache
def wanted(write):
    """The content of a write that nothing disturbs, after one that makes all that is cached."""
    path = Path(tempfile.mkdtemp(dir=TEMPORARY.name)) / "written"
    write(path, 0)
    write(path, 1)
    return path.read_bytes()


def parts(folder):
    return [name for name in os.listdir(folder) if name.endswith(".part")]


def failing(seed):
    """One write in which one call fails; names the call and what came of it."""
    rng = random.Random(seed)
    write, place = WRITES[seed % len(WRITES)], rng.choice(PLACES)
    new, shim = wanted(write), calls()
    with tempfile.TemporaryDirectory(dir=TEMPORARY.name) as made:
        folder = Path(made)
        path, _ = prepared(folder, place, write)
        shim.fail_at(MANY, 0, 0)
        write(path, 1)
        total = shim.calls_seen()
        shim.fail_at(0, 0, 0)
    with tempfile.TemporaryDirectory(dir=TEMPORARY.name) as made:
        folder = Path(made)
        path, before = prepared(folder, place, write)
        code, done = rng.choice(ERRORS), rng.random() < 0.4
        opened = os.listdir("/proc/self/fd")
        error = None
        shim.fail_at(rng.randint(1, total), code, done)
        try:
            write(path, 1)
        except (OSError, CommandError) as e:
            error = e
        name = (shim.failed_call() or b"nothing").decode()
        shim.fail_at(0, 0, 0)
        how = f"{name}, {errno.errorcode[code]}, done={done}, {write.__name__}, {place}: {error!r}"
        now = path.read_bytes() if path.exists() else None
        assert now in (before, new), f"neither old nor new: {how}"
        assert error is not None or now == new, f"no error and the old file: {how}"
        assert named(error, path), f"the error does not name the file: {how}"
        assert os.listdir("/proc/self/fd") == opened, f"a descriptor is open: {how}"
        assert place != "a link" or path.is_symlink(), f"the link is gone: {how}"
        write(path, 1)
        assert not parts(folder), f"a leftover after the next write: {how}"
        assert path.read_bytes() == new
    return f"{name}: {'no error' if error is None else 'error'}"


def named(error, path):
    """True if an error names the file, or the folder or file that the command was reading."""
    if error is None:
        return True
    if isinstance(error, CommandError):
        return os.fspath(path) in str(error) or any(n in str(error) for n in read_files())
    return error.filename == os.fspath(path)


def read_files():
    model, rows = predictor()
    return [model, *rows]
