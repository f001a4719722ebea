"""What was measured: samples of each case and library, and what they come to."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from . import statistics
from .cases import OPERATIONS, BenchError, Case, case_of
from .libraries import LIBRARIES, OURS
from .machine import Machine

SCHEMA = 1
AGAIN = "fastnn again"  # the second process of fastnn: the A/A run


def middle(turns: list[list[float]]) -> float:
    """Return the median over the turns of a turn's median."""
    return median(map(median, turns))


@dataclass
class Row:
    """One case with one number of threads."""

    case: Case
    threads: int
    # times[library][turn]: seconds per call in each block
    times: dict[str, list[list[float]]] = field(default_factory=dict)
    # the largest error, in epsilons of the type times the result's largest magnitude
    errors: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)  # gave a wrong result or none
    turns: int = 0

    def add(self, library: str, answer: dict[str, Any]) -> None:
        """Add the samples of a turn."""
        if library != AGAIN:
            self.errors[library] = answer["error"]
        if answer["seconds"]:
            per_call = [seconds / answer["calls"] for seconds in answer["seconds"]]
            self.times.setdefault(library, []).append(per_call)

    def samples(self, library: str) -> list[float]:
        return [seconds for turn in self.times[library] for seconds in turn]

    @property
    def medians(self) -> dict[str, float]:
        """Return seconds per call of each library: the median of its turns' medians."""
        return {name: middle(turns) for name, turns in self.times.items() if name != AGAIN}

    @property
    def best_peer(self) -> str | None:
        """Return the fastest of the peers that compute with as many bits."""
        peers = [n for n in self.medians if n != OURS and not LIBRARIES[n].lossy]
        return min(peers, key=lambda n: self.ratio(n) or self.medians[n], default=None)

    def ratio(self, peer: str | None = None) -> float | None:
        """Return the time of a peer (the fastest) / fastnn's: above 1, fastnn is faster."""
        peer = peer or self.best_peer
        if peer not in self.times or OURS not in self.times:
            return None
        return statistics.paired_ratio(self.times[peer], self.times[OURS])

    @property
    def again(self) -> float | None:
        """Return the ratio of fastnn's second process to its first: noise."""
        return self.ratio(AGAIN)

    def differs(self, peer: str, noise: float) -> bool:
        """Return True if a peer's time is not fastnn's, by more than noise and not by chance."""
        return statistics.differs(
            *statistics.relative(self.times[peer], self.times[OURS]), self.ratio(peer), noise
        )

    def work(self) -> tuple[float, str]:
        """Return the work of a call and the unit of its rate."""
        is_fma = self.case.limit == "fma"
        return (self.case.flops, "GFLOP/s") if is_fma else (self.case.bytes, "GB/s")


@dataclass
class Family:
    """The verdict on a family of kernels: fastnn against the fastest peer of each row."""

    name: str
    threads: int | None
    rows: int
    ratio: float
    low: float
    high: float
    least: Row

    @property
    def verdict(self) -> str:
        return statistics.verdict(self.low, self.high)


