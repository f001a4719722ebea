"""Write model files of every kind with the current fastnn: ``python -m tests.golden.make``.

They go to a folder named after the version and are committed; test_golden.py reads all folders
with the current code. A folder that exists is never overwritten: it holds files as its version
wrote them.
"""

import contextlib
import csv
import io
import os
import tempfile
from pathlib import Path

import numpy as np

import fastnn
from fastnn.cli import main
from fastnn.files import load, save

from . import cases

HERE = Path(__file__).parent
COMMANDS = {"lm": cases.LM, "translate": cases.TRANSLATE}


def make(folder):
    """Fill the folder; outputs and inputs go to outputs.npz under CASE/WHAT."""
    arrays = {}
    for name, case in cases.CASES.items():
        for suffix, dtype in cases.DTYPES.items():
            model, args, named = case(dtype)
            key = f"{name}-{suffix}"
            save(cases.filled(model), folder / f"{key}.safetensors", metadata={"by": "make.py"})
            arrays |= {f"{key}/arg{i}": value for i, value in enumerate(args)}
            arrays |= {f"{key}/{option}": value for option, value in named.items()}
            found = cases.outputs(model, args, named)
            arrays |= {f"{key}/out{i}": value for i, value in enumerate(found)}
    for suffix, dtype in cases.DTYPES.items():
        path = folder / f"fit-{suffix}.safetensors"
        cases.fit_on(cases.filled(cases.fit_model(dtype)), path, dtype, epochs=2)
        history, weights, average = cases.fit_on(load(path), None, dtype, epochs=4, resume=path)
        arrays |= {f"fit-{suffix}/weights": weights, f"fit-{suffix}/average": average}
        arrays[f"fit-{suffix}/loss"] = np.array(history.history["loss"])
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        arrays |= by_commands(Path(name), folder)
    np.savez_compressed(folder / "outputs.npz", **arrays)


def by_commands(here, folder):
    """Files of the command line, written in the working directory `here` and copied to `folder`."""
    arrays = {}
    cases.write_texts(here)
    for name, command in COMMANDS.items():
        run(command.format(cases.FIRST))
        for path in (here / f"{name}.safetensors", here / f"{name}.safetensors.run"):
            (folder / f"cli-{path.name}").write_bytes(path.read_bytes())
        run(f"{command.format(cases.ALL)} --resume")
        arrays[f"cli-{name}/weights"] = load(f"{name}.safetensors").parameters().data
    for name, command in cases.TABLES.items():
        path = folder / f"cli-{name}.safetensors"
        run(f"{command} --output {path}")
        arrays[f"cli-{name}/predicted"] = predicted(path)
    return arrays


def predicted(path):
    """The numbers that `fastnn predict` writes for rows.csv."""
    options = ["--proba"] if "regression" not in path.name else []
    run(f"predict {path} rows.csv --output out.csv", *options)
    with open("out.csv", encoding="utf-8", newline="") as file:
        return np.array([row[-1] for row in csv.reader(file)][1:], float)


def run(line, *more):
    """A command; its output is dropped."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([*line.split(), *more]) == 0


if __name__ == "__main__":
    target = HERE / fastnn.__version__
    os.mkdir(target)
    make(target)
    total = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {len(list(target.iterdir()))} files, {total:,} bytes")
