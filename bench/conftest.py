"""pytest's side: the machine in the summary, each library's tests in one block."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from . import libraries, machine

LIMITS = pytest.StashKey[list[str]]()


def pytest_report_header(config):
    versions = ", ".join(f"{name} {version(name)}" for name in libraries.available())
    return f"bench: {machine.cpu_name()}, {machine.all_threads()} CPUs; {versions}"


def pytest_collection_modifyitems(items):
    """One library after the other, one thread count after the other.

    The pools of threads of two libraries spin after their work and disturb each other, so calls of
    different libraries must not alternate.
    """

    def block(item):
        params = item.callspec.params if hasattr(item, "callspec") else {}
        return params.get("library", ""), params.get("threads", 0)

    items.sort(key=block)


@pytest.fixture(scope="session")
def limits(request):
    """The machine's limits, or None where there is no C compiler; shown in the summary."""
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
