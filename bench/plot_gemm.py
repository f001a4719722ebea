"""Plot the speed of square products over their size: fastnn, its peers and the FMA peak.

``python -m bench.plot_gemm`` measures the suite "squares" as ``bench.ratios`` does, and takes its
options; ``--from FILE`` plots the results of ``bench.ratios --json FILE``. The picture goes to
``docs/gemm.png``, readable from a width of 900 pixels. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import ratios

PICTURE = ratios.ROOT / "docs" / "gemm.png"
# Twice the display resolution: 9 inches are 900 pixels on a page.
INCHES, DPI = (9.0, 3.9), 200
# Colors that can be told apart with any color vision (Okabe and Ito, "Color Universal Design",
# 2008), and markers for prints in gray.
STYLES = {
    "fastnn": {"color": "#D55E00", "marker": "o", "linewidth": 2.2, "zorder": 3, "label": "fastnn"},
    "numpy": {"color": "#0072B2", "marker": "s", "linewidth": 1.4, "label": "NumPy"},
    "torch": {"color": "#009E73", "marker": "^", "linewidth": 1.4, "label": "PyTorch"},
}
GREY = "#555555"
Curves = dict[str, list[tuple[int, float]]]


def curves(figures: dict[str, Any], threads: int) -> Curves:
    """Return size and GFLOP/s of each library's float32 squares, from the JSON of ratios."""
    found: Curves = {}
    for row in figures["rows"]:
        is_square = row["kernel"] == "matmul" and len(set(row["shape"])) == 1
        plain = row["dtype"] == "float32" and row["layout"] == "nn"
        if is_square and plain and row["threads"] == threads:
            for library, seconds in row["median"].items():
                if library in STYLES:
                    point = (row["shape"][0], row["flops"] / seconds / 1e9)
                    found.setdefault(library, []).append(point)
    return {library: sorted(found[library]) for library in STYLES if library in found}


def draw_panel(axes: Any, threads: int, lines: Curves, peak: float | None) -> None:
    """Plot the panel of one number of threads."""
    for library, points in lines.items():
        axes.plot(*zip(*points, strict=True), markersize=4.5, **STYLES[library])
    if peak is not None:
        axes.axhline(peak, color=GREY, linestyle="--", linewidth=1.2, label="FMA peak")
        axes.set_ylim(0, 1.08 * peak)
    sizes = [size for size, _ in next(iter(lines.values()))]
    ticks = [size for size in sizes if size & (size - 1) == 0]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(size) for size in ticks])
    axes.set_xlabel("n, of (n, n) times (n, n)")
    axes.set_title(f"{threads} thread{'s' if threads > 1 else ''}", loc="left", fontsize=11)
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _few_colours(figure: Any) -> bytes:
    """Return the figure as PNG with a palette of 64 colors, at a third of the size."""
    from PIL import Image  # comes with matplotlib

    png = io.BytesIO()
    figure.savefig(png, format="png")
    small = io.BytesIO()
    Image.open(png).convert("RGB").quantize(64).save(small, format="png", optimize=True)
    return small.getvalue()


def draw(figures: dict[str, Any]) -> bytes:
    """Return the plot as PNG, with a panel for each number of threads.

    Raises
    ------
    ValueError
        When the figures have no square float32 products.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {n: curves(figures, n) for n in sorted({row["threads"] for row in figures["rows"]})}
    panels = {n: lines for n, lines in panels.items() if lines}
    if not panels:
        raise ValueError("there are no square float32 products in these figures")
    machine = figures["machine"]
    peaks = machine["fma"].get("float32", {})
    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (n, lines) in zip(all_axes, panels.items(), strict=True):
        draw_panel(axes, n, lines, peaks.get(str(n)))
    all_axes[0].set_ylabel("GFLOP/s")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=len(labels), frameon=False, fontsize=9)
    versions = ", ".join(version for name, version in figures["versions"].items() if name in STYLES)
    figure.suptitle("Matrix product, float32", x=0.01, ha="left", fontsize=13, weight="bold")
    figure.supxlabel(f"{machine['cpu']}; {versions}", fontsize=8, color=GREY)
    return _few_colours(figure)


def read(path: Path) -> dict[str, Any]:
    """Read results from a file; ValueError if it is not the JSON of ratios."""
    try:
        figures = json.loads(path.read_text())
        if {"rows", "machine", "versions"} <= figures.keys():
            return figures
    except (ValueError, AttributeError):
        pass
    raise ValueError(f"{path} is not what bench.ratios --json writes")


def measure(arguments: list[str]) -> dict[str, Any] | None:
    """Measure the suite "squares"; None if ratios failed and printed why."""
    with tempfile.TemporaryDirectory(prefix="fastnn-bench-") as directory:
        path = Path(directory) / "squares.json"
        if ratios.main([*arguments, "--suite", "squares", "--json", str(path)]):
            return None
        return json.loads(path.read_text())


def main(argv: list[str] | None = None) -> int:
    """Measure or read, then plot; return 1 if measuring failed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.plot_gemm",
        description=__doc__,
        epilog="Other options go to bench.ratios: --threads, --rounds, --python-peers, --quick.",
        allow_abbrev=False,
    )
    parser.add_argument("--from", type=Path, metavar="FILE", dest="file", help="figures to draw")
    parser.add_argument("--out", type=Path, metavar="PNG", default=PICTURE, help="the picture")
    options, arguments = parser.parse_known_args(argv)
    if options.file and arguments:
        parser.error(f"--from measures nothing, so it takes no {' '.join(arguments)}")
    if importlib.util.find_spec("matplotlib") is None:
        parser.error("plots need matplotlib: pip install 'fastnn-cpu[plot]'")
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        figures = read(options.file) if options.file else measure(arguments)
        if figures is None:
            return 1
        picture = draw(figures)
        ratios.write_whole(options.out, picture)
    except (OSError, ValueError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(picture) / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
