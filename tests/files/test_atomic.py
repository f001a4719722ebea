"""Writing files: any step may fail, the process may be killed, and others write too."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fastnn.files import atomic
from fastnn.files.atomic import check_writable, write_atomically

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks and signals are those of POSIX")

ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT, errno.ENOENT, errno.EINTR]


class Failing(io.BufferedWriter):
    """A file that fails in one of its methods, after having done what it does."""

    def __init__(self, descriptor, step, error):
        super().__init__(io.FileIO(descriptor, "wb"))
        self.step, self.error = step, error

    def _fail(self, step):
        if step == self.step:
            self.step = None
            raise OSError(self.error, os.strerror(self.error))

    def write(self, piece):
        self._fail("write")
        return super().write(piece)

    def flush(self):
        super().flush()
        self._fail("flush")

    def close(self):
        super().close()
        self._fail("close")


def open_files():
    """The number of open descriptors, if the system tells."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def inject(patch, step, error):
    """Let one step of the writer fail with an OSError."""

    def fail(*_):
        raise OSError(error, os.strerror(error))

    if step in ("write", "flush", "close"):
        patch.setattr(atomic.os, "fdopen", lambda fd, mode: Failing(fd, step, error))
        return
    if step == "fdopen":  # which closes what it was given, as Python's own does
        patch.setattr(atomic.os, "fdopen", lambda fd, mode: (os.close(fd), fail()))
    elif step == "flock":
        patch.setattr(atomic.fcntl, "flock", fail)
    else:
        patch.setattr(atomic.os, step, fail)


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize(
    "step", ["open", "dup", "fdopen", "write", "flush", "fsync", "close", "chmod", "replace"]
)
def test_an_error_of_any_step_names_the_file(tmp_path, monkeypatch, step, error):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    before = open_files()
    with monkeypatch.context() as patch:
        inject(patch, step, error)
        if (step, error) == ("chmod", errno.ENOENT):  # the old file went away: no mode to keep
            write_atomically(path, b"new")
        else:
            with pytest.raises(OSError) as caught:
                write_atomically(path, [b"ne", memoryview(b"w")])
            assert (caught.value.errno, caught.value.filename) == (error, str(path))
            assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model"]
    assert open_files() == before


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("step", ["listdir", "flock", "fstat"])
def test_where_there_are_no_locks_and_lists_files_are_written_too(
    tmp_path, monkeypatch, step, error
):
    (tmp_path / ".fastnn-00000000-leftover.part").write_bytes(b"")
    with monkeypatch.context() as patch:
        inject(patch, step, error)
        if step == "fstat":  # of the lock file: the disk fails
            with pytest.raises(OSError) as caught:
                write_atomically(tmp_path / "model", b"new")
            assert (caught.value.errno, caught.value.filename) == (error, str(tmp_path / "model"))
        else:
            write_atomically(tmp_path / "model", b"new")
            assert (tmp_path / "model").read_bytes() == b"new"


def test_a_real_limit_names_the_file(tmp_path):
    code = (
        "import resource, signal, sys; from fastnn import nn, save\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: save(nn.Linear(100, 100), 'model')\n"
        "except OSError as error: print(error.filename, error.strerror)"
    )
    assert python(code, tmp_path).stdout == "model File too large\n"
    assert os.listdir(tmp_path) == []


def python(code, folder, **options):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


WRITER = """
import os, sys, time
from fastnn.files.atomic import write_atomically
def pieces():
    yield b"half"
    print("writing", flush=True)
    time.sleep(60)
write_atomically("model", pieces())
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_leftovers_of_the_dead_are_removed_and_of_the_living_are_not(tmp_path, writer):
    (tmp_path / "model").write_bytes(b"old")
    (left,) = set(os.listdir(tmp_path)) - {"model"}
    write_atomically(tmp_path / "other", b"")
    check_writable(tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == sorted([left, "model", "other"])
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert left in os.listdir(tmp_path)
    write_atomically(tmp_path / "other", b"")
    assert sorted(os.listdir(tmp_path)) == ["model", "other"]
    assert (tmp_path / "model").read_bytes() == b"old"


def test_a_stopped_writer_is_alive(tmp_path, writer):
    writer.send_signal(signal.SIGSTOP)
    before = os.listdir(tmp_path)
    write_atomically(tmp_path / "other", b"")
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "other"])


def test_what_is_no_leftover_stays(tmp_path):
    host = atomic._host()
    names = [f".fastnn-{host}-folder.part", ".fastnn-0123456789abcdef.tmp", ".fastnn-x", "x.part"]
    os.mkdir(tmp_path / names[0])
    for name in names[1:]:
        (tmp_path / name).write_bytes(b"")
    os.mkfifo(tmp_path / f".fastnn-{host}-pipe.part")
    (tmp_path / f".fastnn-{host}-link.part").symlink_to("x.part")
    before = sorted(os.listdir(tmp_path))
    write_atomically(tmp_path / "model", b"")
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "model"])


def test_leftovers_of_another_host_have_to_be_old(tmp_path):
    for name in ("new", "old"):
        (tmp_path / f".fastnn-ffffffff-{name}.part").write_bytes(b"")
    past = time.time() - 2 * atomic.OLD
    os.utime(tmp_path / ".fastnn-ffffffff-old.part", (past, past))
    write_atomically(tmp_path / "model", b"")
    assert sorted(os.listdir(tmp_path)) == [".fastnn-ffffffff-new.part", "model"]


def test_threads_that_write_at_once_take_nothing_from_one_another(tmp_path):
    """Each looks for leftovers while the others have files that were just made."""
    failed = []

    def work(i):
        try:
            for n in range(100):
                write_atomically(tmp_path / f"file{i % 3}", [b"%d" % n] * 3)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(os.listdir(tmp_path)) == ["file0", "file1", "file2"]


def test_a_writer_whose_file_was_taken_makes_another(tmp_path, monkeypatch):
    """Between the making of a file and its lock another writer may take it for a leftover."""
    real, calls = atomic.fcntl.flock, []

    def taken(descriptor, how):
        calls.append(descriptor)
        if len(calls) == 1:
            raise BlockingIOError(errno.EAGAIN, "locked")
        if len(calls) == 2:
            (path,) = tmp_path.glob(f".fastnn-{atomic._host()}-*.part")
            path.unlink()
        real(descriptor, how)

    monkeypatch.setattr(atomic.fcntl, "flock", taken)
    before = open_files()
    write_atomically(tmp_path / "model", b"new")
    assert len(calls) == 3 and os.listdir(tmp_path) == ["model"]
    assert open_files() == before
