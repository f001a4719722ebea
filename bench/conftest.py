"""Hand the samples that the worker processes take to pytest-benchmark, and write the report."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import pytest

from fastnn.bench import command, environment, report

RUNNER = pytest.StashKey()
CLOCKS = pytest.StashKey()
# pytest-benchmark's own default is a second for each test, and there are hundreds.
MAX_TIME, QUICK_MAX_TIME = Decimal("0.25"), Decimal("0.01")


def pytest_addoption(parser):
    group = parser.getgroup("bench", "comparisons with other libraries")
    command.add_options(group.addoption)
    group.addoption(
        "--bench-report", metavar="DIR", default="bench-report",
        help="folder of the report (default: %(default)s; '' for none)",
    )  # fmt: skip


def pytest_configure(config):
    option = config.option
    if "--benchmark-max-time" not in " ".join(map(str, config.invocation_params.args)):
        option.benchmark_max_time = QUICK_MAX_TIME if option.quick else MAX_TIME
    if option.quick:
        option.benchmark_min_rounds = 3


def pytest_collection_modifyitems(items):
    """Sort the tests by threads and case: a case's libraries have their turns together."""
    order = {item: i for i, item in enumerate(items)}
    items.sort(key=lambda item: (item.callspec.params["threads"], order[item]))


def runner_of(config):
    """Return the session's runner, made at the first call."""
    if RUNNER not in config.stash:
        option = config.option
        option.k = []
        config.stash[RUNNER] = command.prepare(option)
        config.stash[CLOCKS] = environment.clocks()
    return config.stash[RUNNER]


@pytest.fixture(scope="session")
def runner(request):
    """Return the runner of the worker processes."""
    found = runner_of(request.config)
    yield found
    found.close()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Write the report, if anything was timed."""
    config = session.config
    folder = config.getoption("bench_report")
    if RUNNER not in config.stash:
        return
    found = config.stash[RUNNER]
    found.close()
    if folder and found.results.measured:
        found.footprints(command.FIRST_CALL)
        clocks = environment.compare_clocks(config.stash[CLOCKS], environment.clocks())
        found.results.environment |= clocks
        report.save(found.results, Path(folder))


def pytest_terminal_summary(terminalreporter, config):
    folder = config.getoption("bench_report")
    if RUNNER in config.stash and config.stash[RUNNER].results.measured and folder:
        terminalreporter.section("fastnn bench")
        for line in report.summary(config.stash[RUNNER].results):
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"report: {Path(folder) / 'index.html'}")


class Samples:
    """The blocks of one library for one case, as pytest-benchmark asks for them.

    pytest-benchmark reads a clock before and after each call, which runs by the samples of the
    workers. When they are used up, every library of the case has a turn, so that rounds stay
    interleaved however many of them pytest-benchmark takes.
    """

    def __init__(self, runner, case, library):
        self.runner, self.case, self.library = runner, case, library
        self.row, self.used, self.now = runner.row(case), 0, 0.0

    def block(self):
        """Return the seconds per call of the next sample."""
        while len(found := self.found()) <= self.used:
            self.runner.turn(self.case)
            if self.library in self.row.failed:
                pytest.fail(self.runner.results.failures[-1], pytrace=False)
        self.used += 1
        return found[self.used - 1]

    def found(self):
        return self.row.samples(self.library) if self.library in self.row.times else []

    def measure(self, benchmark):
        """Let pytest-benchmark take its rounds: each is one block of calls."""
        first = self.block()
        self.used = 0  # it only told how long a block is
        calls = max(1, round(self.runner.settings.seconds / first))

        def sample():
            self.now += self.block() * calls

        benchmark._timer = lambda: self.now
        benchmark._calibrate_timer = lambda runner: (first * calls, calls, range(1))
        benchmark(sample)


@pytest.fixture
def measured(runner, benchmark):
    """Return a function that measures or checks a case with a library and threads."""

    def measure(case, library, threads):
        if threads != runner.threads:
            runner.use_threads(threads)
            if benchmark.enabled:
                runner.limits()
        if library not in runner.workers or library not in runner.having(case):
            pytest.fail(f"{library} did not start", pytrace=False)
        row = runner.row(case)
        if benchmark.disabled:
            start = time.perf_counter()
            runner.turn(case, [library], samples=0)
            benchmark(lambda: time.perf_counter() - start)
        else:
            Samples(runner, case, library).measure(benchmark)
        if library in row.failed:
            pytest.fail(runner.results.failures[-1], pytrace=False)
        return row

    return measure
