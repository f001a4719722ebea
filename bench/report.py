"""Collect the workers' measurements into rows and print them as a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from .cases import Case
from .machine import Machine

OURS = "fastnn"
FAIRNESS = """\
Method: each library runs in a separate process, in turns over all rounds, with the same number of
threads (set by its environment and its own call), the same new random data, and out= if available.
Results are checked against float64 before timing. Caches are warm, nothing is pinned. Each library
uses the instruction set it chooses for itself (in brackets in the line of libraries), or AVX2 if
FASTNN_ISA=avx2. Times are medians over the rounds of each round's median call. ratio = time of the
fastest peer / time of fastnn: above 1, fastnn is faster; (min) is the ratio of the minimum times.
The limit is what this machine reached in the same run: the FMA peak for products, read bandwidth
for products of one row, otherwise the bandwidth at the case's working set;
a copy counts bytes read and written."""
# A ratio this little below 1 may be noise; the WORST rows below 1 are listed at the end.
NOISE, WORST = 0.97, 10


@dataclass
class Run:
    """The results of all workers.

    Attributes
    ----------
    machine : Machine
        The machine, with the best limits of all rounds.
    versions : dict
        Name and version of each library.
    failures : list of str
        Cases and workers that failed, and why.
    times : dict
        ``times[group, threads][library]``: a dict of "min", "median" and "error" per round.
    empty : dict
        ``empty[library]``: minimum seconds of an empty call.
    """

    machine: Machine
    versions: dict[str, str]
    failures: list[str]
    times: dict[tuple[str, int], dict[str, list[dict[str, float]]]] = field(default_factory=dict)
    empty: dict[str, float] = field(default_factory=dict)

    def fail(self, what: str) -> None:
        """Record a failure once, even if every round has it."""
        if what not in self.failures:
            self.failures.append(what)

    def add(self, library: str, threads: int, answer: dict[str, Any]) -> None:
        """Add the results of a library's worker."""
        isa = f" ({answer['isa']})" if answer["isa"] else ""
        self.versions[library] = answer["version"] + isa
        self.empty[library] = min(answer["empty"], self.empty.get(library, math.inf))
        for group, figures in answer["results"].items():
            if "failed" in figures:
                self.fail(f"{library}, {threads} threads, {group}: {figures['failed']}")
            else:
                at = self.times.setdefault((group, threads), {})
                at.setdefault(library, []).append(figures)


@dataclass
class Row:
    """One case with one number of threads; seconds per call, by library.

    ``rate`` is fastnn's GFLOP/s or GB/s (``unit``), or the fastest peer's if fastnn is absent;
    ``fraction`` is its fraction of the machine's limit; ``over_empty`` is the cost of a call above
    that of an empty Python function, in seconds.
    """

    case: Case
    threads: int
    median: dict[str, float]
    least: dict[str, float]
    error: dict[str, float]
    best_peer: str | None
    ratio: float | None
    ratio_of_least: float | None
    rate: float | None
    unit: str
    fraction: float | None
    over_empty: float | None


def summarize(run: Run, cases: Iterable[Case], threads: Iterable[int]) -> list[Row]:
    """Return a row for each case and thread count that some library finished."""
    keys = [(case, n) for case in cases for n in threads if (case.group, n) in run.times]
    return [_row(run, case, n) for case, n in keys]


def _row(run: Run, case: Case, threads: int) -> Row:
    rounds = run.times[case.group, threads]
    median = {name: statistics.median(f["median"] for f in found) for name, found in rounds.items()}
    least = {name: min(f["min"] for f in found) for name, found in rounds.items()}
    error = {name: max(f["error"] for f in found) for name, found in rounds.items()}
    peers = [name for name in median if name != OURS]
    best = min(peers, key=median.__getitem__) if peers else None
    ratio = ratio_of_least = None
    if OURS in median and best is not None:
        ratio = median[best] / median[OURS]
        ratio_of_least = min(least[peer] for peer in peers) / least[OURS]
    shown = OURS if best is None or OURS in median else best
    seconds = median[shown]
    limit = case.limit
    work, unit = (case.flops, "GFLOP/s") if limit == "fma" else (case.bytes, "GB/s")
    rate = fraction = None
    if limit:
        rate = work / seconds / 1e9
    if rate and limit and str(threads) in run.machine.fma.get(case.dtype, ()):
        fraction = rate / run.machine.limit(limit, case.dtype, case.working_set, threads)
    return Row(
        case=case,
        threads=threads,
        median=median,
        least=least,
        error=error,
        best_peer=best,
        ratio=ratio,
        ratio_of_least=ratio_of_least,
        rate=rate,
        unit=unit if limit else "",
        fraction=fraction,
        over_empty=None if limit else least[shown] - run.empty[shown],
    )


