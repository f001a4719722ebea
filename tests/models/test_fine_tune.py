"""The example that fine-tunes a sentence encoder runs, with each of its methods."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

from .sentence_models import make

pytest.importorskip("tokenizers")
PROGRAM = Path(__file__).parent.parent.parent / "examples" / "fine_tune" / "topics.py"
if not PROGRAM.exists():
    pytest.skip("needs the sources", allow_module_level=True)


@pytest.mark.parametrize("method", ["head", "top", "lora", "whole"])
def test_each_method(tmp_path, method):
    folder = make(tmp_path / "encoder", "mean")
    command = [sys.executable, PROGRAM, folder, "--method", method]
    command += ["--epochs", "1", "--sentences", "60"]
    root = str(Path(fastnn.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "accuracy on the sentences held out" in done.stdout
    assert "the frozen plan agrees" in done.stdout
    model = fastnn.load(tmp_path / "topics.safetensors")
    assert isinstance(model[0], fastnn.models.PooledEncoder)
    assert (tmp_path / "branches.safetensors").exists() == (method == "lora")
