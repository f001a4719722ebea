"""Random command lines over hostile files; tests/test_cli_fuzz.py draws them.

`run` calls the command's function, many times in a process and with one parser, which takes most
of the time of a refused call; `started` starts a process for each.
"""

import contextlib
import functools
import io
import os
import random
import re
import subprocess
import sys
import tempfile

from fastnn import cli
from tests.test_cli_fuzz import command_line, make_files

from . import common

TEMPORARY = tempfile.TemporaryDirectory(prefix="fastnn-")  # goes with the process
SECONDS = 60  # of a process
ALLOWANCE = 12 << 30  # bytes of address space, which many threads take too
INPUTS = [b"", b"x,y\n1,2\n", b"a b\n", b"\xff", b"\x1f\x8b\0"]


@functools.cache
def files():
    """Work in a new folder that has the files; return their names."""
    cli.make_parser = functools.cache(cli.make_parser)
    os.chdir(TEMPORARY.name)
    with contextlib.redirect_stdout(io.StringIO()):
        made = make_files()
    common.limit_memory(ALLOWANCE)
    return made


def run(seed):
    """The command's function, in this process."""
    rng = random.Random(seed)
    argv = command_line(rng, files())
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(rng.choice(INPUTS))), "utf-8")
    before, sys.stdin = sys.stdin, rng.choice([stdin, stdin, None])
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(argv)
    except SystemExit as left:  # --help, --version
        code = left.code
    except BaseException as error:
        raise AssertionError(f"fastnn {argv!r}") from error
    finally:
        sys.stdin = before
    return checked(argv, code, err.getvalue())


def started(seed):
    """The command in a process of its own, as a shell starts it."""
    rng = random.Random(seed)
    argv = [word.replace("\0", "?") for word in command_line(rng, files())]
    command = [sys.executable, "-m", "fastnn", *argv]
    done = subprocess.run(
        command, input=rng.choice(INPUTS), capture_output=True, timeout=SECONDS, check=False
    )
    return checked(argv, done.returncode, done.stderr.decode(errors="replace"))


def checked(argv, code, err):
    """Exit code 0, or 1 or 2 with one line that says why; the text of no error is long."""
    lines = err.splitlines()
    told = bool(lines) and re.fullmatch(r"fastnn: error: .*\S.*", lines[-1])
    assert code in (0, 1, 2) and (code == 0 or told), (argv, code, lines[-5:])
    assert all(len(line) < 2000 for line in lines), argv
    return f"exit code {code}"