def geometric_mean(values: list[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def _time(seconds: float | None) -> str:
    """Format seconds in at most eight characters: "235 ns", "1.07 ms"."""
    if seconds is None:
        return "-"
    for unit, scale in (("ns", 1e9), ("us", 1e6), ("ms", 1e3)):
        if seconds * scale < 999.5:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def _of_limit(row: Row) -> str:
    if row.over_empty is not None:
        return f"{row.over_empty * 1e9:.0f} ns over an empty call"
    part = "" if row.fraction is None else f" {row.fraction:4.0%} of {row.case.limit}"
    return f"{row.rate:6.1f} {row.unit:7}{part}"


def _ratio(row: Row) -> str:
    if row.ratio is None or row.ratio_of_least is None:
        return "-"
    return f"{row.ratio:.2f} ({row.ratio_of_least:.2f})"


def _table(cells: list[list[str]]) -> list[str]:
    """Align columns; the first and the last are left-justified."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _means(rows: list[Row], what: str, key: Callable[[Row], str]) -> list[str]:
    """Return geometric means of the ratios, by kind of row and number of threads, and of all."""
    threads = list(dict.fromkeys(row.threads for row in rows))
    kinds = list(dict.fromkeys(map(key, rows)))

    def mean(kind: str | None, n: int | None) -> str:
        ratios = [
            row.ratio
            for row in rows
            if row.ratio and kind in (None, key(row)) and n in (None, row.threads)
        ]
        return f"{geometric_mean(ratios):.2f}" if ratios else "-"

    columns: list[int | None] = [*threads, None]
    header = [f"geometric mean by {what}", *[f"{n} thr" for n in threads], "all", ""]
    lines = [[kind or "all", *[mean(kind, n) for n in columns], ""] for kind in (*kinds, None)]
    return [*_table([header, *lines]), ""]


def _kind(row: Row) -> str:
    """Classify the shape (m, k, n) of a product: peers do well at some kinds only."""
    m, k, n = row.case.shape
    if m == 1:
        return "m = 1"
    if n == 10:
        return "n = 10"
    if not m == k == n:
        return "others"
    if n < 64:
        return "cubes below 64"
    return "cubes 64 to 256" if n < 512 else "cubes from 512"


def _behind(rows: list[Row]) -> list[str]:
    """Report how many rows have a ratio below 1, and the worst of them."""
    compared = [row for row in rows if row.ratio is not None]
    slower = sorted((row for row in compared if row.ratio < 1), key=lambda row: row.ratio)
    clearly = sum(row.ratio < NOISE for row in slower)
    lines = [f"{len(slower)} of {len(compared)} rows below 1.00, {clearly} of them below {NOISE}"]
    if slower:
        cells = [
            [r.case.group, f"{r.threads} thr", _ratio(r), r.best_peer or "-", _of_limit(r)]
            for r in slower[:WORST]
        ]
        lines += ["worst:", *_table(cells)]
    return [*lines, ""]


def _cliffs(rows: list[Row]) -> list[str]:
    """Report the worst increase in time between networks of neighboring widths."""
    lines = []
    for n in dict.fromkeys(row.threads for row in rows):
        times = [row.median for row in rows if row.case.kernel == "mlp" and row.threads == n]
        worst = {
            library: max(wider[library] / narrower[library] for narrower, wider in pairwise(times))
            for library in (times[0] if len(times) > 1 else ())
            if all(library in medians for medians in times)
        }
        if worst:
            steps = ", ".join(f"{library} x {step:.2f}" for library, step in worst.items())
            lines.append(f"largest step between neighbouring widths of mlp, {n} thr: {steps}")
    return [*lines, ""] if lines else []


def _summary(rows: list[Row]) -> list[str]:
    """Summarize the rows."""
    products = [row for row in rows if row.case.kernel == "matmul"]
    return [
        *_means(rows, "kernel", lambda row: row.case.kernel),
        *(_means(products, "layout", lambda row: row.case.layout) if products else []),
        *(_means(products, "shape of matmul", _kind) if products else []),
        *_cliffs(rows),
        *_behind(rows),
    ]


def format_report(run: Run, rows: list[Row], libraries: list[str]) -> str:
    """Return the table, the means, the method, the failures and the machine as text."""
    if OURS not in libraries:
        libraries = [OURS, *libraries]
    header = ["case", "thr", *libraries, "best peer", "ratio (min)", "rate and part of the limit"]
    cells = [
        [
            row.case.group,
            str(row.threads),
            *[_time(row.median.get(name)) for name in libraries],
            row.best_peer or "-",
            _ratio(row),
            _of_limit(row),
        ]
        for row in rows
    ]
    parts = [*_table([header, *cells]), "", *_summary(rows), FAIRNESS, ""]
    if run.failures:
        parts += ["FAILED:", *run.failures, ""]
    parts.append("libraries: " + ", ".join(run.versions.values()))
    parts += run.machine.lines()
    return "\n".join(parts)


def as_json(run: Run, rows: list[Row]) -> dict[str, Any]:
    """Return all measurements of all rounds, and the results, for JSON."""
    return {
        "machine": asdict(run.machine),
        "versions": run.versions,
        "empty_call": run.empty,
        "failures": run.failures,
        "rows": [
            {
                **asdict(row),
                **asdict(row.case),
                "case": row.case.group,
                "limit": row.case.limit,
                "flops": row.case.flops,
                "bytes": row.case.bytes,
                "rounds": run.times[row.case.group, row.threads],
            }
            for row in rows
        ],
    }
