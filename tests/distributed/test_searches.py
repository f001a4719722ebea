"""The recipes in examples/search run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

FOLDER = Path(__file__).parents[2] / "examples" / "search"

RECIPES = {
    "loky": (["joblib_search.py", "loky"], ["sklearn"], "HalvingRandomSearchCV: 0."),
    "threading": (["joblib_search.py", "threading"], ["sklearn"], "HalvingRandomSearchCV: 0."),
    "dask": (["dask_search.py"], ["sklearn", "distributed"], "HalvingRandomSearchCV: 0."),
    "optuna": (["optuna_search.py", "study.log", "2", "2"], ["optuna"], "4 trials; best: 0."),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name, tmp_path):
    command, modules, output = RECIPES[name]
    for module in modules:
        pytest.importorskip(module)
    root = str(Path(fastnn.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, str(FOLDER / command[0]), *command[1:]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert output in done.stdout
