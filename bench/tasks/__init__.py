"""Whole tasks: accuracy and time beside other libraries and published results."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[2] / "src"


def parser(task: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of tasks that run each library in a process."""
    found = argparse.ArgumentParser(prog=f"python -m bench.tasks.{task}", description=description)
    found.add_argument("--threads", type=int, default=2)
    found.add_argument("--python-peers", metavar="PYTHON", help="that has torch")
    found.add_argument("--worker", help=argparse.SUPPRESS)
    return found


def ask(name: str, options: argparse.Namespace, python: str | None = None) -> Any:
    """Run this task's worker of that name in another process; return its result.

    None, with a message on stderr, if it failed. The process gets the same options and fastnn, and
    prints JSON.
    """
    command = [python or sys.executable, *sys.orig_argv[1:], "--worker", name]
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTNN_NUM_THREADS"),
        str(options.threads),
    )
    path = os.pathsep.join(filter(None, [str(SOURCES), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **threads, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{name} failed in {command[0]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def seconds(run: Callable[[], object]) -> float:
    """Return the seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
