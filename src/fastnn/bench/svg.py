"""Pictures as SVG text: a chart with lines and dots on logarithmic axes; no drawing library.

Colors are variables, so that one picture serves light and dark pages and print; each library has
a marker of its own as well, for grey.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from .libraries import LIBRARIES

# Light and dark shades that can be told apart with any color vision, after Okabe and Ito, "Color
# Universal Design", 2008.
COLORS = (
    ("#c44900", "#ff8a4c"),
    ("#0072b2", "#5cb8f0"),
    ("#008a63", "#3ecf9f"),
    ("#a34c86", "#e39ac6"),
    ("#8a6d00", "#e8c547"),
    ("#3d6f8e", "#9fc9e3"),
    ("#555555", "#bbbbbb"),
    ("#7b4f2a", "#cfa27a"),
)
# Outlines of the markers, from -1 to 1: circle, square, triangles, diamond, star, plus, bar.
SHAPES = (
    "M-1 0a1 1 0 1 0 2 0 1 1 0 1 0-2 0z",
    "M-1-1H1V1H-1z",
    "M0-1.2L1.1.8H-1.1z",
    "M0-1.3L1.3 0 0 1.3-1.3 0z",
    "M0 1.2L1.1-.8H-1.1z",
    "M0-1.6L.45-.45 1.6 0 .45.45 0 1.6-.45.45-1.6 0-.45-.45z",
    "M-.4-1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4z",
    "M-1-.5H1V.5H-1z",
)
INK = {
    "ink": ("#1a1a1a", "#ececec"),
    "soft": ("#5f5f5f", "#a8a8a8"),
    "rule": ("#d9d9d9", "#404040"),
}
WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 14, 42


def place(library: str) -> int:
    """Return the library's place in COLORS and SHAPES."""
    return list(LIBRARIES).index(library) % len(SHAPES)


def style(library: str) -> str:
    """Return the class of the library's marks; those of the second half are hollow."""
    hollow = " hollow" if list(LIBRARIES).index(library) >= len(SHAPES) else ""
    return f"f{place(library)}{hollow}"


def css() -> str:
    """Return the variables and classes that the pictures use, for light and dark."""
    shades = {**INK, **{f"c{i}": pair for i, pair in enumerate(COLORS)}}
    light, dark = (";".join(f"--{n}:{pair[i]}" for n, pair in shades.items()) for i in (0, 1))
    colored = "".join(f".f{i}{{fill:var(--c{i});stroke:var(--c{i})}}" for i in range(len(COLORS)))
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"@media print{{:root{{color-scheme:light;{light}}}}}"
        "svg text{font:12px system-ui,sans-serif;fill:var(--ink);stroke:none}"
        ".soft{fill:var(--soft)!important}.rule{stroke:var(--rule);fill:none}"
        f".limit{{stroke:var(--soft);stroke-dasharray:5 3;fill:none}}{colored}"
        ".hollow{fill:var(--page,none);stroke-width:1.8}"
        ".line{fill:none!important;stroke-width:1.6}.dot{fill-opacity:.75}"
    )


def marker(library: str, x: float, y: float, r: float = 4.0) -> str:
    """Return the drawing of a library's marker."""
    at = f'transform="translate({x:.1f} {y:.1f}) scale({r:g})" vector-effect="non-scaling-stroke"'
    return f'<path d="{SHAPES[place(library)]}" {at}/>'


def legend_mark(library: str) -> str:
    """Return a library's marker as a small picture."""
    drawn = marker(library, 7, 7, 5)
    head = '<svg class="mark" viewBox="0 0 14 14" aria-hidden="true">'
    return f'{head}<g class="{style(library)}">{drawn}</g></svg>'


