"""Give each library its turns: a process for each, all but one stopped at any time.

Two thread pools that run at the same time disturb each other, and a pool spins for a while after
its work. So every library has a worker process, and a worker that has no turn is stopped by a
signal: it cannot take a CPU. The turns of a case follow each other, fastnn first, then its peers,
then fastnn again in a second process: the difference of these two is what noise amounts to here.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .cases import BenchError, Case
from .libraries import LIBRARIES, OURS
from .results import AGAIN, Results, Row

HERE = Path(__file__).resolve().parent
# Load this package under another name: a peer's process must not import fastnn.
LOADER = """\
import importlib, importlib.util, sys
spec = importlib.util.spec_from_file_location(
    "fastnn_bench", sys.argv[1] + "/__init__.py", submodule_search_locations=[sys.argv[1]])
sys.modules["fastnn_bench"] = importlib.util.module_from_spec(spec)
importlib.import_module("fastnn_bench.worker").main(sys.argv[2:])
"""
# The thread pools of all libraries.
THREAD_VARIABLES = [
    f"{pool}_NUM_THREADS" for pool in ("OMP", "OPENBLAS", "MKL", "BLIS", "FASTNN")
] + ["VECLIB_MAXIMUM_THREADS"]
BLAS_OF_NUMPY = ("OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# Variables that change a peer's instruction set or blocks are not passed on: each library chooses
# for itself. If fastnn is capped at AVX2, the peers are capped with it.
PEERS_AT_AVX2 = {
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
PEER_TUNING = {*PEERS_AT_AVX2, "OPENBLAS_L2_SIZE", "MKL_CBWR", "DNNL_MAX_CPU_ISA"}


class WorkerError(BenchError):
    """A worker process failed; the message is the end of its output."""


@dataclass(frozen=True)
class Settings:
    """How a run measures.

    A case gets `rounds` turns of each library, a turn `samples` blocks of calls, and a block takes
    `seconds`, much longer than a tick of clock or scheduler. Thread counts are measured one after
    the other. `quick` shortens the machine's limits too. `isa` becomes FASTNN_ISA.
    """

    threads: tuple[int, ...]
    rounds: int = 5
    samples: int = 7
    seconds: float = 0.01
    quick: bool = False
    isa: str = ""


QUICK: dict[str, Any] = {"rounds": 3, "samples": 3, "seconds": 0.002, "quick": True}


def worker_environment(name: str, threads: int, isa: str = "") -> dict[str, str]:
    """Return the environment with that thread count for all, without peers' tuning.

    NumPy computes the references in every worker. Its BLAS gets one thread when another library is
    measured: a second one would keep spinning after the reference and take a CPU from the library.
    """
    environment = {key: value for key, value in os.environ.items() if key not in PEER_TUNING}
    environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if name not in ("numpy", "scipy", "sklearn"):
        environment.update(dict.fromkeys(BLAS_OF_NUMPY, "1"))
    if name in ("blis", "thinc"):
        environment["BLIS_NUM_THREADS"] = str(threads)
    if isa:
        environment["FASTNN_ISA"] = isa
    if environment.get("FASTNN_ISA") == "avx2":
        environment.update(PEERS_AT_AVX2)
    if name in LIBRARIES and LIBRARIES[name].is_ours:  # the same fastnn as this process has
        path = [str(HERE.parents[1]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return environment


def ask_once(python: str, *arguments: str, name: str = "", threads: int = 1, isa: str = "") -> Any:
    """Run a task of ``worker`` in a process of its own; return its JSON answer."""
    command = [python, "-c", LOADER, str(HERE), *arguments]
    return json.loads(_last_line(command, worker_environment(name, threads, isa)))


def _last_line(command: list[str], environment: dict[str, str]) -> str:
    """Run a command; return the last line of its output."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise WorkerError(" ".join(done.stderr.splitlines()[-3:]) or f"exit {done.returncode}")
    return done.stdout.splitlines()[-1]


def import_seconds(python: str, name: str) -> float:
    """Return the seconds of importing a library in a process that has imported nothing."""
    imports = ", ".join(LIBRARIES[name].modules)
    code = f"import time; t = time.perf_counter(); import {imports}; print(time.perf_counter() - t)"
    return float(_last_line([python, "-c", code], worker_environment(name, 1)))


class Worker:
    """A process that serves one library with one number of threads, stopped between requests."""

    # Seconds for an answer: torch.compile takes minutes for its first call.
    PATIENCE = 600

    def __init__(self, python: str, name: str, threads: int, isa: str) -> None:
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [python, "-c", LOADER, str(HERE), "serve", name, str(threads)],
            env=worker_environment(name, threads, isa),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Let the process run, send a request, stop the process after its answer."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        try:
            self.process.send_signal(signal.SIGCONT)
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            ready, _, _ = select.select([stdout], [], [], self.PATIENCE)
            line = stdout.readline() if ready else ""
        except OSError:  # it has ended
            line = ""
        if not line:
            self.process.kill()
            self.errors.seek(0)
            end = " ".join(self.errors.read().splitlines()[-3:])
            self.close()
            raise WorkerError(end or f"no answer; exit code {self.process.returncode}")
        self.process.send_signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # an unsent request
                    pass


