"""Type checkers accept right programs and the pages, and reject each wrong line of another."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

import fastnn
from fastnn.nn.activation import ActivationName

from .documents import HAS_SOURCES, PAGES, program

PACKAGES = Path(fastnn.__file__).parent.parent


def run(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )


def mypy_errors(names, folder):
    """Yield name of the program, number of the line, and message."""
    # mypy finds an installed fastnn by itself, and refuses its folder as a path
    is_installed = PACKAGES.name in ("site-packages", "dist-packages")
    (folder / "mypy.ini").write_text(
        "[mypy]\nstrict = True\nfollow_imports = silent\nignore_missing_imports = True\n"
        "allow_redefinition = True\n" + ("" if is_installed else f"mypy_path = {PACKAGES}\n")
    )
    done = run("mypy", "--no-error-summary", *names, folder=folder)
    assert done.returncode in (0, 1) and not done.stderr, done.stdout + done.stderr
    for name, line, message in re.findall(r"^(\w+\.py):(\d+): error: (.*)", done.stdout, re.M):
        yield name, int(line), message


def pyright_errors(names, folder):
    """The same of pyright."""
    settings = {"include": names, "extraPaths": [str(PACKAGES)]}
    settings["reportMissingImports"] = False  # as mypy.ini above
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    found = json.loads(run("pyright", "--outputjson", "-p", str(folder), folder=folder).stdout)
    assert found["summary"]["filesAnalyzed"] == len(names), found
    for each in found["generalDiagnostics"]:
        if each["severity"] == "error":
            yield Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"]


def test_the_names_of_activations_are_those_of_the_kernels():
    assert get_args(ActivationName) == tuple(fastnn.kernels.ACTIVATIONS)


CHECKERS = {"mypy": mypy_errors, "pyright": pyright_errors}
# Name -> text of programs of users, and of the README and the pages of docs/ with code.
PROGRAMS = {path.name: path.read_text() for path in Path(__file__).parent.glob("typed/*.py")}
READ = {f"page_{page.stem.replace('-', '_')}.py": program(page) for page in PAGES if HAS_SOURCES}
READ = {name: text for name, text in READ.items() if text.strip()}


@pytest.fixture(scope="module", params=CHECKERS)
def errors(request, tmp_path_factory):
    """Name of a program -> line -> message, of one run over all programs."""
    if find_spec(request.param) is None:
        pytest.skip(f"checks with {request.param} where it is installed")
    folder = tmp_path_factory.mktemp(request.param)
    found = {name: {} for name in [*PROGRAMS, *READ]}
    for name, text in (PROGRAMS | READ).items():
        (folder / name).write_text(text)
    for name, line, message in CHECKERS[request.param](list(found), folder):
        found[name][line] = message
    return found


@pytest.mark.parametrize("name", sorted({*PROGRAMS, *READ} - {"wrong.py"}))
def test_a_right_program(errors, name):
    assert errors[name] == {}


def test_the_pages_are_among_them():
    if not HAS_SOURCES:
        pytest.skip("needs the sources")
    assert {"page_README.py", "page_first_network.py", "page_own_layer.py"} < set(READ)


def test_a_wrong_program(errors):
    lines = PROGRAMS["wrong.py"].splitlines()
    marked = {n for n, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert len(marked) > 10
    assert set(errors["wrong.py"]) == marked
