"""Time every case of one library in this process and print the results as JSON.

``bench.ratios`` starts ``python -m bench.worker LIBRARY`` for each turn; it also works by hand.
``LIBRARY`` may be "machine", which measures the machine's limits instead, and ``--available`` lists
the libraries of this interpreter. The caller sets the thread counts in the environment.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import timeit
from dataclasses import asdict
from typing import Any

from . import libraries, machine
from .cases import SUITES, Case, select

# A sample is much longer than the clock's resolution and a scheduler tick.
SAMPLE_SECONDS, QUICK_SAMPLE_SECONDS = 0.01, 0.002
SAMPLES, QUICK_SAMPLES = 7, 3


def sample_times(call: libraries.Call, quick: bool) -> list[float]:
    """Return the seconds per call of each sample, which repeats the call to fill its length.

    Finding the number of repeats is the warm-up: at least a quarter of a sample.
    """
    sample = QUICK_SAMPLE_SECONDS if quick else SAMPLE_SECONDS
    timer = timeit.Timer(call)  # with the garbage collector off, as timeit has it
    calls = 1
    while (took := timer.timeit(calls)) < sample / 4:
        calls *= 4
    calls = max(1, math.ceil(calls * sample / took))
    n_samples = QUICK_SAMPLES if quick else SAMPLES
    return [seconds / calls for seconds in timer.repeat(n_samples, calls)]


def time_case(library: Any, case: Case, seed: int, quick: bool) -> dict[str, float]:
    """Check and time one case; return the minimum and median seconds per call and its error."""
    call = library.PREPARE[case.kernel](case.inputs(seed))
    error = case.check(call(), case.reference(seed))
    times = sample_times(call, quick)
    return {"min": min(times), "median": statistics.median(times), "error": error}


def time_library(
    name: str, cases: list[Case], threads: int, seed: int, quick: bool
) -> dict[str, Any]:
    """Time every case that the library has; a failed case gives its reason instead."""
    library = libraries.load(name)
    results: dict[str, Any] = {}
    with library.threads(threads):
        for case in cases:
            if case.kernel not in library.PREPARE:
                continue
            try:
                results[case.group] = time_case(library, case, seed, quick)
            except Exception as error:  # reported with its case; the others still run
                results[case.group] = {"failed": f"{type(error).__name__}: {error}"}
    empty = min(sample_times(lambda: (), quick))
    return {"version": library.VERSION, "isa": library.ISA, "empty": empty, "results": results}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.worker", description=__doc__)
    parser.add_argument(
        "library", nargs="?", choices=(*libraries.LIBRARIES, *libraries.WAYS, "machine")
    )
    parser.add_argument("--available", action="store_true", help="print the importable libraries")
    parser.add_argument("--suite", choices=SUITES, default="default", help="table of cases")
    parser.add_argument("--kernel", nargs="+", help="kernels, or parts of case names")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--isa", help="the machine's limits with this instruction set")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer samples")
    options = parser.parse_args(argv)
    if options.available:
        answer: Any = libraries.available()
    elif options.library == "machine":
        try:
            answer = asdict(machine.measure([options.threads], options.quick, options.isa))
        except machine.MachineError as error:
            print(error, file=sys.stderr)
            return 1
    elif options.library:
        cases = select(options.suite, options.kernel)
        answer = time_library(options.library, cases, options.threads, options.seed, options.quick)
    else:
        parser.error("which library?")
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
