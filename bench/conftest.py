"""Run each library's tests in one block, and show the machine in pytest's summary."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from . import libraries, machine

LIMITS = pytest.StashKey[list[str]]()


def pytest_report_header(config):
    versions = ", ".join(f"{name} {version(name)}" for name in libraries.available())
    return f"bench: {machine.cpu_name()}, {machine.all_threads()} CPUs; {versions}"


def pytest_collection_modifyitems(items):
    """Sort the tests by library, then by number of threads.

    The thread pools of a library keep spinning after its work and disturb others, so calls of
    different libraries must not alternate.
    """

    def block(item):
        params = item.callspec.params if hasattr(item, "callspec") else {}
        return params.get("library", ""), params.get("threads", 0)

    items.sort(key=block)


@pytest.fixture(scope="session")
def limits(request):
    """Return the machine's limits, or None without a C compiler; shown in the summary."""
    threads = sorted({1, machine.all_threads()})
    quick = request.config.getoption("benchmark_disable")
    isa = libraries.load("fastnn").ISA if "fastnn" in libraries.available() else None
    try:
        measured = machine.measure(threads, quick, isa)
    except machine.MachineError as error:
        request.config.stash[LIMITS] = [str(error)]
        return None
    request.config.stash[LIMITS] = measured.lines()
    return measured


def pytest_terminal_summary(terminalreporter, config):
    if LIMITS in config.stash:
        terminalreporter.section("limits of this machine")
        for line in config.stash[LIMITS]:
            terminalreporter.write_line(line)
