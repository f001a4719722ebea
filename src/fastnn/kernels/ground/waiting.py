"""Load OpenMP with a bounded spin: how long threads of a team wait busily before they sleep.

GNU OpenMP spins for about 10 ms by default. Beside other programs that keep the cores busy, most of
a core then goes to threads that wait for one which is not running: a step of a small network took
ten times as long. About 10 us bridge what lies between two kernels called one after the other; a
thread that spins for longer also loses its claim to be run soon. The variables are read once, when
the library is loaded; a user's own setting is kept.
"""

from __future__ import annotations

import importlib
import os
import platform
from pathlib import Path

# Iterations of about 10 us, in each of which an x86 CPU pauses; elsewhere it does nothing.
PAUSES_INTEL = 200  # 140 cycles each, from Skylake-SP on
PAUSES_X86 = 800  # about 40 cycles
LOOPS = 10_000
VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
MAPS = Path("/proc/self/maps")
CPUINFO = Path("/proc/cpuinfo")


def bounded_spin() -> int:
    """Return the iterations of libgomp's waiting loop that take about 10 us on this CPU."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return LOOPS
    try:
        with CPUINFO.open("rb") as file:
            is_intel = b"GenuineIntel" in file.read(512)
    except OSError:
        is_intel = False
    return PAUSES_INTEL if is_intel else PAUSES_X86


def _runtimes() -> set[str]:
    """Return the files of GNU OpenMP that this process has loaded; each has its own threads."""
    try:
        lines = MAPS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:  # not Linux
        return set()
    return {line.split(maxsplit=5)[-1] for line in lines if "libgomp" in line}


def load_openmp(module: str) -> tuple[int | None, str]:
    """Import the first module that needs OpenMP; return the spin count and what set it.

    The count is None if it is not ours: a variable of the user, or "openmp" if the library was
    loaded before fastnn, or is another one.
    """
    asked = next((name for name in VARIABLES if name in os.environ), None)
    if asked is not None:
        importlib.import_module(module)
        return None, asked
    before, count = _runtimes(), bounded_spin()
    os.environ["GOMP_SPINCOUNT"] = str(count)
    try:
        importlib.import_module(module)
    finally:
        del os.environ["GOMP_SPINCOUNT"]
    return (count, "fastnn") if _runtimes() - before else (None, "openmp")


# Here and not in threads.pyx, since that module is the one which loads the library.
THREADS = "fastnn.kernels.ground.threads"
_found = load_openmp(THREADS)
importlib.import_module(THREADS).note_spin(*_found)
