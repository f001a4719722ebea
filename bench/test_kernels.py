"""Time each case with each installed library that has it, on one thread and on all.

Each result is checked against the float64 reference before it is timed. The groups of
pytest-benchmark put the libraries side by side; figures to quote come from ``bench.ratios``, which
runs each library in a separate process.
"""

from __future__ import annotations

import pytest

from . import libraries
from .cases import DEFAULT
from .machine import all_threads

SEED = 0
THREADS = sorted({1, all_threads()})
# Short, as there are hundreds of cases: five rounds or 1/4 s, whichever is longer.
TIMING = {"max_time": 0.25, "min_rounds": 5, "warmup": True}


def _parameters():
    """Test parameters: each case with each library that has its kernel."""
    for name in libraries.available():
        prepare = libraries.load(name).PREPARE
        for case in DEFAULT:
            if case.kernel in prepare:
                mark = pytest.mark.benchmark(group=case.group, **TIMING)
                yield pytest.param(case, name, id=f"{case.group}-{name}", marks=mark)


@pytest.mark.parametrize("threads", THREADS, ids=[f"{n}thr" for n in THREADS])
@pytest.mark.parametrize(("case", "library"), list(_parameters()))
def test_kernel(benchmark, limits, case, library, threads):
    module = libraries.load(library)
    with module.threads(threads):
        call = module.PREPARE[case.kernel](case.inputs(SEED))
        error = case.check(call(), case.reference(SEED))
        benchmark.extra_info.update(
            version=module.VERSION,
            isa=module.ISA,
            threads=threads,
            flops=case.flops,
            bytes=case.bytes,
            error_epsilons=error,
        )
        benchmark(call)
    if benchmark.stats is not None:
        benchmark.extra_info.update(_rates(case, threads, limits, benchmark.stats.stats.median))


def _rates(case, threads, limits, seconds):
    """Return GFLOP/s, GB/s, and the fraction of the machine's limit."""
    rates = {"gflops": case.flops / seconds / 1e9, "gbytes": case.bytes / seconds / 1e9}
    kind = case.limit
    if kind and limits:
        rate = rates["gflops" if kind == "fma" else "gbytes"]
        limit = limits.limit(kind, case.dtype, case.working_set, threads)
        rates |= {"limit": kind, "fraction_of_limit": rate / limit}
    return rates


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(case.group, marks=pytest.mark.benchmark(group=case.group, **TIMING))
        for case in DEFAULT
        if case.kernel.startswith("call_")
    ],
)
def test_empty_call(benchmark, group):
    """Time an empty Python function, to compare with the smallest kernels."""
    assert benchmark(lambda: ()) == ()
