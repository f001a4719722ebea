"""Keep results of a machine, and draw the figures of README and docs from what is kept.

    python -m bench keep bench-report/results.json      into bench/results/<machine>.json
    python -m bench figures [MACHINE]                   draw them, from the newest file if not named

A figure stands between ``<!-- bench: NAME -->`` and ``<!-- end -->``; what is between the two is
replaced and names the machine. ``figures`` draws those that the kept results have.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from pathlib import Path

from fastnn.bench import report
from fastnn.bench.cases import Case
from fastnn.bench.libraries import LIBRARIES, OURS
from fastnn.bench.machine import all_threads, cpu_name
from fastnn.bench.results import Results, dump, read, write
from fastnn.bench.svg import Chart, css, text

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "bench" / "results"
PAGES = [ROOT / "README.md", ROOT / "bench" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(<!-- bench: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def machine_file() -> str:
    """Return a name for a file of this machine's results: "amd-epyc-9b14-2cpu"."""
    words = re.sub(r"\((?:r|tm)\)|@.*|\bcpu\b|\bprocessor\b", " ", cpu_name().lower())
    return "-".join(re.findall(r"[a-z0-9]+", words)) + f"-{all_threads()}cpu"


def keep(argv: list[str]) -> None:
    """Keep a file of results, each turn by its median."""
    parser = argparse.ArgumentParser(prog="python -m bench keep")
    parser.add_argument("file", nargs="?", type=Path, default=Path("bench-report/results.json"))
    path = KEPT / f"{machine_file()}.json"
    write(path, dump(read(parser.parse_args(argv).file), condensed=True))
    print(path)


def where(results: Results) -> str:
    """Return the line that stands with each figure."""
    known = results.environment
    versions = ", ".join(
        f"{LIBRARIES[name].title} {results.libraries[name].get('version', '')}"
        for name in results.names
    )
    text = f"Measured on {known['processor']} ({known['CPUs']} CPUs), {known['date']}: {versions}."
    return textwrap.fill(f"{text} {report.noise_text(results)}", 100)


