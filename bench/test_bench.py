"""Each case with each library, on one thread and on all, as groups of pytest-benchmark.

The samples come from worker processes (``fastnn.bench.runner``), so they are the same as those of
``fastnn bench``; each result is checked against the float64 reference before it is timed.
"""

from __future__ import annotations

import pytest

from fastnn.bench import command
from fastnn.bench.libraries import prepares

from .conftest import runner_of


def pytest_generate_tests(metafunc):
    """Make a test of each case, library that has its kernel, and number of threads."""
    config = metafunc.config
    config.option.k = []
    runner = runner_of(config)
    kernels = {name: prepares(name) for name in runner.interpreters}
    parameters = [
        pytest.param(case, name, threads, id=f"{case.name}-{name}-{threads}thr",
                     marks=pytest.mark.benchmark(group=f"{case.name}, {threads} threads"))
        for threads in runner.settings.threads
        for case in command.chosen(config.option)
        for name in runner.interpreters
        if case.kernel in kernels[name]
    ]  # fmt: skip
    metafunc.parametrize(("case", "library", "threads"), parameters)


def test_case(benchmark, measured, runner, case, library, threads):
    row = measured(case, library, threads)
    facts = runner.results.libraries[library]
    benchmark.extra_info.update(
        isa=facts.get("isa", ""),
        threads=threads,
        flops=case.flops,
        bytes=case.bytes,
        error_epsilons=row.errors[library],
    )
    if benchmark.stats is not None:
        rate, unit, part = runner.results.rate(row, library)
        benchmark.extra_info.update(rate=rate, unit=unit, limit=case.limit, part_of_limit=part)
