"""Measure the peak memory of a language model's training step, above that of the import.

``python -m bench.transformer.memory fastnn|torch LAYERS HEADS WIDTH CONTEXT BATCH`` prints the
bytes for one library, in one process. They include the inputs and a few steps, but not the float64
reference.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import sys

import numpy as np

from .reference import lm_inputs

STEPS = 3


def peak() -> int:
    """Return the peak memory of this process in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=("fastnn", "torch"))
    parser.add_argument("shape", nargs=5, type=int)
    options = parser.parse_args()
    library = importlib.import_module(f"bench.transformer.with_{options.library}")
    before = peak()
    call = library.lm_step(lm_inputs(tuple(options.shape), np.float32, np.random.default_rng(0)))
    for _ in range(STEPS):
        call()
    print(peak() - before)


if __name__ == "__main__":
    main()