def verdict(results: Results, page: Path) -> str:
    """Return the table of families."""
    lines = ["| kernels | fastest peer's time / fastnn's | 95 % interval | rows |"]
    lines += ["| --- | ---: | ---: | ---: |"]
    for f in results.families():
        lines.append(f"| {f.name} | {f.ratio:.2f} | {f.low:.2f} - {f.high:.2f} | {f.rows} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def squares(results: Results, page: Path) -> str:
    """Draw square float32 products over their size, a file for each number of threads."""
    lines = []
    for threads in results.threads:
        counted = "1 thread" if threads == 1 else f"{threads} threads"
        chart = Chart(f"Products (n, n) times (n, n), {counted}", "n", "GFLOP/s")
        curves: dict[str, list[tuple[float, float]]] = {}
        for row in results.measured:
            case, n = row.case, row.case.shape[0]
            is_square = case == Case("gemm", "matmul", (n, n, n)) and row.threads == threads
            for name in (OURS, "numpy", "torch") if is_square else ():
                if name in row.times:
                    rate = case.flops / row.medians[name] / 1e9
                    curves.setdefault(name, []).append((n, rate))
                    chart.dot(name, n, rate, f"{n}: {rate:.0f} GFLOP/s")
        if not curves:
            continue
        chart.lines = [(name, sorted(points)) for name, points in curves.items()]
        sizes = [n for n, _ in chart.lines[0][1]]
        chart.x_ticks = [n for n in sizes if int(n) & (int(n) - 1) == 0]
        if peak := results.machine.fma.get("float32", {}).get(str(threads)):
            chart.limits.append((f"FMA peak {peak:.0f}", [(sizes[0], peak), (sizes[-1], peak)]))
        path = page.parent / f"gemm-{threads}.svg"
        write(path, chart.draw(standalone=True) + "\n")
        lines.append(f"![GFLOP/s of square products, {counted}]({path.name})")
    return "\n".join(lines)


def _bars(head: str, bars: list[tuple[str, float, str, bool]], top: int) -> list[str]:
    """Draw bars below a heading: label, length from 0 to 1, value, and whether it is ours."""
    parts = [text(head, 128, top + 14, "start", "soft")]
    for i, (label, length, value, ours) in enumerate(bars, 1):
        y, width = top + 22 * i, max(2.0, 400 * length)
        parts.append(text(label, 120, y + 14, "end"))
        parts.append(
            f'<rect x="128" y="{y + 2}" width="{width:.1f}" height="15" class="f{1 - ours}"/>'
        )
        parts.append(text(value, 134 + width, y + 14, "start"))
    return parts


def speed(results: Results, page: Path) -> str:
    """Draw how much faster fastnn is in each family, and the installed size of each library."""
    families = results.families()
    sizes: dict[str, float] = {}
    for name, facts in results.libraries.items():  # one bar for all ways to run a library
        packages = {LIBRARIES[other].packages for other in sizes}
        if facts.get("installed") and LIBRARIES[name].packages not in packages:
            sizes[name] = facts["installed"] / 1e6
    if not families or not sizes:
        return ""
    fastest, largest = max(f.ratio for f in families), max(sizes.values())
    rates = [(f.name, f.ratio / fastest, f"{f.ratio:.2f}x", f.ratio >= 1) for f in families]
    installed = [
        (LIBRARIES[name].title, size / largest, f"{size:.0f} MB", name == OURS)
        for name, size in sorted(sizes.items(), key=lambda pair: pair[1])
    ]
    below = 22 * len(rates) + 40
    parts = _bars("time of the fastest of all peers, over fastnn's", rates, 0)
    parts += _bars("installed, with all that it needs", installed, below)
    even = 128 + 400 / fastest
    parts.append(f'<path class="limit" d="M{even:.1f} 20V{below - 18}"/>')
    height = below + 22 * len(installed) + 26
    path = ROOT / "docs" / "speed.svg"
    write(
        path,
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 {height}" role="img">'
        f"<title>Speed and installed size beside peers</title><style>{css()}</style>"
        f"{''.join(parts)}</svg>\n",
    )
    return f"![Speed and installed size beside peers]({os.path.relpath(path, page.parent)})"


def roofline(results: Results, page: Path) -> str:
    """Draw the roofline with all threads."""
    chart = report.roofline(results, max(results.threads))
    if not chart.dots:
        return ""
    write(page.parent / "roofline.svg", chart.draw(standalone=True) + "\n")
    return "![Roofline: each case and library below the machine's limits](roofline.svg)"


FIGURES = {"verdict": verdict, "speed": speed, "squares": squares, "roofline": roofline}


def fill(page: Path, results: Results) -> list[str]:
    """Replace the figures of a page; return the names of those replaced."""
    done = []

    def replaced(found: re.Match[str]) -> str:
        if found["name"] not in FIGURES:
            raise SystemExit(f"{page}: there is no figure {found['name']!r}")
        figure = FIGURES[found["name"]](results, page)
        if not figure:  # the results do not have it
            return found[0]
        done.append(found["name"])
        return f"{found[1]}{figure}\n\n{where(results)}\n{found[3]}"

    text = page.read_text("utf-8")
    if (new := BLOCK.sub(replaced, text)) != text:
        write(page, new)
    return done


def main(argv: list[str]) -> int:
    """Fill every page from kept results."""
    parser = argparse.ArgumentParser(prog="python -m bench figures")
    parser.add_argument("machine", nargs="?", help="name of a file in bench/results")
    name = parser.parse_args(argv).machine
    files = [read(path) for path in KEPT.glob(f"{name or '*'}.json")]
    if not files:
        print(f"no results are kept in {KEPT}: python -m bench keep", file=sys.stderr)
        return 1
    results = max(files, key=lambda found: found.environment["date"])
    for page in PAGES:
        for figure in fill(page, results):
            print(f"{page.relative_to(ROOT)}: {figure}")
    return 0