@dataclass
class Results:
    """A run: everything measured, and where."""

    environment: dict[str, Any] = field(default_factory=dict)
    machine: Machine = field(default_factory=lambda: Machine("", "", {}, {}, {}))
    peaks: dict[str, list[float]] = field(default_factory=dict)
    # what is known of each: version, isa, seconds of an empty call, of the import and of the first
    # call, peak memory, installed bytes
    libraries: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # libraries asked for and not installed
    failures: list[str] = field(default_factory=list)  # wrong results and failed processes
    left_out: list[str] = field(default_factory=list)  # cases there was no time for
    rows: list[Row] = field(default_factory=list)

    def fail(self, what: str) -> None:
        """Record a failure once, even if every turn has it."""
        if what not in self.failures:
            self.failures.append(what)

    def learn(self, library: str, facts: dict[str, Any]) -> None:
        """Add facts about a library; of times the least is kept."""
        known = self.libraries.setdefault(library, {})
        for name, value in facts.items():
            if name in ("empty", "import", "first") and name in known:
                value = min(value, known[name])
            if name != "kernels":
                known[name] = value

    def add_limits(self, found: dict[str, Any], threads: int) -> None:
        """Raise the machine's limits to these; every peak is kept, to see it drift."""
        limits = Machine(**found)
        self.machine.cpu, self.machine.isa = limits.cpu, limits.isa
        self.machine.raise_to(limits)
        self.peaks.setdefault(str(threads), []).append(limits.fma["float32"][str(threads)])

    def row(self, case: Case, threads: int) -> Row:
        """Return the row of a case, made if it is new."""
        for row in self.rows:
            if row.case == case and row.threads == threads:
                return row
        self.rows.append(Row(case, threads))
        return self.rows[-1]

    @property
    def measured(self) -> list[Row]:
        """Return the rows that some library finished, in the order of the families."""
        order = {kernel: i for i, kernel in enumerate(OPERATIONS)}
        rows = [row for row in self.rows if row.medians]
        return sorted(rows, key=lambda row: (order[row.case.kernel], row.threads))

    @property
    def names(self) -> list[str]:
        """Return the libraries that finished a row."""
        return [name for name in LIBRARIES if any(name in row.times for row in self.rows)]

    @property
    def threads(self) -> list[int]:
        return sorted({row.threads for row in self.rows})

    @property
    def noise(self) -> float:
        """Return the noise as a fraction, from the A/A run; NaN if there was none."""
        return statistics.noise_of([row.again for row in self.rows if row.again is not None])

    @property
    def noise_apart(self) -> float:
        """Return the noise of times that do not follow each other in turns."""
        both = [row.times for row in self.rows if AGAIN in row.times and OURS in row.times]
        return statistics.noise_of([middle(of[AGAIN]) / middle(of[OURS]) for of in both])

    def says(self, row: Row) -> str:
        """Return "faster" or "slower" than the fastest peer, or "" within the noise."""
        peer, ratio = row.best_peer, row.ratio()
        if peer is None or ratio is None:
            return ""
        if not row.differs(peer, self.noise):
            return ""
        return "faster" if ratio > 1 else "slower"

    def families(self, by_threads: bool = False) -> list[Family]:
        """Return the verdict on each family, over all numbers of threads or for each."""
        groups: dict[tuple[str, int | None], list[tuple[float, Row]]] = {}
        for row in self.measured:
            if ratio := row.ratio():
                key = row.case.family, row.threads if by_threads else None
                groups.setdefault(key, []).append((ratio, row))
        found, noise = [], self.noise
        for (name, threads), rows in groups.items():
            ratios, (_, least) = [ratio for ratio, _ in rows], min(rows, key=lambda pair: pair[0])
            mean, bounds = statistics.geometric_mean(ratios), statistics.interval(ratios, noise)
            found.append(Family(name, threads, len(rows), mean, *bounds, least))
        return found

    def against(self, family: str, peer: str) -> float | None:
        """Return the geometric mean of the ratios to one peer in a family."""
        rows = [row.ratio(peer) for row in self.measured if row.case.family == family]
        ratios = [ratio for ratio in rows if ratio]
        return statistics.geometric_mean(ratios) if ratios else None

    def rate(self, row: Row, library: str) -> tuple[float, str, float | None]:
        """Return a library's rate, its unit, and its part of the machine's limit if known."""
        (work, unit), limit = row.work(), row.case.limit
        rate = work / row.medians[library] / 1e9
        if not limit or str(row.threads) not in self.machine.fma.get(row.case.dtype, ()):
            return rate, unit, None
        most = self.machine.limit(limit, row.case.dtype, row.case.working_set, row.threads)
        return rate, unit, rate / most

    def over_empty(self, row: Row, library: str) -> float:
        """Return the seconds of a call above those of an empty Python function."""
        least = min(row.samples(library))
        return least - float(self.libraries.get(library, {}).get("empty", 0.0))

    # Files

    def as_json(self, condensed: bool = False) -> dict[str, Any]:
        """Return everything for JSON; condensed, a turn is its quartiles and median alone."""
        keep, found = statistics.quartiles if condensed else list, asdict(self)
        for row in found["rows"]:
            for turns in row["times"].values():
                turns[:] = [[float(f"{x:.4g}") for x in keep(turn)] for turn in turns]
        return {"schema": SCHEMA, **found}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Results:
        """Return the results that `as_json` gave."""
        rows = [
            Row(**{**row, "case": case_of(row["case"])})
            for row in found["rows"]
            if row["case"]["kernel"] in OPERATIONS
        ]
        more = {k: v for k, v in found.items() if k not in ("schema", "machine", "rows")}
        return cls(machine=Machine(**found["machine"]), rows=rows, **more)


def read(path: Path) -> Results:
    """Read results.

    Raises
    ------
    BenchError
        When the file is not what this version of `fastnn bench` writes.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["schema"] == SCHEMA:
            return Results.from_json(found)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise BenchError(f"{path} is not a results.json of this version of fastnn bench")


def write(path: Path, content: str) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(content, "utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def dump(results: Results, condensed: bool = False) -> str:
    """Return the results as text, a row a line, for diffs that can be read."""
    found = results.as_json(condensed)
    rows = found.pop("rows")
    head = json.dumps(found, indent=1, default=str)[:-2]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    return f'{head},\n "rows": [\n{lines}\n]}}\n'


@dataclass
class Change:
    """fastnn's time of a row beside that of an older run."""

    row: Row
    ratio: float  # old / new time, by the peers' times: above 1, it has become faster

    @property
    def says(self) -> str:
        return "faster" if self.ratio > 1 else "slower"


def compare(new: Results, old: Results) -> tuple[list[Change], int]:
    """Return the rows in which fastnn's time differs, worst first, and how many were compared.

    Times are relative to those of a peer in the same turns, that one of the peers of both runs
    which says the middle: what made the machine slower is no change of fastnn. A difference is
    larger than the noise of both runs, and by Mann-Whitney's test no chance. Without a peer the
    times themselves are compared.
    """
    found, compared = [], 0
    before = {(row.case, row.threads): row for row in old.rows}
    noise, apart = (
        math.expm1(math.hypot(*(math.log1p(x) for x in pair if not math.isnan(x))))
        for pair in ((new.noise, old.noise), (new.noise_apart, old.noise_apart))
    )
    for row in new.measured:
        was = before.get((row.case, row.threads))
        if was is None or OURS not in row.times or OURS not in was.times:
            continue
        compared += 1
        peers = [n for n in row.medians if n in was.medians and not LIBRARIES[n].is_ours]
        if peers:
            ratios = {n: (row.ratio(n) or 1.0) / (was.ratio(n) or 1.0) for n in peers}
            peer = sorted(ratios, key=ratios.__getitem__)[len(peers) // 2]
            ratio = ratios[peer]
            a, b = (statistics.relative(r.times[OURS], r.times[peer])[0] for r in (row, was))
        else:
            ratio = was.medians[OURS] / row.medians[OURS]
            a, b = row.samples(OURS), was.samples(OURS)
        if statistics.differs(a, b, ratio, noise if peers else apart):
            found.append(Change(row, ratio))
    return sorted(found, key=lambda change: change.ratio), compared