def find(
    wanted: Iterable[str] = (), python_peers: str | None = None, quick: bool = False
) -> tuple[dict[str, str], list[str]]:
    """Return ``{library: interpreter}`` of those that can be imported, and the missing ones.

    fastnn is always among them. A name that is a module selects all ways to run it.
    """
    names = set(wanted)
    here = ask_once(sys.executable, "available", name=OURS)["available"]
    found = dict.fromkeys(here, sys.executable)
    if python_peers:
        there = ask_once(python_peers, "available")["available"]
        found |= {name: python_peers for name in there if not LIBRARIES[name].is_ours}
    asked = [
        name
        for name, library in LIBRARIES.items()
        if name == OURS
        or name in names
        or ((library.modules[0] in names or not names) and (library.quick or not quick))
    ]
    return {n: found[n] for n in asked if n in found}, [n for n in asked if n not in found]


@dataclass
class Runner:
    """Measures cases and keeps the results."""

    interpreters: dict[str, str]  # of each library
    settings: Settings
    results: Results  # everything measured so far
    say: Callable[[str], None] = lambda line: None  # called with a line of progress
    workers: dict[str, Worker] = field(default_factory=dict)
    kernels: dict[str, list[str]] = field(default_factory=dict)
    threads: int = 0

    def use_threads(self, threads: int) -> None:
        """Start workers with this number of threads, unless they run already."""
        if threads == self.threads:
            return
        self.close()
        self.threads = threads
        again = [AGAIN] if OURS in self.interpreters else []
        for name in [*self.interpreters, *again]:
            library = OURS if name == AGAIN else name
            self.say(f"starting {name} with {threads} threads")
            worker = Worker(self.interpreters[library], library, threads, self.settings.isa)
            try:
                answer = worker.ask(do="hello")
            except WorkerError as error:
                self.results.fail(f"{name}, {threads} threads: {error}")
                continue
            self.workers[name], self.kernels[name] = worker, answer["kernels"]
            if name != AGAIN:
                self.results.learn(name, answer)

    def having(self, case: Case) -> list[str]:
        """Return the running libraries that have the case's kernel."""
        return [name for name in self.workers if case.kernel in self.kernels[name]]

    def row(self, case: Case) -> Row:
        return self.results.row(case, self.threads)

    def turn(self, case: Case, names: Iterable[str] | None = None, samples: int = -1) -> None:
        """Give every library a turn at the case; a library that fails has no more of them."""
        row = self.row(case)
        options = {
            "seed": row.turns,
            "samples": self.settings.samples if samples < 0 else samples,
            "seconds": self.settings.seconds,
        }
        for name in self.having(case) if names is None else names:
            if name in row.failed:
                continue
            try:
                answer = self.workers[name].ask(do="turn", case=asdict(case), options=options)
            except WorkerError as error:
                self.workers.pop(name).close()
                answer = {"failed": str(error)}
            if "failed" in answer:
                row.failed.append(name)
                self.results.fail(
                    f"{name}, {self.threads} threads, {case.name}: {answer['failed']}"
                )
            else:
                row.add(name, answer)
        row.turns += 1

    def measure(self, cases: list[Case], seconds: float | None = None) -> None:
        """Measure every case with every number of threads, and the machine's limits.

        Each number of threads gets its part of the `seconds`, which begin when the libraries have
        started; the cases that are not begun by then are left out.
        """
        part = (seconds or math.inf) / len(self.settings.threads)
        for threads in self.settings.threads:
            self.use_threads(threads)
            self.limits()
            until = time.monotonic() + part
            for number, case in enumerate(cases, 1):
                if time.monotonic() > until:
                    self.results.left_out.append(
                        f"{len(cases) - number + 1} of {len(cases)} cases with {threads} threads"
                    )
                    break
                self.say(f"{threads} threads, {number} of {len(cases)}: {case.name}")
                for _ in range(self.settings.rounds):
                    self.turn(case)
            self.limits()
        self.close()

    def limits(self) -> None:
        """Measure the machine's limits with the threads in use; the best of all are kept."""
        isa = self.results.libraries.get(OURS, {}).get("isa", "")
        speed = "quick" if self.settings.quick else "full"
        try:
            found = ask_once(sys.executable, "machine", str(self.threads), speed, isa)
        except WorkerError as error:
            self.results.fail(f"the machine's limits: {error}")
        else:
            self.results.add_limits(found, self.threads)

    def footprints(self, case: Case) -> None:
        """Measure import, first call and memory of each library, each in a fresh process."""
        threads = max(self.settings.threads)
        for name, python in self.interpreters.items():
            self.say(f"import and first call of {name}")
            given = asdict(case) if case.kernel in self.kernels.get(name, ()) else None
            try:
                found = ask_once(
                    python, "footprint", name, str(threads), json.dumps(given),
                    name=name, threads=threads, isa=self.settings.isa,
                )  # fmt: skip
                found["import"] = min(import_seconds(python, name) for _ in range(3))
            except WorkerError as error:
                self.results.fail(f"{name}, its first call: {error}")
            else:
                self.results.learn(name, found)

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers.values():
            worker.close()
        self.workers, self.threads = {}, 0
