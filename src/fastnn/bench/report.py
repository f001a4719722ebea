"""Print results: `index.html` and `report.md` of a run, and a few lines for the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from .libraries import LIBRARIES, OURS
from .results import Family, Results, Row, compare, dump, write
from .svg import Chart, css, legend_mark, place

TEMPLATES = Path(__file__).with_name("templates")
LONGEST, WORST = 4.0, 10  # a bar's length at most, over the shortest; rows listed as worst
ROOFLINE = """\
A dot is a case in float32 by one library; the dashed lines are what this machine reached in the
same run. The pointer on a dot shows its name. Work that stays in a cache may lie above the line of
memory."""
LIBRARY = """\
Installed: with all that the library needs, as it is here. Import: in a process that has imported
nothing. First call: a forward pass of a small network, its model made and compiled, where the
library has one. Peak memory: of that process, with Python and NumPy."""
METHOD = """\
Each library runs in a process of its own. The processes take turns at each case and are stopped
between their turns, so that no pool of threads disturbs another. All get the same number of
threads, the same fresh random data and out= where they have it, and choose their instruction set
themselves. A result is compared with a float64 reference before it is timed. Caches are warm and
nothing is pinned. A time is the median over the turns of the median call of a turn. A ratio is the
time of the fastest peer / the time of fastnn in the same turn (of its blocks of calls the lower
quartile), and of these the median over the turns: above 1, fastnn is faster. A difference is larger
than noise and, by Mann-Whitney's test, no chance (p < 0.01). Libraries that compute in fewer bits
are shown and do not count as peers. Intervals are 95 % bootstrap intervals over the cases of a
family."""


def seconds(value: float | None) -> str:
    """Return "235 ns", "1.07 ms"."""
    if value is None:
        return ""
    for unit, scale in (("ns", 1e9), ("µs", 1e6), ("ms", 1e3)):
        if abs(value) * scale < 999.5:
            return f"{value * scale:.3g} {unit}"
    return f"{value:.3g} s"


def megabytes(value: float | None) -> str:
    return f"{value / 1e6:,.0f} MB" if value else ""


def title(library: str) -> str:
    return LIBRARIES[library].title if library in LIBRARIES else library


def noise_text(results: Results) -> str:
    """Return what the A/A run says."""
    noise = results.noise
    if math.isnan(noise):
        return "There was no second run of fastnn, so nothing is known about noise."
    return (
        f"Two processes of fastnn itself differ by less than {noise:.1%} in 98 % of the rows: a "
        f"ratio between {1 / (1 + noise):.2f} and {1 + noise:.2f} means nothing here."
    )


def drift_lines(results: Results) -> list[str]:
    """Return how the machine's peak moved during the run, and what else disturbed it."""
    lines = [
        f"FMA peak, threads {threads}: {peaks[0]:.0f} GFLOP/s at the start, {peaks[-1]:.0f} at the "
        f"end ({peaks[-1] / peaks[0] - 1:+.1%})"
        for threads, peaks in results.peaks.items()
    ]
    if results.machine.is_shared():
        lines.append("Other programs took part of the CPUs: measure again alone.")
    return lines


def roofline(results: Results, threads: int) -> Chart:
    """Return the roofline: a dot per case and library below the machine's measured limits."""
    name, x = f"Roofline with {threads} threads", "floating-point operations per byte"
    chart = Chart(name, x, "GFLOP/s")
    for row in results.measured:
        case = row.case
        if row.threads != threads or case.dtype != "float32" or not case.bytes or not case.limit:
            continue
        for name, taken in row.medians.items():
            rate = case.flops / taken / 1e9
            label = f"{case.name}, {title(name)}: {rate:.1f} GFLOP/s, {seconds(taken)}"
            chart.dot(name, case.flops / case.bytes, rate, label)
    machine, key = results.machine, str(threads)
    if chart.dots and key in machine.fma.get("float32", {}):
        peak = machine.fma["float32"][key]
        at = sorted(x for _, x, _, _ in chart.dots)
        left, right = at[0], at[-1]
        widest = max(rates[key] for rates in machine.read.values())
        # From its ridge for the fastest level on; the highest and the lowest bandwidth slope to it.
        chart.limits.append((f"FMA peak {peak:.0f}", [(peak / widest, peak), (right, peak)]))
        for level in ("256K", "256M"):
            rate = machine.read[level][key]
            end = min(peak / rate, right)
            label = f"{'cache' if level == '256K' else 'memory'} {rate:.0f} GB/s"
            if left < end:
                chart.limits.append((label, [(left, left * rate), (end, end * rate)]))
    return chart


class Table(NamedTuple):
    """Cells as text, where `...` is code and the name of a library gets its mark."""

    head: list[str]
    rows: list[list[str]]


@dataclass
class Section:
    """A part of both reports; the pictures of some are in the template of HTML."""

    title: str
    texts: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    code: list[str] = field(default_factory=list)


