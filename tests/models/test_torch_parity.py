"""Outputs and gradients of PyTorch's Transformers, from PyTorch if installed, and from a file."""

from pathlib import Path

import numpy as np
import pytest

from .torch_cases import CASES, GOLDEN, compare, run, unpacked

GOLDEN_FILE = Path(__file__).with_name("golden.npz")
TOLERANCES = {np.float32: 1e-5, np.float64: 1e-12}
# what is kept in the file is rounded to float32
GOLDEN_TOLERANCES = {np.float32: 1e-5, np.float64: 2e-7}


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_are_those_of_pytorch(name, real):
    pytest.importorskip("torch")
    kind, options = CASES[name]
    compare(kind, options, run(kind, options), real, TOLERANCES[real])


def golden(name):
    with np.load(GOLDEN_FILE) as file:
        return unpacked(file[name], file[f"{name}:names"])


@pytest.mark.parametrize("name", GOLDEN)
def test_outputs_and_gradients_are_those_that_pytorch_gave(name, real):
    compare(*CASES[name], golden(name), real, GOLDEN_TOLERANCES[real])


@pytest.mark.parametrize("name", GOLDEN)
def test_another_weight_is_noticed(name):
    case = golden(name)
    weight = next(key for key in case if key.startswith("state/") and case[key].ndim == 2)
    case[weight].flat[3] += 1e-3
    if "state/lm_head.weight" in case:
        case["state/lm_head.weight"] = case["state/transformer.wte.weight"]
    with pytest.raises(AssertionError, match="relative error"):
        compare(*CASES[name], case, np.float64, GOLDEN_TOLERANCES[np.float64])
