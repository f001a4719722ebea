"""Each package imports only from layers below it, and no imports form a circle.

Every import counts: those inside functions, those for type checkers alone, and Cython's cimports.
"""

import ast
import re
from pathlib import Path

import pytest

import fastnn

CHECKOUT = Path(__file__).parent.parent / "src" / "fastnn"
ROOT = CHECKOUT if CHECKOUT.exists() else Path(fastnn.__file__).parent  # wheels lack .pyx and .pxd

# Package (room) -> layer (floor): modules and packages of fastnn, and each package of kernels.
FLOORS = {
    "_command": 0,
    "_version": 0,
    "kernels/_types": 0,
    "kernels/simd": 0,
    "kernels/ground": 1,
    "c_header": 1,
    "checks": 1,
    "flat": 1,
    "hooks": 1,
    "interop": 1,
    "json_text": 1,
    "keywords": 2,
    "names": 2,
    "parameters": 1,
    "watch": 1,
    "kernels": 2,
    "nn": 3,
    "optim": 3,
    "figures": 4,
    "files": 4,
    "plot": 4,
    "data": 5,
    "train": 5,
    "models": 6,
    "text": 6,
    "bench": 7,
    "capi": 7,
    "cli": 7,
    "distributed": 7,
    "sklearn": 7,
    "table": 6,
    "": 7,  # __init__ and __main__
}

# Rooms on one floor that may import from each other, as long as no circle comes of it.
BESIDE = {
    ("checks", "kernels/ground"),
    ("parameters", "checks"),
    ("parameters", "flat"),
    ("parameters", "watch"),
    ("figures", "files"),
    ("plot", "figures"),
    ("plot", "files"),
    ("models", "text"),
    ("", "capi"),
    ("", "cli"),
    ("", "distributed"),
    ("", "sklearn"),
    ("cli", "distributed"),
    ("cli", "bench"),
}


def sources():
    """Dotted name below fastnn -> files of that name: a .pyx has a .pxd beside it."""
    found = {}
    for path in sorted(ROOT.rglob("*")):
        if path.suffix in (".py", ".pyx", ".pxd", ".pyi"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] in ("__init__", "__main__") else parts)
            found.setdefault(name, []).append(path)
    return found


SOURCES = sources()
PACKAGES = {name for name, paths in SOURCES.items() if paths[0].stem == "__init__"}


def room(module):
    """The room that a module stands in: a family of kernels is one, too."""
    for parts in (module.split(".")[:2], module.split(".")[:1]):
        if "/".join(parts) in FLOORS or (parts[0] == "kernels" and ".".join(parts) in PACKAGES):
            return "/".join(parts)
    raise AssertionError(f"fastnn.{module} stands in no room that has a floor")


def floor(name):
    return FLOORS.get(name, FLOORS["kernels"])


def imported(text, is_cython):
    """(level, module, names) of every import of a source."""
    if not is_cython:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                yield node.level, node.module or "", [alias.name for alias in node.names]
            elif isinstance(node, ast.Import):
                yield from ((0, alias.name, []) for alias in node.names)
        return
    text = re.sub(r"\(([^()]*)\)", lambda match: match[0].replace("\n", " "), text)
    for dots, module, names in re.findall(
        r"^[ \t]*from[ \t]+(\.*)([\w.]*)[ \t]+c?import[ \t]+(.+)$", text, re.M
    ):
        yield len(dots), module, re.findall(r"(\w+)(?:[ \t]+as[ \t]+\w+)?", names.split("#")[0])
    for modules in re.findall(r"^[ \t]*c?import[ \t]+([\w., ]+)", text, re.M):
        yield from ((0, module.split()[0], []) for module in modules.split(","))


def edges(module):
    """The modules of fastnn that a module imports."""
    for path in SOURCES[module]:
        package = path.relative_to(ROOT).parent.parts
        for level, name, names in imported(
            path.read_text("utf-8"), path.suffix in (".pyx", ".pxd")
        ):
            if level:
                base = [*package[: len(package) - level + 1], *name.split(".")]
                assert level <= len(package) + 1, f"{path}: beyond the top of the package"
            elif name.split(".")[0] == "fastnn":
                base = name.split(".")[1:]
            else:
                continue
            base = ".".join(part for part in base if part)
            below = {f"{base}.{n}".strip(".") for n in names}
            yield from sorted(below & SOURCES.keys()) or [base]
            if base not in PACKAGES and base not in SOURCES:
                raise AssertionError(f"{path}: {base} is no module of fastnn")


GRAPH = {module: set(edges(module)) - {module} for module in SOURCES}


def test_imports_of_every_form_are_found():
    text = "import c.d\ndef f():\n    from ..a import b\n"
    assert list(imported(text, False)) == [(0, "c.d", []), (2, "a", ["b"])]
    text = "from ..a.b cimport (c,\n  d as e)\nfrom . import f  # why\ncimport numpy as cnp\n"
    assert list(imported(text, True)) == [
        (2, "a.b", ["c", "d"]),
        (1, "", ["f"]),
        (0, "numpy", []),
    ]
    assert {"parameters", "hooks", "nn.summary", "kernels"} <= GRAPH["nn.module"]
    assert "kernels.simd.leaves" in GRAPH["kernels.ground.dispatch"]


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_down(module):
    own = room(module)
    for target in GRAPH[module]:
        other = room(target)
        beside = (own, other) in BESIDE or own.split("/")[0] == other.split("/")[0] == "kernels"
        is_allowed = floor(other) < floor(own) or (floor(other) == floor(own) and beside)
        assert own == other or is_allowed, f"fastnn.{module} imports fastnn.{target}"


def test_no_circle_leads_through_two_rooms():
    reached = {}  # module -> all that it leads to
    for start in GRAPH:
        seen, ahead = set(), [start]
        while ahead:
            for target in GRAPH[ahead.pop()] - seen:
                seen.add(target)
                ahead.append(target)
        reached[start] = seen
    for one, seen in reached.items():
        circle = {other for other in seen if one in reached[other]} | {one}
        rooms = {room(module) for module in circle}
        assert len(rooms) == 1, f"a circle through {sorted(rooms)}: {sorted(circle)}"
