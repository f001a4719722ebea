"""The examples of embedding build and run; CI runs them against the installed wheel too."""

import subprocess
import sys

import pytest

from .conftest import HERE

EXAMPLES = HERE.parent.parent / "examples" / "embed"
MISSING = 77  # what run.py exits with where a compiler or package is missing


@pytest.mark.parametrize(
    "name", ["c", "c_generate", "cpp_pybind11", "ctypes", "cython", "numba", "thinc_blas"]
)
def test_example(name, tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name / "run.py")],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
    )
    if done.returncode == MISSING:
        pytest.skip(done.stderr.strip() or "a package is missing")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{name}: ")