# Heads of columns that are aligned left; the first column of a table is, too.
LEFT = ("verdict", "least row", "fastest peer", "fastnn is", "library")
COLUMNS = ("library", "time", "over fastnn's", "rate", "of the limit", "error, eps")


def _bars(results: Results, row: Row) -> list[dict[str, Any]]:
    """Return a bar for each library in a row, the fastest first, and its cells in COLUMNS."""
    times, bars = row.medians, []
    lengths = {name: row.ratio(name) or times[name] for name in times}
    longest = min(max(lengths.values()), LONGEST * min(lengths.values()))
    for name in sorted(lengths, key=lengths.__getitem__):
        rate, unit, part = results.rate(row, name)
        cells = (
            title(name),
            seconds(times[name]),
            f"{lengths[name]:.2f}" if OURS in times else "",
            f"{rate:.3g} {unit}" if row.case.limit else "",
            f"{part:.0%}" if part is not None else "",
            f"{row.errors[name]:.3g}" if name in row.errors else "",
        )
        part_of_longest, is_lossy = lengths[name] / longest, LIBRARIES[name].lossy
        bar = {"name": name, "color": place(name), "is_lossy": is_lossy}
        bar |= {"width": min(part_of_longest, 1.0) * 100, "is_cut": part_of_longest > 1}
        bars.append({**bar, **dict(zip(COLUMNS, cells, strict=True))})
    return bars


def _cases(results: Results) -> dict[str, dict[str, Any]]:
    """Return each family's rows with their bars, and the same as a table."""
    found: dict[str, dict[str, Any]] = {}
    for row in results.measured:
        bars, says = _bars(results, row), results.says(row)
        over = seconds(results.over_empty(row, bars[0]["name"]))
        limit = {"fma": "FMA peak", None: f"{over} over an empty call"}
        notes = [limit.get(row.case.limit, row.case.limit), f"fastnn is {says}" if says else ""]
        of = found.setdefault(row.case.family, {"rows": []})
        of["rows"].append((row.case.name, str(row.threads), " · ".join(filter(None, notes)), bars))
    for of in found.values():
        of["columns"] = _columns([bar for row in of["rows"] for bar in row[3]], COLUMNS)
        cells = [
            [f"`{name}`" if bar is bars[0] else "", threads if bar is bars[0] else ""]
            + [bar[column] for column in of["columns"]]
            for name, threads, _, bars in of["rows"]
            for bar in bars
        ]
        of["table"] = Table(["case", "threads", *of["columns"]], cells)
    return found


def _columns(rows: list[dict[str, Any]], names: Iterable[str]) -> list[str]:
    """Return the names of the columns that are not empty."""
    return [name for name in names if any(row.get(name) for row in rows)]


def _verdicts(results: Results) -> Section:
    """Return the section of verdicts: families, each peer, numbers of threads."""
    families, peers = results.families(), [name for name in results.names if name != OURS]
    if not families:
        return Section("Verdict", ["There is no row that fastnn and a peer have both finished."])
    says = [results.says(row) for row in results.measured if row.ratio() is not None]
    text = (
        "Time of the fastest peer / time of fastnn; above 1, fastnn is faster. Of "
        f"{len(says)} rows fastnn is faster in {says.count('faster')} and slower in "
        f"{says.count('slower')}; the others differ by no more than noise."
    )

    def line(f: Family) -> list[str]:
        return [f.verdict, f"{f.ratio:.2f}", f"{f.low:.2f} - {f.high:.2f}", str(f.rows)]

    def least(f: Family) -> str:
        row = f.least
        return f"{row.ratio():.2f} `{row.case.name}` ({title(row.best_peer or '')})"

    def against(f: Family) -> list[str]:
        means = [results.against(f.name, peer) for peer in peers]
        return [f"{mean:.2f}" if mean else "" for mean in means]

    head = ["verdict", "ratio", "95 % interval", "rows"]
    rows = [[f.name, *line(f), least(f)] for f in families]
    tables = {"": Table(["family", *head, "least row"], rows)}
    means = [[f.name, *against(f)] for f in families]
    tables["Against each peer"] = Table(["family", *map(title, peers)], means)
    if len(results.threads) > 1:
        by_threads = results.families(by_threads=True)
        rows = [[f.name, str(f.threads), *line(f)] for f in by_threads]
        tables["By number of threads"] = Table(["family", "threads", *head], rows)
    return Section("Verdict", [text], tables=tables)


def _worst(results: Results) -> Section:
    """Return the rows in which a peer is faster than noise explains, worst first."""
    slower = [row for row in results.measured if results.says(row) == "slower"]
    rows = [
        [f"`{row.case.name}`", str(row.threads), f"{row.ratio():.2f}", title(row.best_peer or "")]
        for row in sorted(slower, key=lambda row: row.ratio() or 1.0)[:WORST]
    ]
    tables = {"": Table(["case", "threads", "ratio", "fastest peer"], rows)} if rows else {}
    return Section("Where a peer is faster", tables=tables)


