"""Style of the sources: 100 columns, short files and short functions."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COLUMNS, FILE_LINES, FUNCTION_LINES = 100, 350, 60
FOLDERS = ("src", "tests", "bench", "docs", "examples", "tools")
SUFFIXES = (".py", ".pyx", ".pxd", ".pyi", ".h", ".c", ".md")
LONG_FILES = {"fastnn.h"}  # one header on purpose: clients include one file
GENERATED = {"_shared.c", "api.pyx", "api.pxd", "calls.pxd"}  # by the build

if not (ROOT / "src" / "fastnn").is_dir():
    pytest.skip("needs the sources", allow_module_level=True)


def sources(*suffixes):
    """The files of the project with these suffixes, without what Cython wrote."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    files += ROOT.glob("*")
    kept = sorted(path for path in files if path.suffix in suffixes)
    kept = [path for path in kept if path.name not in GENERATED]
    return [path for path in kept if path.suffix != ".c" or not path.with_suffix(".pyx").exists()]


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(*SUFFIXES), ids=name)
def test_lines_have_100_columns(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    long = [i for i, line in enumerate(lines, 1) if len(line) > COLUMNS]
    assert not long, f"{name(path)}: lines {long} have more than {COLUMNS} columns"


def test_files_are_short():
    found = {
        name(path): count
        for path in sources(".py", ".pyx", ".pxd", ".h")
        if path.is_relative_to(ROOT / "src") and path.name not in LONG_FILES
        if (count := len(path.read_text().splitlines())) > FILE_LINES
    }
    assert not found, f"files of more than {FILE_LINES} lines: {found}"


def functions(path):
    """(name, lines) of the functions of a file, docstrings not counted."""
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
                yield node.name, node.end_lineno - first
        return
    lines = re.sub(r'"""(?:.|\n)*?"""', "", path.read_text()).splitlines()
    start, indent, current = 0, 0, None
    for i, line in enumerate([*lines, "end"]):
        if not line.strip() or line.lstrip().startswith(("#", ")")):
            continue
        depth = len(line) - len(line.lstrip())
        if current and depth <= indent:
            yield current, i - start
            current = None
        if match := re.match(r"\s*(?:cpdef|cdef|def)\b[^=]*?(\w+)\(.*", line):
            start, indent, current = i, depth, match[1]


def test_functions_are_short():
    found = [
        f"{name(path)}: {function} has {count} lines"
        for path in sources(".py", ".pyx", ".pxd")
        if path.is_relative_to(ROOT / "src")
        for function, count in functions(path)
        if count > FUNCTION_LINES
    ]
    assert not found, "\n".join(found)
