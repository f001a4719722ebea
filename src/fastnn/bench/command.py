"""`fastnn bench`: measure, report, compare with an older run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from . import environment, report
from .cases import BenchError, Case, cases_of, select
from .families import FAMILIES
from .libraries import LIBRARIES, OURS
from .machine import all_threads
from .results import Change, Results, compare, read
from .runner import QUICK, Runner, Settings, find

# Seconds of measuring in a quick run; starting the libraries and the report come on top.
QUICK_SECONDS = 60
FAILED, ERROR, SLOWER = 1, 2, 3
FIRST_CALL = next(case for case in cases_of("networks") if case.kernel == "forward")


def words(text: str) -> list[str]:
    """Return the words of "numpy,torch"."""
    return [word for word in text.replace(",", " ").split() if word]


def names(kind: str, known: Iterable[str], also: Iterable[str] = ()) -> Callable[[str], list[str]]:
    """Return a parser of names like "numpy,torch"; argparse's error lists the known ones."""

    def parse(text: str) -> list[str]:
        if unknown := [word for word in words(text) if word not in {*known, *also}]:
            raise argparse.ArgumentTypeError(
                f"no {kind} {unknown[0]!r}; there are {', '.join(known)}"
            )
        return words(text)

    return parse


peers = names("library", LIBRARIES, [library.modules[0] for library in LIBRARIES.values()])
families = names("family", FAMILIES)


def counts(text: str) -> list[int]:
    """Return the thread counts of "1,2"."""
    if not words(text) or not all(word.isdecimal() and int(word) for word in words(text)):
        raise argparse.ArgumentTypeError(f"thread counts are like 1 or 1,2, and not {text!r}")
    return sorted({int(word) for word in words(text)})


def add_options(call: Callable[..., Any]) -> None:
    """Add the options that `fastnn bench` and `pytest bench` share by a parser's function."""
    call("--quick", action="store_true", help="a few cases, short samples: about 60 s")
    call("--peers", type=peers, metavar="A,B", help="libraries to compare with (default: all)")
    call("--threads", type=counts, metavar="N,M", help="thread counts (default: 1 and all CPUs)")
    call("--isa", default="", metavar="SET", help="fastnn's instruction set, as in FASTNN_ISA")
    call("--family", type=families, metavar="A,B", help=f"families: {', '.join(FAMILIES)}")
    call("--full", action="store_true", help="every case")
    call("--python-peers", metavar="PYTHON", help="interpreter that has PyTorch and other peers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `fastnn bench`."""
    add_options(parser.add_argument)
    parser.add_argument("-k", nargs="+", default=[], metavar="PART", help="cases by part of a name")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each library at a case")
    parser.add_argument(
        "--report", type=Path, default=Path("bench-report"), metavar="DIR",
        help="folder of index.html, report.md, results.json (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="flag what has changed")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="file", help="measure nothing")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--check", action="store_true", help="each case once, checked, not timed")


def settings(options: argparse.Namespace) -> Settings:
    """Return how to measure."""
    given = dict(QUICK) if options.quick else {}
    if getattr(options, "rounds", None):
        given["rounds"] = options.rounds
    threads = options.threads or sorted({1, all_threads()})
    return Settings(tuple(threads), isa=options.isa, **given)


def chosen(options: argparse.Namespace) -> list[Case]:
    """Return the cases; BenchError names a pattern without one."""
    tier = "full" if options.full else "quick" if options.quick else "default"
    return select(tier, options.family or (), options.k)


def prepare(options: argparse.Namespace) -> Runner:
    """Return a runner for the libraries that were found."""
    found, missing = find(options.peers or (), options.python_peers, options.quick)
    results = Results(environment=environment.collect(), missing=missing)
    for name in found:
        results.learn(name, {"installed": environment.installed_bytes(name)})
    return Runner(found, settings(options), results, say)


def say(line: str) -> None:
    """Show progress: in place on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}"[:100], end="", file=sys.stderr, flush=True)


def measure(runner: Runner, cases: list[Case]) -> None:
    """Measure everything, and what the machine did in the meantime."""
    start, quick = environment.clocks(), runner.settings.quick
    runner.measure(cases, QUICK_SECONDS if quick else None)
    runner.footprints(FIRST_CALL)
    runner.results.environment |= environment.compare_clocks(start, environment.clocks())
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)


def check(runner: Runner, cases: list[Case]) -> None:
    """Check every case of every library, without timing."""
    for threads in runner.settings.threads:
        runner.use_threads(threads)
        for case in cases:
            runner.turn(case, samples=0)
    runner.close()


def run(options: argparse.Namespace) -> int:
    """Run `fastnn bench`.

    Returns
    -------
    int
        0; 1 if a result of fastnn was wrong or its process failed, with ``--check`` a peer's, too;
        3 if, with ``--compare``, fastnn has become slower in a row.

    Raises
    ------
    BenchError
        For a pattern without a case, and a file that is no results.json.
    """
    old = read(options.compare) if options.compare else None
    if options.file:
        results = read(options.file)
    else:
        cases = chosen(options)
        if options.list:
            print("\n".join(case.name for case in cases))
            return 0
        runner = prepare(options)
        results = runner.results
        try:
            check(runner, cases) if options.check else measure(runner, cases)
        finally:
            runner.close()
        if options.check:
            print("\n".join(results.failures) or f"{len(results.rows)} rows are right")
            return FAILED if results.failures else 0
    report.save(results, options.report, old)
    print("\n".join(report.summary(results)))
    print(f"report: {options.report / 'index.html'}")
    changes: list[Change] = []
    if old:
        changes, number = compare(results, old)
        print(f"{len(changes)} of {number} rows changed since {options.compare}")
        for change in changes:
            print(f"  {change.says}, old / new {change.ratio:.2f}: {change.row.case.name}, "
                  f"{change.row.threads} threads")  # fmt: skip
    if any(what.startswith(OURS) for what in results.failures):  # a wrong peer is in the report
        return FAILED
    return SLOWER if any(change.says == "slower" for change in changes) else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command without the rest of fastnn's: ``python -m bench``."""
    parser = argparse.ArgumentParser(prog="fastnn bench", description=__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except (BenchError, OSError, ModuleNotFoundError) as error:
        print(f"fastnn bench: error: {error}", file=sys.stderr)
        return ERROR