def _changes(results: Results, old: Results) -> Section:
    changes, number = compare(results, old)
    text = f"Of {number} rows of fastnn, {len(changes)} changed by more than noise explains."
    rows = [[f"`{c.row.case.name}`", str(c.row.threads), f"{c.ratio:.2f}", c.says] for c in changes]
    tables = {"": Table(["case", "threads", "old / new time", "fastnn is"], rows)} if rows else {}
    return Section(f"Changes since {old.environment.get('date', '')}", [text], tables=tables)


def _libraries(results: Results) -> list[Section]:
    """Return what each library costs to have and to start, and how to get those missing."""
    rows = [
        {
            "library": title(name),
            "version": known.get("version", ""),
            "instruction set": known.get("isa", ""),
            "installed": megabytes(known.get("installed")),
            "import": seconds(known.get("import")),
            "first call": seconds(known.get("first")),
            "peak memory": megabytes(known.get("memory")),
        }
        for name in LIBRARIES
        if (known := results.libraries.get(name))
    ]
    columns = _columns(rows, rows[0] if rows else ())
    table = Table(columns, [[row[column] for column in columns] for row in rows])
    texts = [LIBRARY] if {"installed", "import", "first call"} & {*columns} else []
    lines = [f"pip install {LIBRARIES[name].packages}" for name in results.missing]
    return [
        Section("Libraries", texts, tables={"": table} if rows else {}),
        Section("Not installed, and compared if they are", code=list(dict.fromkeys(lines))),
    ]


def view(results: Results, old: Results | None = None) -> dict[str, Any]:
    """Return all that the templates show."""
    roofs = [(n, c.draw()) for n in results.threads if (c := roofline(results, n)).dots]
    sections = [
        _verdicts(results),
        _worst(results),
        *([_changes(results, old)] if old else []),
        Section("Failed", items=results.failures),
        Section("Left out, as time was up", items=results.left_out),
        Section("Roofline", [ROOFLINE] if roofs else []),
        Section("Noise", [noise_text(results)], drift_lines(results)),
        *_libraries(results),
        Section("Cases", ["The time of a call. Libraries that compute in fewer bits are paler."]),
        Section("Method", [METHOD]),
        Section("Machine", items=[f"{n}: {value}" for n, value in results.environment.items()]),
        Section("Limits", code=results.machine.lines() if results.machine.fma else []),
    ]
    return {
        "results": results,
        "environment": results.environment,
        "sections": [s for s in sections if s.texts or s.items or s.tables or s.code],
        "left": LEFT,
        "title": title,
        "marks": {title(name): legend_mark(name) for name in results.names},
        "cases": _cases(results),
        "roofs": roofs,
        "css": css(),
        "again": sorted(row.again for row in results.rows if row.again is not None),
    }


def _marked(cell: str, marks: dict[str, str]) -> str:
    """Return a cell as HTML: code, verdicts and the marks of libraries."""
    text = re.sub("`(.*?)`", r"<code>\1</code>", escape(cell))
    if cell in ("faster", "slower"):
        return f'<span class="{cell}">{text}</span>'
    return marks.get(cell, "") + text


def render(results: Results, old: Results | None = None) -> tuple[str, str]:
    """Return the report as HTML and as Markdown.

    Raises
    ------
    ModuleNotFoundError
        When Jinja2 is not installed; the message has the line that installs it.
    """
    try:
        import jinja2
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "the report is made with Jinja2: pip install 'fastnn-cpu[bench]'", name="jinja2"
        ) from None
    shown = view(results, old)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["marked"] = lambda cell: _marked(cell, shown["marks"])
    html = environment.get_template("index.html").render(shown)
    return html, environment.get_template("report.md.jinja").render(shown)


def save(results: Results, folder: Path, old: Results | None = None) -> None:
    """Write `index.html`, `report.md` and `results.json` into a folder."""
    html, markdown = render(results, old)
    write(folder / "index.html", html)
    write(folder / "report.md", markdown)
    write(folder / "results.json", dump(results))


def summary(results: Results) -> list[str]:
    """Return the verdicts as lines for the terminal, at most 100 columns wide."""
    lines = [
        f"{f.name:12} {f.ratio:5.2f}  [{f.low:.2f}, {f.high:.2f}]  {f.verdict:13} "
        f"{f.rows:3} rows, least {f.least.ratio() or 1:.2f}: {f.least.case.name}"[:100]
        for f in results.families()
    ]
    if lines:
        lines.insert(0, "fastest peer's time / fastnn's, geometric mean and 95 % interval:")
    lines += [noise_text(results), *drift_lines(results)]
    lines += [f"left out, as time was up: {what}" for what in results.left_out]
    lines += [f"FAILED: {what}" for what in results.failures]
    return lines + [
        f"not installed: {title(name)} (pip install {LIBRARIES[name].packages})"
        for name in results.missing
    ]
