"""Start programs on ranks, or skip with the reason why that is impossible here."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn
from fastnn.distributed.launch import LaunchError, command_of, find_mpi

PROGRAM = Path(__file__).parent / "program.py"
SECONDS = 120  # limit of one run


def reason():
    """Return why no ranks can be started, or ""."""
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed"
    try:
        find_mpi()
    except LaunchError as error:
        return str(error)
    return ""


needs_mpi = pytest.mark.skipif(bool(reason()), reason=reason() or "MPI is installed")


def environment(threads=1):
    """Return variables of this process with threads, and where fastnn is."""
    root = str(Path(fastnn.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}


def command(n, *arguments):
    """Return the command that runs the program on n ranks; 0 is one process without mpiexec."""
    words = [str(PROGRAM), *map(str, arguments)]
    return [sys.executable, *words] if n == 0 else command_of(find_mpi(), n, None, words)


def run(n, *arguments, threads=1):
    """Run the program on n ranks; return the completed process."""
    return subprocess.run(
        command(n, *arguments),
        env=environment(threads),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def result(n, folder, task, *options, threads=1):
    """Return what the program found on n ranks."""
    out = Path(folder) / f"{task}-{n}-{threads}.json"
    done = run(n, task, out, *options, threads=threads)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())
