"""Type checkers accept a right program of a user and reject each wrong line of another."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

import fastnn
from fastnn.nn.activation import ActivationName

PROGRAMS = Path(__file__).parent / "typed"
PACKAGES = Path(fastnn.__file__).parent.parent


def run(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )


def mypy_errors(program, folder):
    """Numbers of the lines of the program with an error."""
    # mypy finds an installed fastnn by itself, and refuses its folder as a path
    is_installed = PACKAGES.name in ("site-packages", "dist-packages")
    (folder / "mypy.ini").write_text(
        "[mypy]\nstrict = True\nfollow_imports = silent\nignore_missing_imports = True\n"
        + ("" if is_installed else f"mypy_path = {PACKAGES}\n")
    )
    done = run("mypy", "--no-error-summary", str(program), folder=folder)
    assert done.returncode in (0, 1) and not done.stderr, done.stdout + done.stderr
    return {int(n) for n in re.findall(rf"{program.name}:(\d+): error", done.stdout)}


def pyright_errors(program, folder):
    """Numbers of the lines of the program with an error."""
    if program.parent != folder:
        shutil.copy(program, folder)
    settings = {"include": [program.name], "extraPaths": [str(PACKAGES)]}
    settings["reportMissingImports"] = False  # as mypy.ini above
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = run("pyright", "--outputjson", "-p", str(folder), folder=folder)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == 1, done.stdout
    return {
        d["range"]["start"]["line"] + 1
        for d in found["generalDiagnostics"]
        if d["severity"] == "error"
    }


def test_the_names_of_activations_are_those_of_the_kernels():
    assert get_args(ActivationName) == tuple(fastnn.kernels.ACTIVATIONS)


CHECKERS = {"mypy": mypy_errors, "pyright": pyright_errors}


@pytest.fixture(params=CHECKERS)
def errors(request):
    if find_spec(request.param) is None:
        pytest.skip(f"checks with {request.param} where it is installed")
    return CHECKERS[request.param]


@pytest.mark.parametrize("name", ["right.py", "right_own.py"])
def test_a_right_program(errors, name, tmp_path):
    assert errors(PROGRAMS / name, tmp_path) == set()


def test_the_program_of_the_readme(errors, tmp_path):
    path = PROGRAMS.parent.parent / "README.md"
    if not path.exists():
        pytest.skip("needs the sources")
    found = re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    program = tmp_path / "page.py"
    program.write_text("\n".join(found))
    lines = program.read_text().splitlines()
    assert not [lines[n - 1] for n in errors(program, tmp_path)]


def test_a_wrong_program(errors, tmp_path):
    program = PROGRAMS / "wrong.py"
    lines = program.read_text().splitlines()
    marked = {n for n, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert len(marked) > 10
    assert errors(program, tmp_path) == marked
