"""Compile sources into an extension module in a temporary folder and import it."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import fastnn


def skip(what):
    print(f"needs {what}", file=sys.stderr)
    sys.exit(77)


def needs(*modules):
    for name in modules:
        if importlib.util.find_spec(name) is None:
            skip(name)


def command(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def extension(name, sources, compiler="cc", flags=(), includes=()):
    """Return the module `name` built from `sources`; the folder is removed at exit."""
    compiler = os.environ.get({"cc": "CC", "c++": "CXX"}[compiler], compiler).split()
    if shutil.which(compiler[0]) is None:
        skip(compiler[0])
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        skip("the headers of Python")
    shared = (
        ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    )
    folders = [fastnn.get_include(), sysconfig.get_paths()["include"], *includes]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        command(
            *compiler,
            "-O2",
            "-fPIC",
            "-pthread",
            *shared,
            *flags,
            *(f"-I{f}" for f in folders),
            *map(str, sources),
            "-o",
            str(path),
        )
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
