"""One library in one process: it prepares, checks and times a case when it is asked to.

``main(["serve", NAME, THREADS])`` reads requests from standard input, one JSON object a line, and
answers each with one line. ``main`` is called by the loader of ``runner``, which gives this package
another name, so that a peer's process does not import fastnn.
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import sys
import time
import timeit
from dataclasses import asdict
from typing import Any

from .cases import Case, case_of
from .libraries import LIBRARIES, available, prepares, version_of
from .operations import Call

# A case that took longer than this to prepare is not prepared again with fresh data.
PREPARE_AGAIN = 0.05


class Server:
    """The library's kernels, and the case that is prepared now."""

    def __init__(self, name: str, threads: int) -> None:
        self.library, self.threads = LIBRARIES[name], threads
        self.kernels = prepares(name)
        self.case: Case | None = None
        self.call: Call | None = None
        self.calls = self.error = 0.0
        self.prepared_in = 0.0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request: "turn" for samples of a case, otherwise who this is."""
        if request["do"] == "turn":
            return self.turn(case_of(request["case"]), **request["options"])
        empty = min(timeit.repeat(lambda: (), number=10_000, repeat=5)) / 10_000
        return {"isa": self.library.isa(), "kernels": list(self.kernels), "empty": empty}

    def turn(self, case: Case, seed: int, samples: int, seconds: float) -> dict[str, Any]:
        """Time `samples` blocks of calls, each of about `seconds`.

        Fresh data for every seed, unless preparing takes long; checked the first time. The number
        of calls in a block stays the same for a case, so that blocks of all turns are alike.
        """
        if case != self.case or self.prepared_in < PREPARE_AGAIN:
            self.prepare(case, seed)
        assert self.call is not None
        timer = timeit.Timer(self.call)  # with the garbage collector off, as timeit has it
        if samples and not self.calls:
            self.calls = _calls(timer, seconds)
        elif samples:
            timer.timeit(max(1, int(self.calls) // 4))  # warm up
        blocks = timer.repeat(samples, int(self.calls)) if samples else []
        return {"seconds": blocks, "calls": int(self.calls), "error": self.error}

    def prepare(self, case: Case, seed: int) -> None:
        """Prepare a case; check its first results if it is new."""
        self.call = None
        gc.collect()
        inputs = case.inputs(seed)
        start = time.perf_counter()
        call = self.kernels[case.kernel](inputs)
        results = call()
        self.prepared_in = time.perf_counter() - start
        if case != self.case:
            self.error = case.check(results, case.reference(seed), self.library.lossy)
            self.calls = 0.0
        self.case, self.call = case, call


def time_blocks(call: Call, samples: int, seconds: float) -> list[float]:
    """Return the seconds per call of each block of calls, after a warm-up."""
    timer = timeit.Timer(call)
    calls = _calls(timer, seconds)
    return [block / calls for block in timer.repeat(samples, calls)]


def _calls(timer: timeit.Timer, seconds: float) -> int:
    """Return how many calls fill a block; finding it is the warm-up."""
    calls = 1
    while (took := timer.timeit(calls)) < seconds / 4:
        calls *= 4
    return max(1, math.ceil(calls * seconds / took))


def serve(name: str, threads: int) -> None:
    """Answer requests until standard input ends; a failed one is answered with its reason."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print does not get among the answers
    _die_with_parent()
    server = Server(name, threads)
    with server.library.threads(threads):
        for line in sys.stdin:
            try:
                answer = server.answer(json.loads(line))
            except Exception as error:  # reported with its case; the others still run
                server.case = server.call = None
                answer = {"failed": f"{type(error).__name__}: {error}"[:500]}
            print(json.dumps(answer), file=answers, flush=True)


def _die_with_parent() -> None:
    """Ask Linux to end this process with its parent, even while it is stopped between turns."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL


def peak_bytes() -> int:
    """Return the peak memory of this process; a child's begins at 0."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def footprint(name: str, threads: int, case: Case | None) -> dict[str, Any]:
    """Return the version, the seconds of a first call, and the peak memory after it."""
    found: dict[str, Any] = {"version": version_of(name)}
    if case:
        inputs = case.inputs(0)
        with LIBRARIES[name].threads(threads):
            start = time.perf_counter()
            call = prepares(name)[case.kernel](inputs)
            call()
            found["first"] = time.perf_counter() - start
            call()
    return found | {"memory": peak_bytes()}


def main(arguments: list[str]) -> None:
    """Serve a library, or print one JSON answer."""
    task, *rest = arguments
    if task == "serve":
        serve(rest[0], int(rest[1]))
        return
    answer: Any
    if task == "available":
        answer = {"available": available()}
    elif task == "footprint":
        case = json.loads(rest[2])
        answer = footprint(rest[0], int(rest[1]), case and case_of(case))
    elif task == "machine":
        from . import machine

        isa = rest[2] if len(rest) > 2 and rest[2] else None
        answer = asdict(machine.measure([int(rest[0])], rest[1] == "quick", isa))
    else:
        raise ValueError(f"no task {task!r}")
    print(json.dumps(answer))