@dataclass
class Chart:
    """Lines and dots; both axes are logarithmic."""

    title: str  # read to those who cannot see the picture
    x: str  # what the axes show
    y: str
    x_ticks: Sequence[float] = ()  # powers of ten if empty
    dots: list[tuple[str, float, float, str]] = field(default_factory=list)
    lines: list[tuple[str, list[tuple[float, float]]]] = field(default_factory=list)
    limits: list[tuple[str, list[tuple[float, float]]]] = field(default_factory=list)

    def dot(self, library: str, x: float, y: float, label: str) -> None:
        """Add a dot, with what is shown when the pointer rests on it."""
        if x > 0 and y > 0:
            self.dots.append((library, x, y, label))

    def draw(self, standalone: bool = False) -> str:
        """Return the picture; standalone, a file of its own with colors and a legend."""
        xs, ys = self._range(0), self._range(1)
        parts = [f"<title>{escape(self.title)}</title>", *self._axes(xs, ys)]
        for label, points in self.limits:
            parts += self._limit(label, points, xs, ys)
        for library, points in self.lines:
            path = "L".join(f"{_at(x, xs, 0):.1f} {_at(y, ys, 1):.1f}" for x, y in points)
            parts.append(f'<path class="line f{place(library)}" d="M{path}"/>')
        for library, x, y, label in self.dots:
            drawn = marker(library, _at(x, xs, 0), _at(y, ys, 1))
            title = f"<title>{escape(label)}</title>"
            parts.append(f'<g class="dot {style(library)}">{title}{drawn}</g>')
        css_text, head = "", f'class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        if standalone:
            css_text = f"<style>{css()}</style>"
            head = f'xmlns="http://www.w3.org/2000/svg" {head}'
            parts += self._legend(dict.fromkeys(library for library, *_ in self.dots))
        return f"<svg {head}>{css_text}{''.join(parts)}</svg>"

    def _range(self, axis: int) -> tuple[float, float]:
        values = [(x, y)[axis] for _, x, y, _ in self.dots]
        values += [point[axis] for _, line in self.lines + self.limits for point in line]
        if not values:
            values = [1.0, 10.0]
        low, high = math.log10(min(values)), math.log10(max(values))
        space = 0.04 * max(high - low, 0.5)
        return low - space, high + space

    def _axes(self, xs: tuple[float, float], ys: tuple[float, float]) -> Iterable[str]:
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        for value in _ticks(ys):
            y = _at(value, ys, 1)
            yield f'<path class="rule" d="M{LEFT} {y:.1f}H{right}"/>'
            yield text(f"{value:g}", LEFT - 6, y + 4, "end")
        for value in self.x_ticks or _ticks(xs):
            x = _at(value, xs, 0)
            yield f'<path class="rule" d="M{x:.1f} {TOP}V{bottom}"/>'
            yield text(f"{value:g}", x, bottom + 17, "middle")
        yield text(self.x, (LEFT + right) / 2, HEIGHT - 6, "middle", "soft")
        yield text(self.y, 13, (TOP + bottom) / 2, "middle", "soft", -90)

    def _limit(
        self, label: str, points: list[tuple[float, float]], xs: Any, ys: Any
    ) -> Iterable[str]:
        at = [(_at(x, xs, 0), _at(y, ys, 1)) for x, y in points]
        yield f'<path class="limit" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in at)}"/>'
        (x0, y0), (x1, y1) = at[0], at[-1]
        if abs(y1 - y0) < 1:  # a flat line has its label above its end, a slope along its start
            yield text(label, x1, y1 - 5, "end", "soft")
        else:
            turn = math.degrees(math.atan2(y1 - y0, x1 - x0))
            yield text(label, x0 + 6, y0 - 8, "start", "soft", turn)

    def _legend(self, libraries: Iterable[str]) -> Iterable[str]:
        for i, library in enumerate(libraries):
            y = HEIGHT - BOTTOM - 14 - 17 * i
            yield f'<g class="{style(library)}">{marker(library, WIDTH - 130, y - 4)}</g>'
            yield text(LIBRARIES[library].title, WIDTH - 120, y, "start")


def text(
    content: str, x: float, y: float, anchor: str, css_class: str = "", turn: float = 0
) -> str:
    """Return a text, turned by so many degrees."""
    at = f'x="{x:.1f}" y="{y:.1f}"'
    if turn:
        at = f'transform="translate({x:.1f} {y:.1f}) rotate({turn:.1f})"'
    named = f' class="{css_class}"' if css_class else ""
    return f'<text {at} text-anchor="{anchor}"{named}>{escape(content)}</text>'


def _at(value: float, limits: tuple[float, float], axis: int) -> float:
    part = (math.log10(value) - limits[0]) / (limits[1] - limits[0])
    if axis == 0:
        return LEFT + part * (WIDTH - RIGHT - LEFT)
    return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP)


def _ticks(limits: tuple[float, float]) -> list[float]:
    """Return powers of ten within the limits, and 2 and 5 between them if these are few."""
    powers = range(math.floor(limits[0]), math.ceil(limits[1]) + 1)
    steps = (1, 2, 5) if limits[1] - limits[0] < 2.5 else (1,)
    values = [step * 10.0**power for power in powers for step in steps]
    return [value for value in values if limits[0] <= math.log10(value) <= limits[1]]
