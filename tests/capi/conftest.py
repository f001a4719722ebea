"""Fixtures: C extensions, compiled as users compile theirs."""

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

import fastnn

HERE = Path(__file__).parent
STRICT = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]


def compiler():
    """Return the C compiler as a list; skip the test without a compiler or Python.h."""
    command = (os.environ.get("CC") or "cc").split()
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if shutil.which(command[0]) is None or not header.exists():
        pytest.skip("needs a C compiler and the headers of Python")
    return command


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(folder, name, *sources, flags=()):
    """The path of an extension module made of C sources."""
    path = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = [f"-I{fastnn.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
    shared = ["-bundle", "-undefined", "dynamic_lookup"] if os.uname().sysname == "Darwin" else []
    shared = shared or ["-shared"]
    options = ["-O2", "-fPIC", "-pthread", f"-DMODULE={name}", *STRICT, *shared, *flags]
    run([*compiler(), *options, *includes, *map(str, sources), "-o", str(path)])
    return path


@pytest.fixture(scope="session")
def callers(tmp_path_factory):
    """The extension of callers.c."""
    path = build(tmp_path_factory.mktemp("callers"), "callers", HERE / "callers.c")
    spec = importlib.util.spec_from_file_location("callers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def plan():
    """A network of 17-64-64-6."""
    return fastnn.nn.MLP((17, 64, 64, 6), rng=0).freeze(64)
