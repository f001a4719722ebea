"""Measure the FMA peak and the bandwidths of this machine with the loops of ``peak.h``.

``peak.h`` is compiled on demand with the C compiler into a temporary directory and called through
ctypes, from one Python thread per core: ctypes releases the GIL, so the loops run side by side.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).with_name("peak.h")
# Contraction turns x * factor + addend into one FMA; the last flag keeps the copy from becoming a
# call of memcpy, whose non-temporal stores no kernel of interest uses.
FLAGS = ("-ffp-contract=fast", "-fno-tree-loop-distribute-patterns")

ISAS = ("baseline", "avx2", "avx512")  # from narrow to wide; further sets share their vectors
REALS = {"float32": ("f32", ctypes.c_float), "float64": ("f64", ctypes.c_double)}
# Working sets of all threads at which bandwidths are measured: within L1, within L2, about all of
# L2, within L3 of today's processors, and far larger than every cache.
LEVELS = {"32K": 32 << 10, "256K": 256 << 10, "1M": 1 << 20, "16M": 16 << 20, "256M": 256 << 20}
# A factor below one: the chains converge to addend / (1 - factor) = 1 instead of overflowing.
FACTOR, ADDEND = 0.75, 0.25
# A few hundred nanoseconds of chains: far more than the loop overhead.
FMA_PASSES = 100
# Below this fraction of the peak the CPUs are shared; full load alone lowers clocks to 0.9.
SHARED_BELOW = 0.75
# Twelve vectors of 64 bytes: the widest pass of the stream loops.
STREAM_BYTES = 12 * 64
SECONDS, QUICK_SECONDS = 0.03, 0.003


class MachineError(RuntimeError):
    """The limits cannot be measured: no working C compiler, or no such instruction set."""


@dataclass
class Machine:
    """A processor and its limits; every rate is keyed by the number of threads, as a string."""

    cpu: str  # marketing name
    isa: str  # the instruction set that the loops were compiled for
    fma: dict[str, dict[str, float]]  # fma[dtype][threads]: GFLOP/s of chains in registers
    # read[level][threads]: GB/s over a working set of LEVELS[level] bytes in all; a copy counts
    # the bytes read and the bytes written
    read: dict[str, dict[str, float]]
    copy: dict[str, dict[str, float]]

    def limit(self, kind: str, dtype: str, n_bytes: int, threads: int) -> float:
        """Return the rate that bounds a kernel: "fma" in GFLOP/s, "read" or "copy" in GB/s.

        The bandwidth is that of the smallest measured working set which holds ``n_bytes``.
        """
        if kind == "fma":
            return self.fma[dtype][str(threads)]
        held = [level for level, size in LEVELS.items() if n_bytes <= size]
        rates = self.read if kind == "read" else self.copy
        return rates[held[0] if held else list(LEVELS)[-1]][str(threads)]

    def raise_to(self, other: Machine) -> None:
        """Keep the larger of both measurements of every rate: noise only ever lowers them."""
        for kind in ("fma", "read", "copy"):
            for name, rates in getattr(other, kind).items():
                known = getattr(self, kind).setdefault(name, {})
                for threads, rate in rates.items():
                    known[threads] = max(known.get(threads, 0.0), rate)

    def lines(self) -> list[str]:
        """Describe the machine: one line for the processor, one per number of threads."""
        lines = [f"machine: {self.cpu}, {all_threads()} CPUs, {self.isa or 'limits not measured'}"]
        for n in self.fma.get("float32", ()):
            peaks = ", ".join(f"{dtype} {rates[n]:.0f}" for dtype, rates in self.fma.items())
            streams = ", ".join(
                f"{level} {self.read[level][n]:.0f}/{self.copy[level][n]:.0f}" for level in LEVELS
            )
            lines.append(
                f"  {n} thread{'s' if n != '1' else ''}: FMA peak {peaks} GFLOP/s; "
                f"read/copy at {streams} GB/s"
            )
        if self.is_shared():
            lines.append("  WARNING: other programs took part of the CPUs; measure again alone")
        return lines

    def is_shared(self) -> bool:
        """True if several threads, each on its own CPU, ran far below their peak."""
        alone = self.fma.get("float32", {}).get("1")
        return alone is not None and any(
            rate < SHARED_BELOW * alone * min(int(n), all_threads())
            for n, rate in self.fma["float32"].items()
        )


def all_threads() -> int:
    """Return the number of CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """Return the processor's marketing name, if the operating system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def compiler() -> list[str] | None:
    """Return the command of the C compiler, $CC or cc, or None if there is none."""
    command = (os.environ.get("CC") or "cc").split()
    return command if shutil.which(command[0]) else None


def compile_c(source: Path, *flags: str) -> ctypes.CDLL:
    """Compile a file of C functions and load it.

    Raises
    ------
    MachineError
        When there is no C compiler, or it fails; the message has the compiler's output.
    """
    command = compiler()
    if command is None:
        raise MachineError(
            f"{source.name} is compiled when it is needed, and there is no C compiler: install "
            "one or set CC"
        )
    with tempfile.TemporaryDirectory(prefix="fastnn-bench-") as directory:
        library = Path(directory) / "loops.so"
        command += ["-O3", "-shared", "-fPIC", *flags, "-x", "c", str(source), "-o", str(library)]
        done = subprocess.run([*command, "-lm"], check=False, capture_output=True, text=True)
        if done.returncode:
            raise MachineError(f"{command[0]} could not compile {source.name}:\n{done.stderr}")
        return ctypes.CDLL(str(library))  # stays mapped after the file is deleted


def compile_loops() -> ctypes.CDLL:
    """Compile ``peak.h``."""
    loops = compile_c(SOURCE, *FLAGS)
    loops.widest_isa.restype = ctypes.c_char_p
    return loops


def _run_together(run: Callable[[int], None], n_threads: int) -> float:
    """Return the seconds that ``run(0), ..., run(n - 1)`` take in n threads, start to end.

    Several threads are pinned, each to its own CPU: otherwise the scheduler may keep two of them
    on one core for a tenth of a second.
    """
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    starts, ends = [0.0] * n_threads, [0.0] * n_threads
    barrier = threading.Barrier(n_threads)

    def work(i: int) -> None:
        if cpus and n_threads > 1:
            os.sched_setaffinity(0, {cpus[i % len(cpus)]})  # of this thread alone
        barrier.wait()
        starts[i] = time.perf_counter()
        run(i)
        ends[i] = time.perf_counter()

    workers = [threading.Thread(target=work, args=(i,)) for i in range(n_threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return max(ends) - min(starts)


def _best_rate(
    run: Callable[[int, int], None], work: float, n_threads: int, seconds: float, samples: int = 4
) -> float:
    """Return the largest ``work * repeats`` per second of ``run`` over a few samples."""

    def alone(repeats: int) -> float:
        """Return the faster of two runs by one thread: waking threads takes time."""
        return min(timeit.repeat(lambda: run(0, repeats), number=1, repeat=2))

    repeats = 1
    while (took := alone(repeats)) < seconds / 4:
        repeats *= 4
    repeats = max(1, round(repeats * seconds / took))
    times = [_run_together(lambda i: run(i, repeats), n_threads) for _ in range(samples)]
    return work * repeats / min(times)


def _fma_rate(loops: ctypes.CDLL, name: str, real: Any, n_threads: int, seconds: float) -> float:
    """Measure GFLOP/s of the multiply-add chains ``fma_<name>``, all threads together."""
    chains, flops = getattr(loops, f"fma_{name}"), getattr(loops, f"fma_flops_{name}")
    chains.argtypes, chains.restype = (ctypes.c_int64, real, real), ctypes.c_double
    flops.argtypes, flops.restype = (), ctypes.c_int64

    def run(_: int, repeats: int) -> None:
        chains(FMA_PASSES * repeats, FACTOR, ADDEND)

    return _best_rate(run, flops() * FMA_PASSES * n_threads, n_threads, seconds) / 1e9


def fma_peak(n_threads: int, isa: str) -> float:
    """Return GFLOP/s of float32 multiply-add chains in one of ``ISAS``."""
    loops = compile_loops()
    return _fma_rate(loops, f"{_choose_isa(loops, isa)}_f32", ctypes.c_float, n_threads, SECONDS)


def _aligned_block(n_bytes: int) -> np.ndarray:
    """Allocate ``n_bytes`` at a page boundary and touch each page once."""
    page = 4096
    block = np.ones(n_bytes + page, np.uint8)
    start = -block.ctypes.data % page
    return block[start : start + n_bytes]


def _stream_rates(
    loops: ctypes.CDLL, isa: str, n_bytes: int, n_threads: int, seconds: float
) -> tuple[float, float]:
    """Measure GB/s of reading ``n_bytes``, and of copying one half to the other."""
    read, copy = getattr(loops, f"read_{isa}"), getattr(loops, f"copy_{isa}")
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    read.argtypes, read.restype = (pointer, count, count), ctypes.c_uint64
    copy.argtypes, copy.restype = (pointer, pointer, count, count), None
    half = n_bytes // n_threads // 2 // STREAM_BYTES * STREAM_BYTES
    blocks = [_aligned_block(2 * half) for _ in range(n_threads)]
    at = [block.ctypes.data for block in blocks]
    runs = (
        lambda i, repeats: read(at[i], 2 * half, repeats),
        lambda i, repeats: copy(at[i] + half, at[i], half, repeats),
    )
    of_read, of_copy = (_best_rate(run, 2 * half * n_threads, n_threads, seconds) for run in runs)
    return of_read / 1e9, of_copy / 1e9


def _choose_isa(loops: ctypes.CDLL, isa: str | None) -> str:
    """Return the requested instruction set, or the widest that this CPU has."""
    found = ISAS[: ISAS.index(loops.widest_isa().decode()) + 1]
    if isa is None:
        return found[-1]
    isa = next((name for name in reversed(ISAS) if isa.startswith(name)), isa)
    if isa not in found:
        raise MachineError(
            f"no limits for the instruction set {isa!r}: this CPU has {', '.join(found)}"
        )
    return isa


def measure(threads: list[int], quick: bool = False, isa: str | None = None) -> Machine:
    """Measure this machine's limits with each number of threads.

    Samples take 3 ms if it is to be quick, 30 ms otherwise. `isa` is one of ``ISAS`` to compute and
    to stream with; None takes the widest that the CPU has.

    Raises
    ------
    MachineError
        When there is no working C compiler, or the CPU has no such instruction set.
    """
    loops = compile_loops()
    isa = _choose_isa(loops, isa)
    seconds = QUICK_SECONDS if quick else SECONDS
    machine = Machine(cpu_name(), isa, {}, {}, {})
    for n in threads:
        for dtype, (suffix, real) in REALS.items():
            rate = _fma_rate(loops, f"{isa}_{suffix}", real, n, seconds)
            machine.fma.setdefault(dtype, {})[str(n)] = rate
        for level, size in LEVELS.items():
            read, copy = _stream_rates(loops, isa, size, n, seconds)
            machine.read.setdefault(level, {})[str(n)] = read
            machine.copy.setdefault(level, {})[str(n)] = copy
    return machine
