"""Counts, and programs that run in separate processes, so that a crash is detected."""

import collections
import functools
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FACTOR = float(os.environ.get("FASTNN_RELIABILITY", "1"))
SEED = int(os.environ.get("FASTNN_RELIABILITY_SEED", "0"))
# No threads of others, which may start in memory that is limited by then.
ALONE = {"FASTNN_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
TIME_LIMIT = 60 if FACTOR <= 1 else 3600

posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits are those of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self")


def count(default):
    """Return the number of repeats that is `default` in a short run."""
    return max(1, round(default * FACTOR))


def child(program, *args, timeout=None, **env):
    """Run a program, given as text, in a new interpreter at the root of the tree.

    Returns the exit code, negative for a signal, and both outputs.
    """
    program = "import sys; sys.path.insert(0, sys.argv.pop(1))\n" + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT), *map(str, args)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout or TIME_LIMIT,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def passes(program, *args, **options):
    """Return the output of `child`, which must exit by itself without an error."""
    code, out, err = child(program, *args, **options)
    assert code == 0, f"ended by {ended(code)}\n{out[-2000:]}\n{err[-4000:]}"
    return out.strip()


def ended(code):
    """Describe an exit code."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@functools.cache
def limit_memory(more):
    """Limit the address space of this process to `more` bytes above what it has; Linux alone."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def batch(module, function, seeds, log, seconds=5, timeout=None, **env):
    """Run ``function(seed)`` of a module of this folder for a range of seeds, in one child.

    The child writes each seed to `log` first. A crash, a hang or an exception fails the test with
    the seed; ``function(seed)`` in this process reproduces it. Returns a count of its results.
    """
    program = """
        import collections, importlib, json, os, signal, sys, traceback
        module, function, start, stop, log, seconds = sys.argv[1:]
        run = getattr(importlib.import_module("tests.reliability." + module), function)
        found, log = collections.Counter(), os.open(log, os.O_WRONLY | os.O_CREAT, 0o600)
        for seed in range(int(start), int(stop)):
            os.pwrite(log, b"%20d" % seed, 0)
            signal.setitimer(signal.ITIMER_VIRTUAL, float(seconds))  # of this process, then killed
            try:
                found[run(seed)] += 1
            except BaseException:
                traceback.print_exc()
                sys.exit(f"at {function}({seed}) of {module}")
        print(json.dumps(found))
    """
    try:
        code, out, err = child(
            program,
            *(module, function, seeds.start, seeds.stop, log, seconds),
            timeout=timeout,
            PYTHONFAULTHANDLER="1",  # a crash shows where it was
            **env,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"{module}.{function}({int(Path(log).read_text())}) hangs")
    if code:
        seed = int(Path(log).read_text())
        pytest.fail(f"{module}.{function}({seed}) ended by {ended(code)}:\n{err[-4000:]}")
    return json.loads(out.splitlines()[-1])


def batches(module, function, seeds, log, size=2000, **options):
    """Run `batch` for `size` seeds a child, which stops a long run soon; return the whole count."""
    total = collections.Counter()
    for start in range(seeds.start, seeds.stop, size):
        part = range(start, min(start + size, seeds.stop))
        total.update(batch(module, function, part, log, **options))
    assert total.total() == len(seeds)
    return dict(total)
