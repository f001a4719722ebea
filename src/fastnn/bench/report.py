"""Print results: `index.html` and `report.md` of a run, and a few lines for the terminal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .libraries import LIBRARIES, OURS
from .results import Results, Row, compare, dump, write
from .svg import Chart, css, legend_mark, place

TEMPLATES = Path(__file__).with_name("templates")
# A bar is cut at this many times the fastest library's time; rows listed as worst.
LONGEST, WORST = 4.0, 10
METHOD = """\
Each library runs in a process of its own. The processes take turns at each case and are stopped
between their turns, so that no pool of threads disturbs another. All get the same number of
threads, the same fresh random data and out= where they have it, and choose their instruction set
themselves. A result is compared with a float64 reference before it is timed. Caches are warm and
nothing is pinned. A time is the median over the turns of the median call of a turn. A ratio is the
time of the fastest peer / the time of fastnn: above 1, fastnn is faster. Libraries that compute in
fewer bits are shown and do not count as peers. Intervals are 95 % bootstrap intervals over the
cases of a family."""


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
    lines = []
    for threads, peaks in results.peaks.items():
        change = peaks[-1] / peaks[0] - 1
        lines.append(
            f"FMA peak, threads {threads}: {peaks[0]:.0f} GFLOP/s at the start, "
            f"{peaks[-1]:.0f} at the end ({change:+.1%})"
        )
    if results.machine.is_shared():
        lines.append("Other programs took part of the CPUs: measure again alone.")
    return lines


def roofline(results: Results, threads: int) -> Chart:
    """Return the roofline: a dot per case and library below the machine's measured limits."""
    chart = Chart(
        f"Roofline with {threads} threads", "floating-point operations per byte", "GFLOP/s"
    )
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
        left = min(x for _, x, _, _ in chart.dots)
        right = max(x for _, x, _, _ in chart.dots)
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


def _family_rows(results: Results, family: str) -> list[dict[str, Any]]:
    """Return a table's rows: one per case, threads and library."""
    found = []
    for row in (row for row in results.measured if row.case.family == family):
        times = row.medians
        longest = min(max(times.values()), LONGEST * min(times.values()))
        bars: list[dict[str, Any]] = []
        for name in sorted(times, key=times.__getitem__):
            rate, unit, part = results.rate(row, name)
            bars.append(
                {
                    "name": name,
                    "title": title(name),
                    "color": place(name),
                    "time": seconds(times[name]),
                    "bar": min(times[name] / longest, 1.0) * 100,
                    "cut": times[name] > longest,
                    "ratio": f"{times[name] / times[OURS]:.2f}" if OURS in times else "",
                    "rate": f"{rate:.3g} {unit}" if row.case.limit else "",
                    "part": f"{part:.0%}" if part is not None else "",
                    "error": f"{row.errors[name]:.3g}" if name in row.errors else "",
                    "lossy": LIBRARIES[name].lossy,
                }
            )
        limit = (
            row.case.limit
            or f"{seconds(results.over_empty(row, bars[0]['name']))} over an empty call"
        )
        found.append(
            {
                "name": row.case.name,
                "threads": row.threads,
                "limit": {"fma": "FMA peak"}.get(limit, limit),
                "says": results.says(row),
                "bars": bars,
            }
        )
    return found


def _libraries(results: Results) -> list[dict[str, str]]:
    """Return the table of libraries: what each costs to have and to start."""
    found = []
    for name in LIBRARIES:
        known = results.libraries.get(name)
        if known:
            found.append(
                {
                    "name": title(name),
                    "mark": legend_mark(name),
                    "version": known.get("version", ""),
                    "instruction set": known.get("isa", ""),
                    "installed": megabytes(known.get("installed")),
                    "import": seconds(known.get("import")),
                    "first call": seconds(known.get("first")),
                    "peak memory": megabytes(known.get("memory")),
                }
            )
    return found


def _columns(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    """Return the names of the columns that are not empty."""
    return [name for name in names if any(row.get(name) for row in rows)]


def _worst(results: Results) -> list[tuple[Row, float]]:
    """Return the rows in which a peer is faster than noise explains, worst first."""
    rows = [(row, row.ratio() or 1.0) for row in results.measured if results.says(row) == "slower"]
    return sorted(rows, key=lambda pair: pair[1])[:WORST]


def view(results: Results, old: Results | None = None) -> dict[str, Any]:
    """Return all that the templates show."""
    families, lib_rows = results.families(), _libraries(results)
    peers = [name for name in results.names if name != OURS]
    tables = {}
    for name in dict.fromkeys(row.case.family for row in results.measured):
        rows = _family_rows(results, name)
        bars = [bar for row in rows for bar in row["bars"]]
        tables[name] = {"rows": rows, "columns": _columns(bars, ["ratio", "rate", "part", "error"])}
    compared = [row for row in results.measured if row.ratio() is not None]
    changes, number = compare(results, old) if old else ([], 0)
    return {
        "results": results,
        "environment": results.environment,
        "families": families,
        "by_threads": results.families(by_threads=True) if len(results.threads) > 1 else [],
        "peers": peers,
        "against": {
            f.name: {peer: results.against(f.name, peer) for peer in peers} for f in families
        },
        "libraries": lib_rows,
        "library_columns": _columns(lib_rows, list(lib_rows[0])[2:] if lib_rows else []),
        "missing": [
            {"title": title(name), "line": f"pip install {LIBRARIES[name].packages}"}
            for name in results.missing
        ],
        "marks": {name: legend_mark(name) for name in results.names},
        "title": title,
        "tables": tables,
        "worst": _worst(results),
        "compared": len(compared),
        "counts": {s: sum(results.says(r) == s for r in compared) for s in ("faster", "slower")},
        "noise": noise_text(results),
        "drift": drift_lines(results),
        "limits": results.machine.lines() if results.machine.fma else [],
        "roofs": [
            (n, chart.draw()) for n in results.threads if (chart := roofline(results, n)).dots
        ],
        "method": METHOD,
        "css": css(),
        "seconds": seconds,
        "old": old,
        "changes": changes,
        "changes_of": number,
        "again": sorted(row.again for row in results.rows if row.again is not None),
    }


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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    shown = view(results, old)
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
    lines = []
    for f in results.families():
        lines.append(
            f"{f.name:12} {f.ratio:5.2f}  [{f.low:.2f}, {f.high:.2f}]  {f.verdict:13} "
            f"{f.rows:3} rows, least {f.least.ratio() or 1:.2f}: {f.least.case.name}"[:100]
        )
    if lines:
        lines.insert(0, "fastest peer's time / fastnn's, geometric mean and 95 % interval:")
    lines.append(noise_text(results))
    lines += drift_lines(results)
    lines += [f"left out, as time was up: {what}" for what in results.left_out]
    lines += [f"FAILED: {what}" for what in results.failures]
    lines += [
        f"not installed: {title(name)} (pip install {LIBRARIES[name].packages})"
        for name in results.missing
    ]
    return lines
